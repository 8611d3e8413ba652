"""Style and script of the overview of a cohort; without the script, only sorting is missing."""

from .strips import STRIP_CSS

OVERVIEW_CSS = (
    """
.ov { display: block; width: 100%; height: 20px; fill: none; background: repeating-linear-gradient(
  90deg, #d8d8d8 0 1px, transparent 1px calc(100% / var(--hours))); border-bottom: 1px solid #bbb; }
.ov-table { width: 100%; table-layout: fixed; font-size: 13px; line-height: 1.15; }
.ov-table th, .ov-table td { padding: 1px 6px; vertical-align: middle; overflow-wrap: anywhere; }
.ov-table tbody tr:nth-child(even) { background: #f6f6f6; }
.ov-table small { display: block; color: #555; }
.ov-table thead th { position: sticky; top: var(--top, 0px); background: #fff; z-index: 2;
  font-size: 12px; }
.ov-table th:nth-child(1) { width: 14%; }
.ov-table th:nth-child(2) { width: 50%; }
.ov-table th:nth-child(3), .ov-table th:nth-child(4) { width: 4.5%; }
.ov-table th:nth-child(5) { width: 8%; }
.ov-table td:nth-child(n+3):nth-child(-n+5) { text-align: right; }
.ov-table th button { all: unset; cursor: pointer; text-decoration: underline dotted; }
.ov-table td:nth-child(2), .ov-table th:nth-child(2) { padding: 1px 0; }
.ov-axis { position: relative; height: 1.3em; font-weight: normal; font-size: 11px; }
.ov-axis span { position: absolute; border-left: 1px solid #888; padding-left: 2px; }
.ov-legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-bottom: 8px; font-size: 13px; }
.ov-legend span { display: flex; align-items: center; gap: 4px; }
.ov-legend .ov { width: 24px; background: none; }
.ov-find { margin-bottom: 8px; max-width: 100%; }
.ov-block img { width: 100%; image-rendering: pixelated; border: 1px solid #bbb; }
.ov-numbers td { white-space: nowrap; }
.ov-kinds { table-layout: fixed; overflow-wrap: anywhere; font-size: 14px; }
.ov-kinds th:last-child { width: 30%; }
.ov-kinds small { color: #555; }
@media (max-width: 700px) {
  .ov-table, .ov-table thead, .ov-table tbody { display: block; }
  .ov-table tr { display: grid; grid-template-columns: 2fr 1fr 1fr 1fr; padding: 2px 0; }
  .ov-table tr[hidden], .ov-table thead th:not(:nth-child(2)) { display: none; }
  .ov-table thead th:nth-child(2) { width: auto; position: static; }
  .ov-table thead { position: sticky; top: var(--top, 0px); background: #fff; z-index: 2; }
  .ov-table td:nth-child(2), .ov-table th:nth-child(2) { order: 9; grid-column: 1 / -1; }
  .ov-table td:nth-child(6) { order: 8; grid-column: 1 / -1; color: #555; }
  .ov-table td:nth-child(3):not(:empty)::after { content: " h"; }
  .ov-table td:nth-child(4):not(:empty)::after { content: " %"; }
  .ov-kinds th:last-child { width: 40%; }
}
"""
    + STRIP_CSS
)

OVERVIEW_JS = """
window.addEventListener("DOMContentLoaded", () => {
  const bar = document.querySelector("#top-bar");
  const place = () => document.documentElement.style.setProperty(
    "--top", `${bar ? bar.offsetHeight : 0}px`);
  window.addEventListener("load", place);
  window.addEventListener("resize", place);
  const table = document.querySelector(".ov-all");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const sort = (column, sign) => {
    const key = (row) => row.cells[column].textContent;
    const order = rows.map((row, i) => [key(row), i]).sort(([a, i], [b, j]) => {
      if (!a || !b || a === b) return (a ? 0 : 1) - (b ? 0 : 1) || i - j;
      return sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
    });
    body.append(...order.map(([, i]) => rows[i]));
  };
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (column === 1) return;
    const button = document.createElement("button");
    let sign = -1;
    button.type = "button";
    button.textContent = cell.textContent;
    button.title = "Sort";
    button.onclick = () => sort(column, sign = -sign);
    cell.replaceChildren(button);
  });
  const find = document.createElement("input");
  find.type = "search";
  find.placeholder = "Show only rows with this text";
  find.className = "ov-find search-input form-control form-control-sm";
  find.oninput = () => {
    const text = find.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(text); });
  };
  table.before(find);
});
"""
