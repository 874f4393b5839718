"use strict";
// The overview: what got worse, every model beside every task, and every number that is followed.
(async () => {
  const rows = await page.data("rows");
  const { make, words } = page;
  const DEFAULTS = { q: "", model: "", task: "", engine: "", family: "", mark: "", sort: "" };
  const NAMES = ["model", "task", "engine", "family", "mark"];
  const SEARCHED = ["model", "task", "engine", "device", "family", "part"];
  const RANK = { regression: 0, improvement: 1, doubtful: 2, steady: 3, uncompared: 4 };

  for (const row of rows) {
    row.mark_letters = row.mark;
    row.mark = row.compared?.mark ?? "";
    row.points = row.value.map((value, index) => ({ value, low: row.low[index], high: row.high[index], mark: row.mark_letters[index] }));
    row.latest = row.value.length ? row.value[row.value.length - 1] : null;
    row.href = `history/${row.key}.html`;
  }

  const link = (row, ...children) => make("a", { href: row.href }, ...children);
  const isHarness = (row) => row.family === "harness";
  const nameOf = (row) => (row.family ? (isHarness(row) ? make("span", {}, numbers.part(row.part)) : numbers.family(row.family)) : words("dashboard.no_numbers"));
  const partOf = (row) => (row.part && !isHarness(row) ? make("span", { class: "part" }, numbers.part(row.part)) : null);

  const markOf = (mark) => make("span", { class: `sign sign-${mark || "none"}`, title: mark ? page.text(`dashboard.mark.${mark}`) : "" },
    make("span", { class: "visually-hidden" }, mark ? words(`dashboard.mark.${mark}`) : ""));

  const valueOf = (row) => {
    const [number, unit] = numbers.parts(row.latest, row.unit);
    return make("span", { class: "value" }, number, unit ? make("span", { class: "unit" }, ` ${unit}`) : null);
  };

  const changeOf = (row) => {
    const { compared } = row;
    if (!compared || compared.change === null) return make("span", { class: "faint" }, numbers.UNKNOWN);
    const tone = { regression: "bad", improvement: "good" }[row.mark] ?? "";
    return make("span", { class: tone, title: compared.note && page.sentence(compared.note) }, numbers.change(compared.change, row.unit));
  };

  // What got worse and still is: one line per history, by its number that changed most.
  const attention = (found) => {
    const worse = new Map();
    for (const row of found) {
      if (row.mark !== "regression") continue;
      worse.set(row.key, [...(worse.get(row.key) ?? []), row]);
    }
    const size = (row) => Math.abs(row.compared.change ?? 0);
    const list = document.getElementById("attention-list");
    list.replaceChildren(...[...worse.values()].map((own) => {
      const row = own.reduce((most, each) => (size(each) > size(most) ? each : most));
      return make("li", { class: "alert" },
        make("span", { class: "alert-title" }, link(row, `${row.model} `), make("span", { class: "muted" }, `${row.task} `), numbers.engine(row)),
        draw.spark(row.points),
        make("span", { class: "alert-what" }, nameOf(row), row.part ? " " : null, partOf(row),
          own.length > 1 ? make("small", {}, words("dashboard.worse_too", { n: own.length - 1 })) : null),
        make("span", { class: "alert-now" }, valueOf(row)),
        make("span", { class: "alert-change bad" }, numbers.change(row.compared.change, row.unit),
          row.compared.low === null ? null : make("small", {}, numbers.changeInterval(row.compared.low, row.compared.high, row.unit))),
        make("span", { class: "faint alert-since" }, words("dashboard.since", { day: numbers.day(row.since), reference: numbers.day(row.compared.reference) })));
    }));
    document.getElementById("attention-none").hidden = worse.size > 0;
  };

  // Every model beside every task; in a cell one line per engine, and per set of options.
  const modeOf = (row) => row.task.split(", ")[0];
  const optionsOf = (row) => row.task.split(", ").slice(1).join(", ");
  const matrix = (found) => {
    const heads = found.filter((row) => row.headline);
    const sorted = (value) => [...new Set(heads.map(value))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const modes = sorted(modeOf);
    const table = document.getElementById("matrix-table");
    table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col" }, words("dashboard.model")), ...modes.map((mode) => make("th", { scope: "col" }, mode))));
    const body = sorted((row) => row.model).map((model) => make("tr", {}, make("th", { scope: "row" }, model), ...modes.map((mode) => {
      const lines = heads.filter((row) => row.model === model && modeOf(row) === mode);
      return make("td", {}, ...lines.map((row) => make("a", { class: `cell cell-${row.mark || "none"}`, href: row.href },
        make("span", { class: "cell-engine" }, markOf(row.mark), numbers.engine(row)),
        make("span", { class: "cell-what" }, row.family === "accuracy" || row.family === "max_batch" ? null : nameOf(row), " ", make("span", { class: "part" }, [row.family === "accuracy" ? "" : numbers.part(row.part), optionsOf(row)].filter(Boolean).join(", "))),
        draw.spark(row.points), valueOf(row))));
    })));
    table.tBodies[0].replaceChildren(...body);
  };

  const columns = [
    { key: "mark", label: "dashboard.mark.head", class: "sign-cell", kind: "number", value: (row) => -(RANK[row.mark] ?? 5), cell: (row) => markOf(row.mark) },
    { key: "model", label: "dashboard.model", isHead: true, value: (row) => row.model, cell: (row) => link(row, row.model) },
    { key: "task", label: "dashboard.task", value: (row) => row.task, cell: (row) => row.task },
    { key: "engine", label: "dashboard.engine", value: (row) => `${row.engine} ${row.device}`, cell: numbers.engine },
    { key: "number", label: "dashboard.number", value: (row) => `${row.family} ${row.part}`, cell: (row) => make("span", {}, nameOf(row), row.part ? " " : null, partOf(row)) },
    { key: "latest", label: "dashboard.latest", class: "n", kind: "number", value: (row) => row.latest, cell: valueOf },
    { key: "change", label: "dashboard.change", class: "n", kind: "number", value: (row) => (row.compared?.change ?? null), cell: changeOf },
    { key: "history", label: "dashboard.history", class: "spark-cell", cell: (row) => draw.spark(row.points) },
    { key: "runs", label: "dashboard.runs", class: "n", kind: "number", value: (row) => row.n, cell: (row) => String(row.n) },
    { key: "time", label: "dashboard.newest", newest: true, value: (row) => row.newest, cell: (row) => make("span", { class: "faint value", title: numbers.time(row.newest) }, numbers.day(row.newest)) },
  ];

  let state;
  const table = recordTable({
    table: document.getElementById("numbers-table"), columns, cap: 120,
    sorted: (sort) => state.set({ sort }),
    rowClass: (row) => (row.mark === "regression" ? "row-bad" : null),
  });

  const show = (values) => {
    follow(values);
    const found = filtered(rows, values, NAMES, SEARCHED);
    attention(found);
    matrix(found);
    table.show(found, values.sort);
    document.getElementById("nothing").hidden = found.length > 0;
    for (const id of ["matrix", "numbers"]) document.getElementById(id).hidden = found.length === 0;
    document.getElementById("tally").replaceChildren(words("dashboard.tally", { n: found.length, all: rows.length }));
  };

  const families = [...new Set(rows.map((row) => row.family).filter(Boolean))];
  document.querySelector('select[data-filter="family"]').append(...families.map((value) =>
    make("option", { value, "data-t": numbers.familyKey(value) }, page.text(numbers.familyKey(value)))));
  for (const name of ["model", "task", "engine"]) fillOptions(document.querySelector(`select[data-filter="${name}"]`), rows, name);
  state = addressState(DEFAULTS, (values) => show(values));
  const follow = bindFilters(state);
  document.addEventListener("language", () => show(state.get()));
  show(state.get());
  document.documentElement.dataset.ready = "";
})();
