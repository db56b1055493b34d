// Live numbers: the start page and the lists ask for themselves again, a few bounded questions, and change in place.
// Not while the tab is hidden, rows are chosen, text is marked, or the pointer or the focus is on what would change.
// Without it the pages are right as of the time they say.

const EVERY = 5000;
const LIST_CHANGES = ["badge", "tries", "cause", "due"];

const held = () =>
  document.hidden ||
  document.querySelector(".desk-tick:checked, dialog[open]") !== null ||
  String(getSelection()).length > 0;

const busy = (part) => part.matches(":hover") || part.contains(document.activeElement);

const ask = async (address) => {
  const answer = await fetch(address, { credentials: "same-origin", headers: { Accept: "text/html, application/json" } });
  return answer.ok && !answer.redirected ? answer : null;
};

// --- the start page ----------------------------------------------------------------------------------------------

const overview = async (root) => {
  const answer = await ask(root.dataset.liveUrl);
  if (!answer) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.querySelector(`[data-live="${CSS.escape(part.dataset.live)}"]`);
    if (old && !busy(old) && old.innerHTML !== part.innerHTML) old.replaceChildren(...part.childNodes);
  }
  const asOf = fresh.querySelector("[data-as-of]");
  const shown = document.querySelector("[data-as-of]");
  if (asOf && shown) shown.textContent = asOf.textContent;
};

// --- a list ------------------------------------------------------------------------------------------------------

const cell = (row, name) => row.querySelector(`.field-${name}`);

const list = async (root) => {
  const rows = new Map([...document.querySelectorAll("[data-item]")].map((mark) => [mark.dataset.item, mark.closest("tr")]));
  const address = new URL(root.dataset.liveUrl, location.href);
  for (const [name, value] of new URLSearchParams(location.search)) address.searchParams.append(name, value);
  address.searchParams.set("ids", [...rows.keys()].join(","));
  address.searchParams.set("top", root.dataset.top);
  const answer = await ask(address);
  if (!answer || held()) return; // chosen meanwhile: nothing moves under the hand
  const said = await answer.json();
  for (const [id, columns] of Object.entries(said.rows)) {
    const row = rows.get(id);
    if (!row) continue;
    for (const name of LIST_CHANGES) {
      const shown = cell(row, name);
      // Drawn and escaped by the server, as the page itself was.
      if (shown && !busy(shown) && shown.innerHTML.trim() !== columns[name]) shown.innerHTML = columns[name];
    }
  }
  for (const id of said.gone) rows.get(String(id))?.classList.add("desk-gone");
  const notice = document.querySelector("[data-newer]");
  if (notice) {
    notice.hidden = !said.newer;
    const words = said.newer ? `${said.newer} newer: show` : "";
    if (notice.textContent !== words) notice.textContent = words;
  }
};

// -----------------------------------------------------------------------------------------------------------------

document.addEventListener("DOMContentLoaded", () => {
  const root = document.querySelector("[data-live-url]");
  if (!root) return;
  const refresh = root.dataset.top === undefined ? overview : list;
  const again = async () => {
    if (!held()) {
      try {
        await refresh(root);
      } catch {
        // The figures stay, with the time they are of.
      }
    }
    setTimeout(again, EVERY);
  };
  setTimeout(again, EVERY);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh(root).catch(() => {});
  });
});
