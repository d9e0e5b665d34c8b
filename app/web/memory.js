// A visitor's history, adapter and tab, kept in his own browser: they survive a refresh, and a link can carry them
// (?history=id,id&adapter=lora&tab=compare, or ?person=196). The server keeps nothing.
const KEY = `ilora-visit:${location.pathname}`;
const FIELDS = ["person", "adapter", "tab"];

const split = (text) => text.split(",").filter(Boolean).map((part) => decodeURIComponent(part.replaceAll("+", " ")));

const linked = () => {
  const state = {};
  for (const part of location.search.slice(1).split("&")) {
    const [name, value = ""] = part.split("=");
    try {
      if (name === "history") state.history = split(value);
      else if (FIELDS.includes(name)) state[name] = decodeURIComponent(value);
    } catch {
      // a link cut in the middle of a sign: the rest of it may still be good
    }
  }
  return Object.keys(state).length ? state : null;
};

const kept = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY));
  } catch {
    return null;
  }
};

const current = () => element.querySelector("[data-state]")?.dataset.state;

const link = () => {
  const { history, ...rest } = JSON.parse(current());
  const parts = rest.person ? [] : [`history=${history.map(encodeURIComponent).join(",")}`];
  for (const name of FIELDS) if (rest[name]) parts.push(`${name}=${encodeURIComponent(rest[name])}`);
  return `${location.origin}${location.pathname}?${parts.join("&")}`;
};

const keep = () => {
  const state = current();
  if (!state) return;
  try {
    sessionStorage.setItem(KEY, state);
    localStorage.setItem(KEY, state);
  } catch {
    // a browser that keeps nothing: the page works, and forgets
  }
};

const asked = linked();
// Taken out of the address: from here on the browser's memory is what counts, and a refresh must not undo changes.
if (asked) history.replaceState(null, "", location.pathname);
const start = asked ?? kept();
if (start && JSON.stringify(start) !== current()) {
  // Once the page listens: an event that comes before is lost.
  setTimeout(() => trigger("act", { name: "open", value: JSON.stringify(start) }), 0);
}
watch("value", keep);

element.addEventListener("click", async (event) => {
  const kind = event.target.closest("button")?.dataset.page;
  if (kind === "retry") location.reload();
  if (kind !== "link") return;
  const field = element.querySelector("[data-link]");
  field.hidden = false;
  field.value = link();
  field.select();
  let copied = true;
  await navigator.clipboard?.writeText(field.value).catch(() => { copied = false; });
  element.querySelector("[data-said]").textContent = navigator.clipboard && copied ? "Copied." : "Copy this link:";
});

// A server that has gone is said, and never waited for in silence. The history is safe here.
const look = async () => {
  if (document.hidden) return;
  const answer = await fetch("health", { signal: AbortSignal.timeout(8000) }).catch(() => null);
  element.querySelector("[data-gone]").hidden = Boolean(answer);
};
setInterval(look, 15000);
