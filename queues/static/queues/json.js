// The search in a folded payload: opens what it finds, marks it, counts it; Enter goes from one to the next.
// Without it the branches open by hand, and the browser's own search finds what is open.

const build = (tree) => {
  const leaves = [...tree.querySelectorAll(".json-leaf, summary")];
  const bar = document.createElement("div");
  bar.className = "desk-json-bar";
  const label = document.createElement("label");
  label.textContent = "Search in it ";
  const box = document.createElement("input");
  box.type = "search";
  box.className = "desk-input";
  box.autocomplete = "off";
  label.append(box);
  const count = document.createElement("span");
  count.className = "desk-quiet";
  count.setAttribute("role", "status");
  const fold = document.createElement("button");
  fold.type = "button";
  fold.className = "desk-button";
  fold.textContent = "Open all";
  bar.append(label, count, fold);
  tree.before(bar);

  let found = [];
  let at = -1;

  const open = (leaf) => {
    for (let branch = leaf.closest("details"); branch && tree.contains(branch); branch = branch.parentElement?.closest("details")) {
      if (!(leaf.tagName === "SUMMARY" && leaf.parentElement === branch)) branch.open = true;
    }
  };
  const search = () => {
    const wanted = box.value.trim().toLowerCase();
    for (const leaf of leaves) leaf.classList.remove("json-found", "json-at");
    found = wanted ? leaves.filter((leaf) => leaf.textContent.toLowerCase().includes(wanted)) : [];
    at = -1;
    for (const leaf of found) {
      leaf.classList.add("json-found");
      open(leaf);
    }
    count.textContent = wanted ? `${found.length} found` : "";
  };
  const next = (step) => {
    if (!found.length) return;
    found[at]?.classList.remove("json-at");
    at = (at + step + found.length) % found.length;
    found[at].classList.add("json-at");
    found[at].scrollIntoView({ block: "nearest" });
    count.textContent = `${at + 1} of ${found.length}`;
  };

  box.addEventListener("input", search);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    next(event.shiftKey ? -1 : 1);
  });
  fold.addEventListener("click", () => {
    const closed = tree.querySelector("details:not([open])") !== null;
    for (const branch of tree.querySelectorAll("details")) branch.open = closed;
    fold.textContent = closed ? "Fold all" : "Open all";
  });
};

document.addEventListener("DOMContentLoaded", () => {
  for (const tree of document.querySelectorAll("[data-json]")) build(tree);
});
