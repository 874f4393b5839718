"use strict";
// A list of thousands of rows of which only those in sight are elements; used by mouse, keys and screen reader.
//
// `host` scrolls and takes the keys; all rows are `rowHeight` pixels high. `fill(row, item)` writes a row,
// `choose(item)` hears which item is selected. `show(items)` sets the items, `select(item)` moves there.
function virtualList({ host, rowHeight, fill, choose }) {
  const SPARE = 8;
  const space = page.make("div", { class: "list-space" });
  host.replaceChildren(space);
  host.setAttribute("role", "listbox");
  host.tabIndex = 0;
  let items = [];
  let selected = -1;
  let pool = [];

  const draw = () => {
    const first = Math.max(0, Math.floor(host.scrollTop / rowHeight) - SPARE);
    const last = Math.min(items.length, Math.ceil((host.scrollTop + host.clientHeight) / rowHeight) + SPARE);
    while (pool.length < last - first) {
      const row = page.make("div", { class: "list-row", role: "option" });
      row.addEventListener("click", () => { move(Number(row.dataset.index)); host.focus({ preventScroll: true }); });
      pool.push(row);
      space.append(row);
    }
    pool.forEach((row, offset) => {
      const index = first + offset;
      row.hidden = index >= last;
      if (row.hidden) { row.removeAttribute("id"); return; }
      row.style.transform = `translateY(${index * rowHeight}px)`;
      row.dataset.index = index;
      row.id = `${host.id}-row-${index}`;
      row.setAttribute("aria-setsize", items.length);
      row.setAttribute("aria-posinset", index + 1);
      row.setAttribute("aria-selected", String(index === selected));
      fill(row, items[index]);
    });
    if (selected >= first && selected < last) host.setAttribute("aria-activedescendant", `${host.id}-row-${selected}`);
    else host.removeAttribute("aria-activedescendant");
  };

  const reveal = () => {
    const top = selected * rowHeight;
    if (top < host.scrollTop) host.scrollTop = top;
    else if (top + rowHeight > host.scrollTop + host.clientHeight) host.scrollTop = top + rowHeight - host.clientHeight;
  };

  const move = (index) => {
    if (!items.length) return;
    selected = Math.min(items.length - 1, Math.max(0, index));
    reveal();
    draw();
    choose(items[selected]);
  };

  const inSight = () => Math.max(1, Math.floor(host.clientHeight / rowHeight) - 1);
  const keys = {
    ArrowDown: () => selected + 1, ArrowUp: () => selected - 1,
    j: () => selected + 1, k: () => selected - 1,
    PageDown: () => selected + inSight(), PageUp: () => selected - inSight(),
    Home: () => 0, End: () => items.length - 1,
  };
  const onKey = (event) => {
    const step = keys[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return false;
    event.preventDefault();
    move(step());
    return true;
  };
  host.addEventListener("keydown", onKey);
  host.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(host);

  return {
    show(shown) {
      const kept = items[selected];
      items = shown;
      space.style.height = `${items.length * rowHeight}px`;
      selected = kept === undefined ? -1 : items.indexOf(kept);
      if (selected < 0) host.scrollTop = 0;
      draw();
      if (selected >= 0) reveal();
    },
    select(item) {
      const index = items.indexOf(item);
      if (index >= 0) move(index);
      return index >= 0;
    },
    step(by) { move(selected + by); },
    selected: () => items[selected],
    draw,
    onKey,
  };
}
