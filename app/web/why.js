// The explanation costs a few lists' time: it is asked for once the visitor has rested on a list, or by a press.
const REST = 1500;
let timer = null;
const wait = () => {
  clearTimeout(timer);
  if (element.querySelector("[data-wait]")) timer = setTimeout(() => trigger("act", { name: "why", value: "" }), REST);
};
watch("value", wait);
