// Buttons inside a redrawn piece of HTML: one listener tells the server what was pressed, and the keyboard's place
// survives the redraw. A button may take its value from a text field; Enter in such a field presses it.
let held = null;

const press = (button) => {
  if (!button || button.disabled) return;
  if (button.dataset.toggle) {
    button.setAttribute("aria-pressed", element.classList.toggle(button.dataset.toggle));
    return;
  }
  const field = button.dataset.from && document.getElementById(button.dataset.from);
  held = button.dataset.key ?? null;
  // Acknowledged at once, whatever the server is doing; the redraw, or three seconds, take the sign away.
  button.classList.add("busy");
  setTimeout(() => button.classList.remove("busy"), 3000);
  trigger("act", { name: button.dataset.act, value: field ? field.value : button.dataset.value });
};

element.addEventListener("click", (event) => press(event.target.closest("[data-act], [data-toggle]")));
element.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.dataset.enter) press(element.querySelector(`[data-from="${event.target.id}"]`));
});

watch("value", () => {
  for (const button of element.querySelectorAll("[data-toggle]")) {
    button.setAttribute("aria-pressed", element.classList.contains(button.dataset.toggle));
  }
  if (held === null) return;
  const same = element.querySelector(`[data-key="${CSS.escape(held)}"]:not([disabled])`);
  const next = same ?? element.querySelector("[data-key]:not([disabled])");
  if (next) next.focus({ preventScroll: true });
  held = null;
});
