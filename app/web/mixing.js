// Sliders answer at once with their shares; the server is asked after a short pause, and only for the last position.
const PAUSE = 150;
let slid = null;

const sliders = () => [...element.querySelectorAll("input[type=range]")];
const words = (share) => `${(100 * share).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`;

element.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  const values = sliders().map((slider) => Number(slider.value));
  const sum = values.reduce((total, value) => total + value, 0);
  sliders().forEach((slider, expert) => {
    const text = sum ? words(values[expert] / sum) : "–";
    slider.setAttribute("aria-valuetext", text);
    slider.nextElementSibling.textContent = text;
  });
  clearTimeout(slid);
  // All at zero is no mixture: the list stays until one is moved up.
  if (sum) slid = setTimeout(() => trigger("act", { name: "mix", value: values.join(",") }), PAUSE);
});
