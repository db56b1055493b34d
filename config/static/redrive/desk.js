// Lists of items: one box that chooses all rows of the page, and how many are chosen. Works without it, row by row.

// Unfold's frame has no main landmark.
document.addEventListener("DOMContentLoaded", () => document.getElementById("main")?.setAttribute("role", "main"));

document.addEventListener("DOMContentLoaded", () => {
  const ticks = [...document.querySelectorAll(".desk-tick")];
  if (!ticks.length) return;

  const count = document.querySelector("[data-desk-count]");
  const head = document.querySelector("th.column-tick");
  const all = document.createElement("input");
  all.type = "checkbox";
  all.className = "desk-tick-all";
  all.setAttribute("aria-label", "Choose all rows of this page");
  head?.replaceChildren(all);

  const update = () => {
    const chosen = ticks.filter((tick) => tick.checked).length;
    all.checked = chosen === ticks.length;
    all.indeterminate = chosen > 0 && chosen < ticks.length;
    if (count) count.textContent = `${chosen} chosen:`;
  };

  all.addEventListener("change", () => {
    for (const tick of ticks) tick.checked = all.checked;
    update();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches?.(".desk-tick")) update();
  });
  addEventListener("pageshow", update); // going back restores the boxes without an event
  update();
});
