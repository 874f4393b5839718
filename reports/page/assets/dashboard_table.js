"use strict";
// A table of records, sorted by any column; of very many records the first are shown, and more when asked for.
//
// A column has `key`, `label` (key of a text), `cell(record)`; to be sorted by, `value(record)` and `kind`:
// number or text. `sorted(key)` hears which column is asked for, `-key` for the other direction.
function recordTable({ table, columns, cap, sorted, rowClass }) {
  let records = [];
  let order = "";
  let shown = cap;

  const head = page.make("tr");
  for (const column of columns) {
    const cell = page.make("th", { scope: "col", class: column.class });
    const label = column.label ? page.words(column.label) : column.name ?? "";
    if (column.value) {
      const button = page.make("button", { type: "button", class: "sort" }, label);
      const first = column.kind === "number" || column.newest ? "-" : "";
      button.addEventListener("click", () => {
        const other = first ? column.key : `-${column.key}`;
        sorted(order === first + column.key ? other : first + column.key);
      });
      cell.append(button);
      cell.dataset.key = column.key;
    } else cell.append(label);
    head.append(cell);
  }
  table.tHead.replaceChildren(head);

  const more = page.make("button", { type: "button", class: "chip more" });
  more.addEventListener("click", () => { shown += 10 * cap; draw(); });
  table.parentElement.after(more);

  const compare = (column, direction) => (a, b) => {
    const one = column.value(a), other = column.value(b);
    const isEmpty = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);
    if (isEmpty(one) || isEmpty(other)) return isEmpty(one) - isEmpty(other);
    const difference = column.kind === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
    return direction * difference;
  };

  const draw = () => {
    const key = order.replace(/^-/, "");
    const column = columns.find((each) => each.key === key && each.value);
    const direction = order.startsWith("-") ? -1 : 1;
    const list = column ? [...records].sort(compare(column, direction)) : records;
    const body = document.createDocumentFragment();
    for (const record of list.slice(0, shown)) {
      const row = page.make("tr", { class: rowClass?.(record) });
      for (const each of columns) row.append(page.make(each.isHead ? "th" : "td", { class: each.class, scope: each.isHead ? "row" : null }, each.cell(record)));
      body.append(row);
    }
    table.tBodies[0].replaceChildren(body);
    for (const cell of head.cells) {
      if (!cell.dataset.key) continue;
      cell.setAttribute("aria-sort", cell.dataset.key !== key ? "none" : direction > 0 ? "ascending" : "descending");
    }
    const left = list.length - shown;
    more.hidden = left <= 0;
    if (left > 0) more.replaceChildren(page.words("dashboard.more", { n: Math.min(left, 10 * cap), all: list.length }));
  };

  return {
    show(some, by) { records = some; order = by; shown = cap; draw(); },
  };
}
