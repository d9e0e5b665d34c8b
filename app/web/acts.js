// Buttons inside a redrawn piece of HTML: one listener tells the server what was pressed, and the keyboard's place
// survives the redraw.
let held = null;

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button || button.disabled) return;
  held = button.dataset.key ?? null;
  trigger("act", { name: button.dataset.act, value: button.dataset.value });
});

watch("value", () => {
  if (held === null) return;
  const same = element.querySelector(`[data-key="${CSS.escape(held)}"]:not([disabled])`);
  const next = same ?? element.querySelector("[data-key]:not([disabled])");
  if (next) next.focus({ preventScroll: true });
  held = null;
});
