"use strict";
// Before anything is drawn: the theme and the language chosen last, else those of the reader's system.
(() => {
  const root = document.documentElement;
  const stored = (name) => {
    try { return localStorage.getItem("modeltest." + name); } catch { return null; }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const choose = () => {
    const theme = stored("theme") || "auto";
    root.dataset.themeChoice = theme;
    root.dataset.theme = theme === "auto" ? (system.matches ? "dark" : "light") : theme;
  };
  choose();
  system.addEventListener("change", choose);
  root.dataset.script = "";
  const wanted = stored("language") || root.dataset.language || navigator.language || "en";
  root.lang = wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
})();
