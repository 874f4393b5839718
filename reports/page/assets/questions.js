"use strict";
// The browser of all questions: search, filters, a list, and the question chosen. The address keeps the filter.
(() => {
  const browser = document.getElementById("browser");
  if (!browser) return;
  const { make, words, text } = page;
  const find = document.getElementById("find");
  const subject = document.getElementById("subject");
  const states = document.getElementById("states");
  const tally = document.getElementById("tally");
  const detail = document.getElementById("detail");
  const MARKS = { r: "✓", w: "✗", n: "?", t: "…", f: "!" };
  const FILTERS = ["all", "w", "f", "n", "t", "tie", "r"];

  let data, list, order, lower, counts;
  let filter = "all";

  const count = (number) => number.toLocaleString("en");
  const isTie = (i) => data.state[i] !== "f" && data.margin[i] !== null && data.margin[i] < data.near_tie;
  const questionText = (i) => {
    const own = data.question[i];
    return own === null ? "" : typeof own === "string" ? own : own.map((turn) => turn[1]).join("\n");
  };
  const answer = (number) => (number < 0 ? "–" : data.answers[number]);
  // The lines of the question itself, not of the passage before it.
  const gist = (i) => {
    const own = questionText(i).trim();
    const asked = own.lastIndexOf("\nQuestion: ");
    return (asked >= 0 ? own.slice(asked + 11) : own).replace(/\s*(Answer|答案)[:：]\s*$/, "").replace(/\s+/g, " ").slice(0, 160) || data.id[i];
  };

  const fill = (row, i) => {
    const state = data.state[i];
    row.replaceChildren(
      make("span", { class: `mark state-${state}`, title: text(`state.${state}`), "aria-label": text(`state.${state}`) }, MARKS[state]),
      make("span", { class: "what" }, gist(i)),
      make("span", { class: "said" }, state === "r" || state === "f" ? answer(data.expected[i]) : `${answer(data.predicted[i])} ≠ ${answer(data.expected[i])}`),
      make("span", { class: "where" }, data.id[i] + (data.margin[i] === null ? "" : ` · ${text("run.margin")} ${Number(data.margin[i].toPrecision(3))}`)),
    );
  };

  const passes = (i) => filter === "all" || (filter === "tie" ? isTie(i) : data.state[i] === filter);

  const searched = () => {
    lower ??= order.map((i) => `${data.id[i]}\n${questionText(i)}\n${data.text[i] ?? ""}`.toLowerCase());
    return lower;
  };

  const show = () => {
    const wanted = find.value.trim().toLowerCase();
    const chosen = subject ? subject.value : "";
    const number = chosen ? data.subjects.indexOf(chosen) : -1;
    let found = order.filter((i) => passes(i) && (number < 0 || data.subject[i] === number));
    if (wanted) {
      const texts = searched();
      found = found.filter((i) => texts[i].includes(wanted));
    }
    list.show(found);
    tally.replaceChildren(words("run.shown", { n: count(found.length), total: count(order.length) }));
    for (const chip of states.children) chip.setAttribute("aria-pressed", String(chip.value === filter));
    if (list.selected() === undefined) {
      if (found.length) list.select(found[0]);
      else detail.replaceChildren();
    }
    keep();
  };

  const keep = () => {
    const kept = new URLSearchParams();
    if (find.value.trim()) kept.set("find", find.value.trim());
    if (subject && subject.value) kept.set("subject", subject.value);
    if (filter !== "all") kept.set("show", filter);
    const selected = list.selected();
    if (selected !== undefined && (kept.toString() || chosenByHand)) kept.set("id", data.id[selected]);
    const hash = kept.toString();
    if (hash) history.replaceState(null, "", `#${hash}`);
    else if (location.hash.includes("=")) history.replaceState(null, "", location.pathname + location.search);
  };

  let chosenByHand = 0;

  const restore = () => {
    if (!location.hash.includes("=")) return false;
    const kept = new URLSearchParams(location.hash.slice(1));
    find.value = kept.get("find") ?? "";
    if (subject) subject.value = data.subjects.includes(kept.get("subject")) ? kept.get("subject") : "";
    filter = FILTERS.includes(kept.get("show")) ? kept.get("show") : "all";
    const wanted = data.id.indexOf(kept.get("id"));
    show();
    if (wanted >= 0) list.select(wanted);
    return true;
  };

  const promptPart = (parts) => parts.flatMap(([role, said]) => [make("span", { class: "role" }, role), said]);

  const choiceTable = (i) => {
    const scores = data.logprobs[i];
    const labels = data.choice_sets[data.choices[i]];
    if (!scores.length) return null;
    const best = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - best));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const expected = answer(data.expected[i]);
    const predicted = data.predicted[i] < 0 ? null : answer(data.predicted[i]);
    const body = make("tbody");
    scores.forEach((score, place) => {
      const label = (labels[place] ?? String(place)).trim();
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      bar.setAttribute("class", "share");
      const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      rect.setAttribute("width", `${(100 * weights[place]) / total}%`);
      rect.setAttribute("height", "10");
      rect.setAttribute("rx", "2");
      bar.append(rect);
      const marks = make("td", { class: "small muted" });
      if (label === expected) marks.append(make("span", { class: "good" }, words("run.expected")), " ");
      if (label === predicted) marks.append(words("run.predicted"));
      body.append(make("tr", { class: label === expected ? "expected" : null },
        make("th", { scope: "row" }, label),
        make("td", { class: "n" }, score.toFixed(4)),
        make("td", { class: "n" }, `${((100 * weights[place]) / total).toFixed(1)} %`),
        make("td", { class: "bar" }, bar), marks));
    });
    return make("table", {},
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, words("run.choice")),
        make("th", { scope: "col", class: "n" }, words("run.logprob")),
        make("th", { scope: "col", class: "n" }, words("run.share")), make("th"), make("th"))),
      body);
  };

  const heading = (key) => make("h4", {}, words(key));

  const showQuestion = (i) => {
    const state = data.state[i];
    const notes = [];
    if (data.error[i]) notes.push(make("p", { class: "notice bad" }, data.error[i]));
    if (isTie(i)) notes.push(make("p", { class: "notice" }, words("run.is_near_tie")));
    if (data.dropped_shots[i]) notes.push(make("p", { class: "notice" }, words("run.dropped_from_prompt", { n: data.dropped_shots[i] })));
    if (data.cut_tokens[i]) notes.push(make("p", { class: "notice" }, words("run.cut_from_prompt", { n: data.cut_tokens[i] })));
    const own = data.question[i];
    const shared = data.prefix[i] < 0 ? [] : data.prefixes[data.prefix[i]];
    const steps = make("span", { class: "steps" });
    for (const [by, sign, key] of [[-1, "↑ k", "run.previous"], [1, "↓ j", "run.next"]]) {
      const button = make("button", { type: "button", class: "step", title: text(key), "data-t-title": key }, sign);
      button.addEventListener("click", () => { chosenByHand = 1; list.step(by); });
      steps.append(button);
    }
    const parts = [
      make("div", { class: "question-head" },
        make("h3", {}, data.id[i]),
        make("span", { class: `state-${state}` }, `${MARKS[state]} `, words(`state.${state}`)), steps),
      ...notes,
      heading("run.answer"),
      make("p", {}, words("run.expected"), ": ", make("strong", { class: "good" }, answer(data.expected[i])),
        " · ", words("run.predicted"), ": ", make("strong", { class: `state-${state}` }, answer(data.predicted[i])),
        data.margin[i] === null ? null : make("span", { class: "muted" }, " · ", words("run.margin"), ` ${data.margin[i]}`)),
    ];
    const choices = choiceTable(i);
    if (choices) parts.push(heading("run.choices"), choices);
    if (data.text[i] !== null) parts.push(heading("run.generated"), make("pre", {}, data.text[i]));
    if (own !== null) {
      parts.push(heading("run.prompt"));
      if (shared.length) {
        parts.push(make("details", {},
          make("summary", {}, words("run.before_question", { n: shared.filter(([role]) => role === "shot" || role === "assistant").length })),
          make("pre", { class: "shared" }, ...(shared.some(([role]) => role !== "header" && role !== "shot") ? promptPart(shared) : [shared.map((part) => part[1]).join("")]))));
      }
      parts.push(make("pre", {}, ...(typeof own === "string" ? [own] : promptPart(own))));
    }
    detail.replaceChildren(...parts);
    keep();
  };

  const makeChips = () => {
    counts = { all: order.length, tie: order.filter(isTie).length };
    for (const state of data.state) counts[state] = (counts[state] ?? 0) + 1;
    for (const value of FILTERS) {
      if (!counts[value] && value !== "w") continue;
      const chip = make("button", { type: "button", class: "chip", value }, words(`show.${value}`), make("span", { class: "tally" }, count(counts[value] ?? 0)));
      chip.addEventListener("click", () => { filter = value; show(); });
      states.append(chip);
    }
  };

  const onKey = (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing) { event.preventDefault(); find.focus(); return; }
    if (event.key === "Escape" && event.target === find) { find.value = ""; show(); document.getElementById("list").focus(); return; }
    if (!typing && (event.key === "j" || event.key === "k") && !event.target.closest(".list")) {
      chosenByHand = 1;
      if (list.onKey(event)) document.getElementById("questions").scrollIntoView({ block: "nearest" });
    }
  };

  let waiting;
  const start = async () => {
    data = await page.data("questions-data");
    order = data.id.map((_, i) => i);
    browser.hidden = false;
    const host = document.getElementById("list");
    list = virtualList({ host, rowHeight: 52, fill, choose: showQuestion });
    host.addEventListener("pointerdown", () => { chosenByHand = 1; });
    host.addEventListener("keydown", () => { chosenByHand = 1; }, true);
    makeChips();
    find.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 120); });
    if (subject) subject.addEventListener("change", show);
    document.addEventListener("keydown", onKey);
    document.addEventListener("language", () => list.draw());
    addEventListener("hashchange", () => {
      if (restore()) document.getElementById("questions").scrollIntoView();
    });
    if (restore()) document.getElementById("questions").scrollIntoView();
    else show();
    document.documentElement.dataset.ready = "";
  };

  start().catch((problem) => {
    browser.hidden = false;
    browser.replaceChildren(make("p", { class: "notice bad" }, words("run.cannot_read"), ` ${problem}`));
  });
})();
