"use strict";
// One history: a chart per number, all at the same run; beside them what is known of that run.
(async () => {
  const { runs, series } = await page.data("history");
  const { make, said, words } = page;
  const SHOWN_RUNS = 60;

  for (const each of series) {
    each.records = each.points.map(([run, value, low, high, mark, change, changeLow, changeHigh, reference, note]) => ({
      run, value, low, high, mark, change, changeLow, changeHigh, reference, note,
      time: Date.parse(runs[run].started),
      isInvalid: runs[run].verdict === "INVALID",
      isNoisy: runs[run].verdict === "NOISY",
    }));
    each.byRun = new Map(each.records.map((record) => [record.run, record]));
  }
  const title = (each) => make("h3", {}, each.family === "harness" ? numbers.part(each.part) : numbers.family(each.family),
    each.part && each.family !== "harness" ? make("span", { class: "part" }, ` ${numbers.part(each.part)}`) : null);
  const plainTitle = (each) => `${page.text(numbers.familyKey(each.family))} ${numbers.part(each.part)}`.trim();

  const state = addressState({ run: "" }, () => select(chosenRun()));
  const keyOf = (run) => runs[run].directory.split("/").pop();
  const chosenRun = () => {
    const found = runs.findIndex((_, index) => keyOf(index) === state.get().run);
    return found >= 0 ? found : runs.length - 1;
  };

  const grid = document.getElementById("charts");
  const charts = series.map((each) => {
    const host = make("div", { class: "chart-host" });
    const value = make("span", { class: "chart-value" });
    grid.append(make("figure", { class: "history-chart" }, make("figcaption", {}, title(each), value), host));
    return { each, value, host };
  });
  for (const chart of charts) {
    chart.drawn = draw.chart({
      host: chart.host, points: chart.each.records, unit: chart.each.unit,
      label: () => page.text("dashboard.chart_label", { name: plainTitle(chart.each), n: chart.each.records.length }),
      looked: (run) => look(run ?? chosenRun()),
      chosen: (run) => state.set({ run: keyOf(run) }),
    });
    chart.drawn.name();
  }

  const comparison = (each, record) => {
    const tone = { r: "bad", i: "good" }[record.mark] ?? "";
    const mark = { r: "regression", i: "improvement", s: "steady", d: "doubtful" }[record.mark];
    return make("li", {},
      make("span", { class: "detail-name" }, make("span", { class: `sign sign-${mark ?? "none"}` }), plainTitle(each)),
      make("span", { class: "detail-value" }, numbers.write(record.value, each.unit),
        record.low === null ? null : make("small", {}, ` ${numbers.interval(record.low, record.high, each.unit)}`)),
      record.change === null ? null : make("span", { class: `detail-change ${tone}` }, numbers.change(record.change, each.unit),
        record.changeLow === null ? null : make("small", {}, ` ${numbers.changeInterval(record.changeLow, record.changeHigh, each.unit)}`)),
      record.note && (record.changeLow === null || each.family === "accuracy") && record.mark !== "s" ? make("span", { class: "detail-note" }, said(record.note)) : null);
  };

  const differences = (run, reference) => {
    const before = runs[reference].facts, now = runs[run].facts;
    const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((name) => before[name] !== now[name]);
    if (!names.length) return [make("p", { class: "faint small" }, words("dashboard.same_facts"))];
    return [make("dl", { class: "facts small" }, ...names.flatMap((name) => [make("dt", {}, name), make("dd", {}, `${before[name] ?? numbers.UNKNOWN} → ${now[name] ?? numbers.UNKNOWN}`)]))];
  };

  const detail = document.getElementById("detail");
  const fill = (run) => {
    const one = runs[run];
    const records = series.map((each) => [each, each.byRun.get(run)]).filter(([, record]) => record);
    const reference = records.map(([, record]) => record.reference).find((each) => each !== null);
    const tone = one.state === "complete" ? one.tone ?? "NONE" : "INVALID";
    detail.replaceChildren(...[
      make("p", { class: "detail-head" }, make("strong", {}, numbers.time(one.started)), " ",
        make("span", { class: `badge tone-${tone}` }, one.state === "complete" && one.word ? one.word : words(`dashboard.state.${one.state}`))),
      one.weights_changed ? make("p", { class: "faint small" }, words("dashboard.weights_changed")) : null,
      one.problem ? make("p", { class: "problem" }, said(one.problem)) : null,
      ...one.reasons.slice(0, 3).map((reason) => make("p", { class: "problem" }, said(reason))),
      one.page ? make("p", {}, make("a", { href: one.page }, words(one.has_report ? "dashboard.open_report" : "dashboard.open_run"))) : null,
      make("ul", { class: "plain detail-list" }, ...records.map(([each, record]) => comparison(each, record))),
      reference === undefined ? null : make("p", { class: "detail-reference" }, words("dashboard.beside"), " ",
        make("button", { type: "button", class: "link", onclick: () => state.set({ run: keyOf(reference) }) }, numbers.time(runs[reference].started))),
      ...(reference === undefined ? [] : differences(run, reference)),
      make("p", { class: "mono small directory" }, one.directory),
    ].filter(Boolean));
  };

  const body = document.getElementById("history-runs");
  const columns = [
    { key: "time", label: "dashboard.started", isHead: true, newest: true, value: (row) => row.started,
      cell: (row) => make("button", { type: "button", class: "link", onclick: () => { state.set({ run: keyOf(row.index) }); detail.scrollIntoView({ block: "nearest" }); } }, numbers.time(row.started)) },
    { key: "state", label: "dashboard.outcome", value: (row) => `${row.state} ${row.word ?? ""}`,
      cell: (row) => make("span", { class: `badge tone-${row.state === "complete" ? row.tone ?? "NONE" : "INVALID"}` }, row.state === "complete" && row.word ? row.word : words(`dashboard.state.${row.state}`)) },
    ...(runs.some((run) => run.weights_changed) ? [{ key: "weights", label: "dashboard.weights", value: (row) => (row.weights_changed ? 1 : 0),
      cell: (row) => (row.weights_changed ? words("dashboard.weights_changed") : "") }] : []),
    ...series.slice(0, 6).map((each, index) => ({
      key: `s${index}`, name: plainTitle(each), class: "n", kind: "number", value: (row) => each.byRun.get(row.index)?.value ?? null,
      cell: (row) => {
        const record = each.byRun.get(row.index);
        const mark = { r: "bad", i: "good" }[record?.mark] ?? "";
        return make("span", { class: mark }, record ? numbers.write(record.value, each.unit) : numbers.UNKNOWN);
      },
    })),
    { key: "page", name: "", cell: (row) => (row.page ? make("a", { href: row.page }, words("dashboard.open")) : "") },
  ];
  const rows = runs.map((run, index) => ({ ...run, index })).reverse();
  let order = "";
  const table = recordTable({ table: body, columns, cap: SHOWN_RUNS, sorted: (sort) => { order = sort; table.show(rows, order); },
    rowClass: (row) => (row.index === chosenRun() ? "row-chosen" : null) });

  // Without the table and the address: the mouse passes over many runs.
  let shown = null;
  const look = (run) => {
    if (run === shown) return;
    shown = run;
    for (const chart of charts) {
      chart.drawn.select(run);
      const record = chart.each.byRun.get(run);
      chart.value.textContent = record ? numbers.write(record.value, chart.each.unit) : "";
    }
    fill(run);
  };
  const select = (run) => {
    look(run);
    table.show(rows, order);
  };
  document.addEventListener("language", () => { for (const chart of charts) chart.drawn.name(); shown = null; select(chosenRun()); });
  select(chosenRun());
  document.documentElement.dataset.ready = "";
})();
