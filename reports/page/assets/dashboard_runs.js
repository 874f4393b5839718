"use strict";
// All runs, whatever came of them.
(async () => {
  const rows = await page.data("rows");
  const { make, words } = page;
  const DEFAULTS = { q: "", model: "", task: "", engine: "", state: "", sort: "" };

  const badge = (row) => {
    const tone = { complete: row.tone ?? "NONE", failed: "INVALID", unreadable: "INVALID", partial: "NOISY" }[row.state] ?? "NONE";
    const word = row.state === "complete" && row.word ? row.word : page.text(`dashboard.state.${row.state}`);
    const node = make("span", { class: `badge tone-${tone}` });
    node.append(row.state === "complete" && row.word ? word : words(`dashboard.state.${row.state}`));
    return node;
  };

  const columns = [
    { key: "time", label: "dashboard.started", newest: true, isHead: true, value: (row) => row.started,
      cell: (row) => (row.page ? make("a", { href: row.page }, numbers.time(row.started)) : numbers.time(row.started)) },
    { key: "model", label: "dashboard.model", value: (row) => row.model, cell: (row) => (row.history ? make("a", { class: "quiet", href: `history/${row.history}.html` }, row.model) : row.model) },
    { key: "task", label: "dashboard.task", value: (row) => row.task, cell: (row) => row.task },
    { key: "engine", label: "dashboard.engine", value: (row) => `${row.engine} ${row.device}`, cell: numbers.engine },
    { key: "state", label: "dashboard.outcome", value: (row) => `${row.state} ${row.word ?? ""}`, cell: badge },
    { key: "mark", label: "dashboard.mark.head", value: (row) => row.mark, cell: (row) => make("span", { class: `sign sign-${row.mark ?? "none"}` }, make("span", { class: "visually-hidden" }, row.mark ? words(`dashboard.mark.${row.mark}`) : "")) },
    { key: "directory", label: "dashboard.directory", value: (row) => row.directory,
      cell: (row) => make("span", { class: "directory" }, make("span", { class: "mono" }, row.directory.split("/").pop()), row.problem ? make("span", { class: "problem" }, page.said(row.said_problem)) : null) },
  ];

  let state;
  const table = recordTable({
    table: document.getElementById("runs-table"), columns, cap: 200,
    sorted: (sort) => state.set({ sort }),
    rowClass: (row) => (["unreadable", "failed"].includes(row.state) ? "row-bad" : null),
  });
  const show = (values) => {
    follow(values);
    const found = filtered(rows, values, ["model", "task", "engine", "state"], ["model", "task", "engine", "device", "directory", "problem", "state", "verdict", "word"]);
    table.show(found, values.sort);
    document.getElementById("nothing").hidden = found.length > 0;
    document.getElementById("tally").replaceChildren(words("dashboard.tally_runs", { n: found.length, all: rows.length }));
  };
  for (const name of ["model", "task", "engine"]) fillOptions(document.querySelector(`select[data-filter="${name}"]`), rows, name);
  state = addressState(DEFAULTS, (values) => show(values));
  const follow = bindFilters(state);
  document.addEventListener("language", () => show(state.get()));
  show(state.get());
  document.documentElement.dataset.ready = "";
})();
