// The map of people: pointing at one, or moving with the arrow keys, shows the history; a press opens it in Compare.
const picture = () => element.querySelector(".map");
const known = new Map();
let current = null;
let asked = 0;

const points = () => [...picture().querySelectorAll("use")];
const at = (point) => [Number(point.getAttribute("x")), Number(point.getAttribute("y"))];

const show = async (point) => {
  if (!point || point === current) return;
  current?.classList.remove("on");
  current = point;
  point.classList.add("on");
  picture().querySelector(".ring").setAttribute("transform", `translate(${at(point).join(" ")})`);
  const mine = ++asked;
  const number = point.dataset.case;
  if (!known.has(number)) known.set(number, await server.person_of(number).catch(() => "The server does not answer."));
  if (mine !== asked) return;
  element.querySelector(".who").textContent = known.get(number);
};

// The nearest person in a direction: near along the axis counts once, off the axis twice.
const next = (dx, dy) => {
  if (!current) return points()[0];
  const [x, y] = at(current);
  let best = current;
  let least = Infinity;
  for (const point of points()) {
    const [px, py] = at(point);
    const along = (px - x) * dx + (py - y) * dy;
    const off = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (along > 0 && along + 2 * off < least) [best, least] = [point, along + 2 * off];
  }
  return best;
};

const open = (point) => point && trigger("act", { name: "case", value: point.dataset.case });
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

element.addEventListener("pointerover", (event) => show(event.target.closest("use")));
element.addEventListener("click", (event) => open(event.target.closest("use")));
element.addEventListener("keydown", (event) => {
  if (event.target !== picture()) return;
  if (ARROWS[event.key]) {
    event.preventDefault();
    show(next(...ARROWS[event.key]));
  } else if (event.key === "Enter" && current) {
    open(current);
  }
});
