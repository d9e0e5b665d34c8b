// Pointing at a title in one list marks the same title in the others.
const mark = (item, on) => {
  for (const twin of element.querySelectorAll(`[data-item="${CSS.escape(item)}"]`)) twin.classList.toggle("twin", on);
};
for (const [kind, on] of [["pointerover", true], ["pointerout", false]]) {
  element.addEventListener(kind, (event) => {
    const line = event.target.closest("[data-item]");
    if (line) mark(line.dataset.item, on);
  });
}
