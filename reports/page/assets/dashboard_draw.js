"use strict";
// Lines of numbers over time: small ones without words, and charts with axes that the mouse and the keys explore.
const draw = (() => {
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const at = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;

  // `leastShare` of the number is the least that is shown: what hardly varies is not to look as if it did.
  const range = (points, leastShare) => {
    const all = points.flatMap((point) => [point.value, point.low ?? point.value, point.high ?? point.value]);
    let least = Math.min(...all), most = Math.max(...all);
    const short = Math.max(0, leastShare * Math.max(Math.abs(least), Math.abs(most)) - (most - least));
    const room = Math.max((most - least) * 0.08, 1e-9) + short / 2;
    return [least - room, most + room];
  };

  const line = (points, x, y) => points.map((point, index) => `${index ? "L" : "M"}${at(x(point), y(point.value))}`).join("");

  // The band of the intervals, in as many pieces as points without one leave.
  const band = (points, x, y) => {
    const pieces = [];
    let piece = [];
    for (const point of [...points, {}]) {
      if (point.low !== null && point.low !== undefined) { piece.push(point); continue; }
      if (piece.length > 1) {
        const upper = piece.map((each) => at(x(each), y(each.high)));
        const lower = piece.map((each) => at(x(each), y(each.low))).reverse();
        pieces.push(`M${[...upper, ...lower].join("L")}Z`);
      }
      piece = [];
    }
    return pieces.join("");
  };

  const SPARK = { width: 108, height: 26, edge: 3.5 };

  // Points: {value, low, high, mark}; drawn evenly spaced, the latest last.
  const spark = (points) => {
    const { width, height, edge } = SPARK;
    const svg = make("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
    if (!points.length) return svg;
    const [least, most] = range(points, 0.06);
    const step = points.length > 1 ? (width - 2 * edge) / (points.length - 1) : 0;
    const placed = points.map((point, index) => ({ ...point, x: points.length > 1 ? edge + index * step : width - edge }));
    const x = (point) => point.x;
    const y = (value) => edge + (height - 2 * edge) * (1 - (value - least) / (most - least));
    svg.append(make("path", { class: "band", d: band(placed, x, y) }), make("path", { class: "line", d: line(placed, x, y) }));
    const latest = placed[placed.length - 1];
    for (const point of placed) {
      const isLatest = point === latest;
      if (!isLatest && point.mark !== "r" && point.mark !== "i") continue;
      svg.append(make("circle", { class: `dot mark-${point.mark}`, cx: point.x.toFixed(1), cy: y(point.value).toFixed(1), r: isLatest ? 2.6 : 1.7 }));
    }
    return svg;
  };

  const niceStep = (span, count) => {
    const rough = span / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * [1, 2, 2.5, 5, 10].find((times) => times * power >= rough);
  };

  const ticks = (least, most, count) => {
    const step = niceStep(most - least, count);
    const found = [];
    for (let value = Math.ceil(least / step) * step; value <= most + step * 1e-9; value += step) found.push(value);
    return found;
  };

  const MARGIN = { left: 58, right: 14, top: 10, bottom: 24 };
  const HEIGHT = 190;
  const DAY_MS = 86_400_000;

  // A chart in `host`; points also have `time` (ms) and `run`. `looked(run)` hears which run the mouse is at, `null`
  // when it has left; `chosen(run)` which one is clicked or gone to by keys.
  const chart = ({ host, points, unit, label, looked, chosen }) => {
    let placed = [];
    let selected = null;
    const svg = make("svg", { class: "chart", role: "img", tabindex: "0" });
    const hair = make("line", { class: "hair" });
    const ring = make("circle", { class: "ring", r: 5.5 });
    host.append(svg);

    const layOut = () => {
      const width = Math.max(240, host.clientWidth);
      svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      svg.setAttribute("width", width);
      svg.setAttribute("height", HEIGHT);
      const [least, most] = range(points, 0.02);
      const first = points[0].time, last = points[points.length - 1].time;
      const x = (time) => (last > first ? MARGIN.left + ((time - first) / (last - first)) * (width - MARGIN.left - MARGIN.right) : (width + MARGIN.left - MARGIN.right) / 2);
      const y = (value) => MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * (1 - (value - least) / (most - least));
      placed = points.map((point) => ({ ...point, x: x(point.time), y: y(point.value) }));
      const px = (point) => point.x;
      const axes = make("g", { class: "axes" });
      for (const value of ticks(least, most, 4)) {
        axes.append(make("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }));
        const text = make("text", { x: MARGIN.left - 8, y: y(value) + 4, class: "y" });
        text.textContent = numbers.parts(value, unit)[0].replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
        axes.append(text);
      }
      const days = Math.max(1, Math.round((last - first) / DAY_MS));
      const wanted = Math.max(2, Math.floor((width - MARGIN.left) / 110));
      const each = Math.max(1, Math.ceil(days / wanted));
      for (let time = Math.ceil(first / DAY_MS) * DAY_MS; time <= last; time += each * DAY_MS) {
        const text = make("text", { x: x(time), y: HEIGHT - 6, class: "x" });
        text.textContent = new Date(time).toISOString().slice(days > 300 ? 0 : 5, 10);
        axes.append(text, make("line", { class: "tick", x1: x(time), x2: x(time), y1: HEIGHT - MARGIN.bottom, y2: HEIGHT - MARGIN.bottom + 4 }));
      }
      const usable = placed.filter((point) => !point.isInvalid);
      const dots = make("g", { class: "dots" });
      for (const [index, point] of placed.entries()) {
        const isMarked = point.mark === "r" || point.mark === "i";
        if (isMarked && placed[index - 1]?.mark === point.mark) {
          dots.append(make("circle", { class: `mark-${point.mark}`, cx: point.x.toFixed(1), cy: point.y.toFixed(1), r: 2.2 }));
        } else if (isMarked) {
          const up = point.mark === "i" ? -1 : 1;
          const d = `M${at(point.x - 4.5, point.y - 4 * up)}L${at(point.x + 4.5, point.y - 4 * up)}L${at(point.x, point.y + 4 * up)}Z`;
          dots.append(make("path", { class: `mark-${point.mark}`, d }));
        } else if (point.isInvalid) {
          dots.append(make("path", { class: "invalid", d: `M${at(point.x - 3, point.y - 3)}L${at(point.x + 3, point.y + 3)}M${at(point.x - 3, point.y + 3)}L${at(point.x + 3, point.y - 3)}` }));
        } else if (points.length <= 120) {
          dots.append(make("circle", { class: point.isNoisy ? "noisy" : "plain", cx: point.x.toFixed(1), cy: point.y.toFixed(1), r: 2.4 }));
        }
      }
      svg.replaceChildren(axes, make("path", { class: "band", d: band(usable, px, y) }), make("path", { class: "line", d: usable.map((point, index) => `${index ? "L" : "M"}${at(point.x, point.y)}`).join("") }), dots, hair, ring);
      place();
    };

    const place = () => {
      const point = placed.find((each) => each.run === selected);
      for (const node of [hair, ring]) node.setAttribute("visibility", point ? "visible" : "hidden");
      if (!point) return;
      for (const [name, value] of Object.entries({ x1: point.x, x2: point.x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom })) hair.setAttribute(name, value);
      ring.setAttribute("cx", point.x);
      ring.setAttribute("cy", point.y);
    };

    const nearest = (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width);
      return placed.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best));
    };
    svg.addEventListener("pointermove", (event) => looked(nearest(event).run));
    svg.addEventListener("pointerleave", () => looked(null));
    svg.addEventListener("click", (event) => chosen(nearest(event).run));
    svg.addEventListener("keydown", (event) => {
      const now = placed.findIndex((point) => point.run === selected);
      const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: placed.length - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      chosen(placed[Math.min(placed.length - 1, Math.max(0, next))].run);
    });
    new ResizeObserver(layOut).observe(host);
    layOut();
    return {
      select(run) { selected = run; place(); },
      name() { svg.setAttribute("aria-label", label()); },
    };
  };

  return { spark, chart };
})();
