// Draws the figures; recolours them with the theme; the legend's buttons hide and show a variant everywhere.
"use strict";
(() => {
  const figures = [...document.querySelectorAll("script[data-figure]")].map((script) => ({
    box: document.getElementById(script.dataset.figure),
    spec: script.textContent,
  }));
  const hidden = new Set();
  const narrow = window.matchMedia("(max-width: 560px)");

  const coloured = (text) => {
    const style = getComputedStyle(document.documentElement);
    return JSON.parse(text, (key, value) =>
      typeof value === "string" && /^@(v\d+|ink|muted|grid|rule|bad|page)$/.test(value)
        ? style.getPropertyValue("--" + value.slice(1)).trim() || "#888"
        : value);
  };

  const draw = (width) => {
    for (const { box, spec } of figures) {
      const { data, layout } = coloured(spec);
      for (const trace of data) if (hidden.has(trace.meta)) trace.visible = false;
      if (narrow.matches && !width) {
        layout.height = 300;
        layout.font.size = 11;
        for (const trace of data) if (trace.mode === "markers+text") trace.mode = "markers"; // the legend names them
        if (layout.meta === "front") { layout.xaxis.autorange = true; delete layout.xaxis.range; }
      }
      if (width) Object.assign(layout, { width, height: 300 });
      Plotly.react(box, data, layout, { responsive: !width, displayModeBar: false });
    }
  };

  for (const button of document.querySelectorAll("button[data-variant]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.variant;
      hidden.has(name) ? hidden.delete(name) : hidden.add(name);
      for (const twin of document.querySelectorAll("button[data-variant]"))
        if (twin.dataset.variant === name) twin.setAttribute("aria-pressed", String(!hidden.has(name)));
      draw();
    });
  }
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  narrow.addEventListener("change", () => draw());
  window.addEventListener("beforeprint", () => { document.documentElement.classList.add("print"); draw(640); });
  window.addEventListener("afterprint", () => { document.documentElement.classList.remove("print"); draw(); });
})();
