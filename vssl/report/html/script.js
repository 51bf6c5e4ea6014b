"use strict";
// Sorts the rows of each body by itself, since rows of two bodies may not be ranked together; without a value: last.
function sortBy(table, head) {
  const place = [...head.parentNode.children].indexOf(head);
  const first = head.dataset.kind === "number" ? "descending" : "ascending";
  const other = first === "descending" ? "ascending" : "descending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  for (const one of head.parentNode.children) one.setAttribute("aria-sort", one === head ? order : "none");
  const sign = order === "ascending" ? 1 : -1;
  const value = (row) => row.children[place].dataset.value;
  const compare = head.dataset.kind === "number" ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
  for (const body of table.tBodies) {
    const rows = [...body.rows];
    const known = rows.filter((row) => value(row) !== undefined);
    const unknown = rows.filter((row) => value(row) === undefined);
    known.sort((a, b) => sign * compare(value(a), value(b)));
    body.append(...known, ...unknown);
  }
}

async function copy(button) {
  const pre = button.parentNode.querySelector("pre");
  try {
    await navigator.clipboard.writeText(pre.textContent);
  } catch {
    getSelection().selectAllChildren(pre);
    document.execCommand("copy");
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.querySelectorAll("th[aria-sort]")) {
    head.querySelector("button").addEventListener("click", () => sortBy(table, head));
  }
}
for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", () => copy(button));
}
