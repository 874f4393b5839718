"use strict";
// What every page has: words in two languages, themes, sortable tables, and the data inside the page.
const page = (() => {
  const root = document.documentElement;
  const texts = JSON.parse(document.getElementById("page-texts").textContent);

  const remember = (name, value) => {
    try { localStorage.setItem("modeltest." + name, value); } catch { /* a page without storage forgets */ }
  };

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const text = (key, values = {}) => fill(texts[key][root.lang] ?? key, values);

  // A sentence that is there by language; what was recorded without its values is there in English alone.
  const sentence = (sentences) => sentences[root.lang] ?? sentences.en;
  const say = (node, sentences) => {
    node.lang = root.lang in sentences ? root.lang : "en";
    node.textContent = sentence(sentences);
  };

  const translate = (within = document) => {
    for (const node of within.querySelectorAll("[data-t]")) {
      node.textContent = text(node.dataset.t, node.dataset.a ? JSON.parse(node.dataset.a) : {});
    }
    for (const node of within.querySelectorAll("[data-said]")) {
      say(node, JSON.parse(node.dataset.said));
    }
    for (const name of ["aria-label", "placeholder", "title"]) {
      for (const node of within.querySelectorAll(`[data-t-${name}]`)) {
        node.setAttribute(name, text(node.getAttribute(`data-t-${name}`)));
      }
    }
  };

  const press = (group, value) => {
    for (const button of document.querySelectorAll(`[data-choose="${group}"]`)) {
      button.setAttribute("aria-pressed", String(button.value === value));
    }
  };

  const setLanguage = (language) => {
    root.lang = language;
    translate();
    press("language", language);
    document.dispatchEvent(new CustomEvent("language"));
  };

  const setTheme = (theme) => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.themeChoice = theme;
    root.dataset.theme = theme === "auto" ? system : theme;
    press("theme", theme);
  };

  const choosers = { language: setLanguage, theme: setTheme };
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => {
      remember(button.dataset.choose, button.value);
      choosers[button.dataset.choose](button.value);
    });
  }

  // A cell is sorted by its data-v, or by its text; cells without a value stay last either way.
  const valueOf = (row, column, kind) => {
    const cell = row.cells[column];
    const value = cell.dataset.v ?? cell.textContent.trim();
    if (kind === "number") return value === "" || Number.isNaN(Number(value)) ? null : Number(value);
    return value === "" ? null : value;
  };

  const sort = (table, column) => {
    const heads = [...table.tHead.rows[0].cells];
    const kind = heads[column].dataset.sort;
    const direction = heads[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, value: valueOf(row, column, kind) }));
    const compare = kind === "number" ? (a, b) => a - b : (a, b) => a.localeCompare(b, root.lang, { numeric: true });
    rows.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
      return direction * compare(a.value, b.value);
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
    heads.forEach((head, index) => {
      if (!head.dataset.sort) return;
      head.setAttribute("aria-sort", index !== column ? "none" : direction > 0 ? "ascending" : "descending");
    });
  };

  const makeSortable = (table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!head.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      if (!head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, column));
    });
  };

  // The JSON in the element `id`, compressed or not.
  const data = async (id) => {
    const element = document.getElementById(id);
    if (element.type === "application/json") return JSON.parse(element.textContent);
    const binary = atob(element.textContent);
    const bytes = new Uint8Array(binary.length);
    for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };

  // `tag` with text and properties: never HTML, so that nothing a model says becomes an element.
  const make = (tag, properties = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") node.className = value;
      else if (name in node && name !== "list") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };

  // `text(key)` that stays right when the language changes.
  const words = (key, values) => {
    const node = make("span", { "data-t": key }, text(key, values));
    if (values) node.dataset.a = JSON.stringify(values);
    return node;
  };

  const said = (sentences) => {
    const node = make("span", { "data-said": JSON.stringify(sentences) });
    say(node, sentences);
    return node;
  };

  // Paper cannot be clicked: what is folded is printed too.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("main details:not([open])")];
    for (const each of folded) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
  });

  for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
  translate();
  press("language", root.lang);
  press("theme", root.dataset.themeChoice);
  return { text, words, said, sentence, translate, data, make, makeSortable };
})();
