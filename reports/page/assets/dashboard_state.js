"use strict";
// The filters of a page as part of its address, `#model=a&sort=-time`: whoever opens the address sees the same.
//
// `defaults` names every filter; `changed` hears the values now and after each change.
function addressState(defaults, changed) {
  const read = () => {
    const found = { ...defaults };
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (name in defaults) found[name] = value;
    }
    return found;
  };

  let values = read();

  const write = () => {
    const shown = Object.entries(values).filter(([name, value]) => value !== defaults[name]);
    const hash = new URLSearchParams(shown).toString();
    history.replaceState(null, "", location.href.split("#")[0] + (hash ? `#${hash}` : ""));
  };

  addEventListener("hashchange", () => {
    // An anchor of the page, such as that of the skip link, is no filter.
    if (location.hash.includes("=") || location.hash === "") { values = read(); changed(values); }
  });

  return {
    get: () => values,
    set(some) { values = { ...values, ...some }; write(); changed(values); },
    reset() { values = { ...defaults }; write(); changed(values); },
    isDefault: () => Object.keys(defaults).every((name) => name === "sort" || values[name] === defaults[name]),
  };
}

// Fields with the attribute data-filter follow the state, and the state follows them.
function bindFilters(state) {
  const fields = [...document.querySelectorAll("[data-filter]")];
  for (const field of fields) {
    const name = field.dataset.filter;
    if (field.matches("button")) {
      field.addEventListener("click", () => state.set({ [name]: state.get()[name] === field.value ? "" : field.value }));
    } else {
      field.addEventListener("input", () => state.set({ [name]: field.value }));
    }
  }
  document.querySelector("[data-reset]")?.addEventListener("click", () => { state.reset(); fields[0]?.focus(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.matches("input, select, textarea")) {
      event.preventDefault();
      document.querySelector("input[data-filter]")?.focus();
    }
  });
  return (values) => {
    for (const field of fields) {
      const value = values[field.dataset.filter];
      if (field.matches("button")) field.setAttribute("aria-pressed", String(field.value === value));
      else if (field.value !== value) field.value = value;
    }
    const reset = document.querySelector("[data-reset]");
    if (reset) reset.hidden = state.isDefault();
  };
}

// One option for every value that a field of the records has, after the one that stands for all.
function fillOptions(select, records, name) {
  const values = [...new Set(records.map((record) => record[name]).filter(Boolean))];
  values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  for (const value of values) select.append(page.make("option", { value }, value));
}

// Records of which every filter's field has the value asked for, and every word of `q` is in one of `fields`.
function filtered(records, values, names, fields) {
  const words = values.q.toLowerCase().split(/\s+/).filter(Boolean);
  return records.filter((record) => {
    if (!names.every((name) => values[name] === "" || record[name] === values[name])) return false;
    if (!words.length) return true;
    const text = fields.map((field) => record[field] ?? "").join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
