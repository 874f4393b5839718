"use strict";
// Numbers, parts and times as the pages of a dashboard write them.
const numbers = (() => {
  const UNKNOWN = "–";
  const MINUS = "\u2212";
  const signed = (text, value) => (value > 0 ? "+" : value < 0 ? MINUS : "±") + text;

  const significant = (value, digits = 4) => {
    if (value === 0) return "0";
    const places = Math.min(12, Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value)))));
    return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  };

  const inBytes = (value) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
    return [unit ? significant(value, 3) : String(value), units[unit]];
  };

  // The number and its unit apart, for a unit is written smaller.
  const parts = (value, unit) => {
    if (value === null || value === undefined) return [UNKNOWN, ""];
    if (unit === "ratio") return [(100 * value).toFixed(2), "%"];
    if (unit === "bytes") return inBytes(value);
    if (Number.isInteger(value) && ["rows", "prompts", "questions", "requests"].includes(unit)) return [value.toLocaleString("en"), ""];
    return [significant(value), unit];
  };

  const write = (value, unit) => parts(value, unit).filter(Boolean).join(" ");

  const change = (value, unit) => {
    if (value === null || value === undefined) return UNKNOWN;
    const text = (100 * Math.abs(value)).toFixed(unit === "ratio" ? 2 : 1);
    return `${signed(text, value)} ${unit === "ratio" ? "pp" : "%"}`;
  };

  const interval = (low, high, unit) => {
    if (low === null || high === null || low === undefined || high === undefined) return "";
    const [from] = parts(low, unit), [to, name] = parts(high, unit);
    return `${from} … ${to} ${name}`.trim();
  };

  const changeInterval = (low, high, unit) => {
    if (low === null || high === null || low === undefined || high === undefined) return "";
    return `${change(low, unit).replace(/ (pp|%)$/, "")} … ${change(high, unit)}`;
  };

  // `256x64.batch8` is `256×64 batch 8`.
  const part = (name) => name.replace(/(\d)x(\d)/g, "$1×$2").replace(/batch(\d)/, "batch $1").replace(/[._]/g, " ");

  const time = (iso) => (iso ? iso.slice(0, 16).replace("T", " ") : UNKNOWN);
  const day = (iso) => (iso ? iso.slice(0, 10) : UNKNOWN);

  const familyKey = (family) => `dashboard.family.${family}`;
  const family = (name) => page.words(familyKey(name));

  // The engine word and the device; what served the word is in the title.
  const engine = ({ engine: name, device }) => page.make("span", { class: "engine", title: name }, name.replace(/ \([^)]*\)/, ""),
    device ? page.make("span", { class: "faint" }, ` ${device}`) : null);

  return { write, parts, change, interval, changeInterval, part, time, day, family, familyKey, engine, UNKNOWN };
})();
