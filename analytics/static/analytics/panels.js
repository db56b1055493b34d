// Keeps an open page fresh: every panel fetches itself, and is replaced by a good answer only.

const EVERY = 5 * 60_000, SOON = 60_000, OLD = 10 * 60_000, FRESH = 5 * 60_000, LIMIT = 8_000;
const board = document.querySelector("[data-panels]");
const say = document.getElementById("announce");
const pause = document.getElementById("pause");
const panels = () => [...board.querySelectorAll("[data-panel]")];
const age = (panel) => Date.now() - Date.parse(panel.dataset.asOf || 0);
let paused = false, busy = false, timer = 0;

// A log-in page answered with 200, or half an answer, must not replace figures.
async function fetched(url, id) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(LIMIT), headers: { "X-Requested-With": "fetch" } });
  if ([403, 404].includes(answer.status)) throw new Error("You no longer have access to this campaign. Ask its owner. ");
  if (answer.redirected) throw new Error("You are logged out: log in again for newer figures. ");
  const found = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
  if (!found) throw new Error("");
  return found;
}

// What had the focus, was unfolded or scrolled stays so.
function replace(old, fresh) {
  const held = old.contains(document.activeElement) ? [...old.querySelectorAll("a, button, summary, [tabindex]")].indexOf(document.activeElement) : -1;
  const open = [...old.querySelectorAll("details[open]")].map((each) => each.id);
  const scrolled = [...old.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
  old.replaceWith(document.adoptNode(fresh));
  open.forEach((id) => { const each = document.getElementById(id); if (each) each.open = true; });
  fresh.querySelectorAll(".scroll").forEach((each, place) => { if (scrolled[place]) [each.scrollLeft, each.scrollTop] = scrolled[place]; });
  if (held >= 0) fresh.querySelectorAll("a, button, summary, [tabindex]")[held]?.focus({ preventScroll: true });
}

function mark(panel, kind, word, line) {
  const badge = document.getElementById(`badge-${kind}`).content.firstElementChild.cloneNode(true);
  badge.lastChild.textContent = word;
  panel.querySelector(".badge")?.replaceWith(badge);
  panel.querySelector(".panel-line").textContent = line;
  panel.dataset.state = kind;
  if (kind === "saved") panel.querySelector(".again")?.removeAttribute("hidden");
}

function failed(panel) {
  panel.dataset.failures = Number(panel.dataset.failures || 0) + 1;
  const until = panel.dataset.until;
  if (until) mark(panel, "saved", `Saved copy, ${until}`, `We couldn't update this just now. These are the last confirmed figures, up to ${until}.`);
}

// Null, or in words why not ("" for what the reader cannot change).
async function one(panel, tries = 0) {
  try {
    const fresh = await fetched(panel.dataset.url, panel.id);
    replace(panel, fresh);
    const waits = ["refreshing", "preparing"].includes(fresh.dataset.state);
    if (waits && tries < 3) setTimeout(() => fresh.isConnected && one(fresh, tries + 1), 1000 * 2 ** tries);
    return null;
  } catch (error) {
    failed(panel);
    return error.name === "Error" ? error.message : "";
  }
}

async function cycle() {
  if (busy) return;
  busy = true;
  const before = panels().filter((panel) => panel.dataset.state === "saved").length;
  const all = await Promise.all(panels().map((panel) => one(panel)));
  const bad = all.filter((each) => each !== null);
  const why = navigator.onLine ? bad.find((each) => each) || "" : "You are offline. ";
  say.textContent = bad.length
    ? `${why}${bad.length} of ${all.length} panels could not be refreshed. Earlier figures are still shown.`
    : before ? "All panels are up to date again." : "Figures refreshed.";
  fetched(`banner/?${board.dataset.query}`, "banner").then((fresh) => document.getElementById("banner").replaceWith(fresh), () => {});
  busy = false;
  later(bad.length ? SOON : EVERY);
}

function later(wait = EVERY) {
  clearTimeout(timer);
  if (!paused) timer = setTimeout(() => (document.hidden ? later() : cycle()), wait * (0.9 + Math.random() * 0.2));
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", paused);
  say.textContent = paused ? "Updates are paused." : "Updates go on.";
  later();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused && panels().some((panel) => age(panel) > OLD)) cycle(); });
addEventListener("online", () => paused || cycle());
addEventListener("offline", () => {
  const until = panels()[0]?.dataset.until;
  say.textContent = `You are offline. Figures below ${until ? `were current at ${until}; they` : ""} update when you are back.`;
});

// Sorting, paging and "Try again" fetch their panel alone; without script they are links.
board.addEventListener("click", async (event) => {
  const link = event.target.closest("[data-swap], [data-again]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const panel = link.closest("[data-panel]"), url = panel.dataset.url;
  if (link.matches("[data-swap]")) panel.dataset.url = url.split("?")[0] + new URL(link.href).search;
  const why = await one(panel);
  if (why !== null) { panel.dataset.url = url; say.textContent = `${why}This could not be loaded. Earlier figures are still shown.`; }
});

// Figures grow old on a page that stays open: their badge must say so without asking anybody.
setInterval(() => panels().forEach((panel) => {
  const minutes = Math.floor(age(panel) / 60_000);
  if (panel.dataset.asOf && age(panel) > FRESH && ["fresh", "empty", "stale"].includes(panel.dataset.state)) {
    mark(panel, "stale", `${minutes} min old`, `Includes everything recorded by ${panel.dataset.until}.`);
  }
}), 15_000);

panels().filter((panel) => ["refreshing", "preparing", "stale"].includes(panel.dataset.state)).forEach((panel) => one(panel));
later();
