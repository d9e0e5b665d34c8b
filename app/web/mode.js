// Light or dark, remembered in the visitor's own browser; Gradio's theme does the rest.
const KEY = "ilora-mode";
const show = (dark) => document.body.classList.toggle("dark", dark);
const kept = localStorage.getItem(KEY);
if (kept) show(kept === "dark");
element.querySelector("button").addEventListener("click", () => {
  const dark = !document.body.classList.contains("dark");
  localStorage.setItem(KEY, dark ? "dark" : "light");
  show(dark);
});
