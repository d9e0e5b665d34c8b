// Search as you type: the server finds the titles, at most 30 of them; this draws them as a listbox that follows the
// WAI-ARIA combobox pattern. Titles are set as text, never as HTML.
const input = element.querySelector("input");
const list = element.querySelector("[role=listbox]");
let options = [];
let active = -1;
let asked = 0;

const close = () => {
  list.hidden = true;
  list.replaceChildren();
  options = [];
  active = -1;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
};

const highlight = (position) => {
  options[active]?.node.setAttribute("aria-selected", "false");
  active = options.length ? (position + options.length) % options.length : -1;
  const option = options[active];
  if (!option) return input.removeAttribute("aria-activedescendant");
  option.node.setAttribute("aria-selected", "true");
  option.node.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", option.node.id);
};

const draw = ({ items, literal }) => {
  close();
  if (!items.length) return;
  if (!literal) {
    const note = document.createElement("li");
    note.className = "note";
    note.setAttribute("role", "presentation");
    note.textContent = "Nothing here contains this. Closest:";
    list.append(note);
  }
  options = items.map((item, position) => {
    const node = document.createElement("li");
    node.id = `found-${position}`;
    node.setAttribute("role", "option");
    node.setAttribute("aria-selected", "false");
    const title = document.createElement("span");
    title.textContent = item.title;
    const genres = document.createElement("small");
    genres.textContent = item.genres;
    node.append(title, genres);
    node.addEventListener("pointerdown", (event) => { event.preventDefault(); take(item.index); });
    list.append(node);
    return { node, index: item.index };
  });
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  // Enter takes the first title only if it really contains what was typed.
  if (literal) highlight(0);
};

const say = (text) => {
  close();
  const note = document.createElement("li");
  note.className = "note";
  note.textContent = text;
  list.append(note);
  list.hidden = false;
};

// Null when a later question has overtaken this one, or nobody answers.
const ask = async (query) => {
  const mine = ++asked;
  try {
    const found = await server.find_titles(query);
    return mine === asked ? found : null;
  } catch {
    if (mine === asked) say("The server does not answer. Your history is still here; try again in a moment.");
    return null;
  }
};

const take = (index) => {
  asked += 1;
  input.value = "";
  close();
  trigger("act", { name: "add", value: String(index) });
};

const enter = async () => {
  const text = input.value.trim();
  if (!text) return;
  if (active >= 0) return take(options[active].index);
  // Typed faster than the answer came: the same rule as on screen, the first title if it contains what was typed.
  const found = await ask(text);
  if (found?.literal) return take(found.items[0].index);
  if (!found) return;
  close();
  input.select();
  trigger("act", { name: "typed", value: text });
};

// A pause shorter than a key press of a slow typist; the last question wins, older answers are dropped.
let pause = null;
input.addEventListener("input", () => {
  clearTimeout(pause);
  asked += 1;
  const query = input.value.trim();
  if (!query) return close();
  pause = setTimeout(async () => {
    const found = await ask(query);
    if (found) draw(found);
  }, 60);
});

input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    highlight(active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1));
  } else if (event.key === "Enter") {
    event.preventDefault();
    clearTimeout(pause);
    enter();
  } else if (event.key === "Escape") {
    close();
  }
});

input.addEventListener("blur", () => close());
