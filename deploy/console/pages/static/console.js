// The colour scheme: the system's unless somebody chose one here. Runs in the head, before anything is drawn.
(() => {
  const root = document.documentElement;
  const chosen = () => localStorage.getItem("tasker-theme");
  const apply = () => {
    const theme = chosen();
    if (theme === null) delete root.dataset.theme;
    else root.dataset.theme = theme;
    window.Quasar?.Dark.set(theme === null ? "auto" : theme === "dark");
    const button = document.getElementById("theme-button");
    if (button !== null) {
      button.textContent = { null: "Auto", dark: "Dark", light: "Light" }[String(theme)];
      button.setAttribute("aria-label", `Colours: ${button.textContent}. Change`);
    }
  };
  apply();
  document.addEventListener("DOMContentLoaded", apply);
  window.nextTheme = () => {
    const next = { null: "dark", dark: "light", light: null }[String(chosen())];
    if (next === null) localStorage.removeItem("tasker-theme");
    else localStorage.setItem("tasker-theme", next);
    apply();
  };
})();
