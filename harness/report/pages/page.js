// Draws the figures; recolours them with the theme; the legend's buttons hide and show a variant everywhere.
"use strict";
(() => {
  const root = document.documentElement;
  const figures = [...document.querySelectorAll("script[data-figure]")].map((script) => ({
    box: document.getElementById(script.dataset.figure),
    spec: script.textContent,
  }));
  const hidden = new Set();
  const narrow = window.matchMedia("(max-width: 560px)");

  const coloured = (text) => {
    const style = getComputedStyle(root);
    return JSON.parse(text, (key, value) =>
      typeof value === "string" && /^@(v\d+|ink|muted|grid|rule|bad|good|page)$/.test(value)
        ? style.getPropertyValue("--" + value.slice(1)).trim() || "#888"
        : value);
  };

  const draw = (figure, width) => {
    const box = figure.box;
    const { data, layout } = coloured(figure.spec);
    for (const trace of data) if (hidden.has(trace.meta)) trace.visible = false;
    if (width) {
      Object.assign(layout, { width, height: layout.meta === "ladder" ? layout.height : 300 });
    } else if (narrow.matches) {
      if (layout.meta !== "ladder") layout.height = 300;
      layout.font.size = 11;
      for (const trace of data) trace.mode = trace.mode.replace("+text", ""); // the legend names them
      if (layout.meta === "front") { layout.xaxis.autorange = true; delete layout.xaxis.range; }
    }
    figure.drawn = true;
    box.style.minHeight = layout.height + "px";
    Plotly.react(box, data, layout, { responsive: !width, displayModeBar: false });
  };
  const redraw = (width) => figures.forEach((figure) => { if (width || figure.drawn) draw(figure, width); });

  for (const button of document.querySelectorAll("button[data-variant]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.variant;
      hidden.has(name) ? hidden.delete(name) : hidden.add(name);
      for (const twin of document.querySelectorAll("button[data-variant]"))
        if (twin.dataset.variant === name) twin.setAttribute("aria-pressed", String(!hidden.has(name)));
      redraw();
    });
  }
  // The marks are written out at the top of the page; the navigation has their words once these are off the screen.
  const marks = document.querySelector(".marks"), nav = document.querySelector("nav");
  if (marks) new IntersectionObserver(([seen]) => nav.classList.toggle("marked", seen.isIntersecting)).observe(marks);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  narrow.addEventListener("change", () => redraw());
  window.addEventListener("beforeprint", () => { root.classList.add("print"); redraw(640); }); // draws what is not drawn yet, too
  window.addEventListener("afterprint", () => { root.classList.remove("print"); redraw(); });

  // What is on the screen first, then the rest, one figure a turn, so that the page can be read meanwhile. `ready` says
  // that the first screen is drawn, `drawn` how many figures there are once all of them are.
  const waiting = new Set(figures);
  const near = (figure) => {
    const { top, bottom } = figure.box.getBoundingClientRect();
    return bottom > 0 && top < window.innerHeight;
  };
  const next = () => {
    const seen = [...waiting].find(near);
    if (!seen && !root.dataset.ready) root.dataset.ready = String(figures.length - waiting.size);
    const figure = seen || waiting.values().next().value;
    if (!figure) { root.dataset.drawn = String(figures.length); return; }
    waiting.delete(figure);
    if (!figure.drawn) draw(figure);
    setTimeout(next, 0);
  };
  setTimeout(next, 0);
})();
