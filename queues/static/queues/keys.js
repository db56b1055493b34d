// Keyboard shortcuts, and the sheet that lists them. Single keys, only where nothing is being typed; they can be turned
// off for good on the sheet (WCAG 2.1.4).

const OFF = "desk-keys-off";
const PLACES = {
  h: ["the overview", "/admin/"],
  e: ["e-mails", "/admin/queues/emailmessage/"],
  w: ["webhooks", "/admin/queues/webhookevent/"],
  f: ["failure groups", "/admin/queues/failuregroup/"],
  o: ["operations", "/admin/queues/operation/"],
  l: ["the ledger", "/admin/queues/ledgerentry/"],
};
const ACTS = { r: "redrive", s: "snooze", d: "discard", p: "purge", y: "replay" };
const SHEET = [
  ["?", "this sheet"],
  ["/", "search"],
  ["j  k", "next row, row before"],
  ["x", "choose the row, or not"],
  ["a", "choose all rows of the page, or none"],
  ["Enter", "open the row"],
  ["[  ]", "newer page, older page"],
  ...Object.entries(ACTS).map(([key, act]) => [key, `${act} what is chosen (or, on its page, the item): asks first`]),
  ["Escape", "choose nothing; close this sheet"],
  ...Object.entries(PLACES).map(([key, [name]]) => [`g ${key}`, `go to ${name}`]),
];

let at = -1;
let going = 0;

const off = () => {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch {
    return false;
  }
};
const rows = () => [...document.querySelectorAll("#result_list tbody tr, .result-list tbody tr")].filter((row) => row.querySelector("a[href]"));

const move = (step) => {
  const all = rows();
  if (!all.length) return;
  at = Math.min(Math.max(at + step, 0), all.length - 1);
  for (const row of all) row.classList.remove("desk-at");
  all[at].classList.add("desk-at");
  const link = all[at].querySelector(".field-title a, th a, td a[href]");
  link?.focus({ preventScroll: true });
  all[at].scrollIntoView({ block: "nearest" });
};

const choose = () => {
  const box = rows()[at]?.querySelector(".desk-tick");
  if (box) box.click();
};

const act = (name) => {
  const chosen = document.querySelector(".desk-tick:checked");
  const button = chosen && document.querySelector(`.desk-chosen [data-act="${name}"]`);
  const link = !chosen && document.querySelector(`.desk-head [data-act="${name}"]`);
  (button || link)?.click();
};

const clear = () => {
  for (const box of document.querySelectorAll(".desk-tick:checked")) box.click();
};

// --- the sheet ---------------------------------------------------------------------------------------------------

const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const sheet = () => {
  const dialog = element("dialog", "", "desk-sheet");
  dialog.setAttribute("aria-labelledby", "desk-sheet-title");
  const title = element("h2", "Keyboard shortcuts");
  title.id = "desk-sheet-title";
  const list = element("dl", "", "desk-keys");
  for (const [keys, words] of SHEET) {
    const line = element("div");
    const term = element("dt");
    for (const key of keys.split(/ +/)) term.append(element("kbd", key));
    line.append(term, element("dd", words));
    list.append(line);
  }
  const label = element("label", "", "desk-check");
  const box = element("input");
  box.type = "checkbox";
  box.checked = !off();
  box.addEventListener("change", () => localStorage.setItem(OFF, box.checked ? "0" : "1"));
  label.append(box, "Shortcuts are on (? opens this sheet in any case)");
  const close = element("button", "Close", "desk-button");
  close.type = "button";
  close.addEventListener("click", () => dialog.close());
  dialog.append(title, list, label, close);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
};

// -----------------------------------------------------------------------------------------------------------------

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  x: choose,
  a: () => document.querySelector(".desk-tick-all")?.click(),
  "/": () => document.querySelector("#searchbar, [name=q]")?.focus(),
  "[": () => document.querySelector('a[rel="prev"]')?.click(),
  "]": () => document.querySelector('a[rel="next"]')?.click(),
  Escape: clear,
  g: () => {
    going = Date.now();
  },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (event.ctrlKey || event.metaKey || event.altKey || typing || document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    event.preventDefault();
    sheet();
    return;
  }
  if (off()) return;
  const place = Date.now() - going < 1500 && PLACES[event.key];
  going = 0;
  if (place) {
    location.assign(place[1]);
    return;
  }
  const does = KEYS[event.key] || (ACTS[event.key] && (() => act(ACTS[event.key])));
  if (!does) return;
  if (event.key !== "Escape") event.preventDefault();
  does();
});

document.addEventListener("DOMContentLoaded", () => {
  const hint = document.querySelector("[data-keys]");
  if (!hint) return;
  hint.hidden = false;
  hint.addEventListener("click", sheet);
});
