// A visitor's history, adapter and tab, kept in his own browser and in the address: they survive a refresh and the
// way back, and the address is a link (?history=id,id&adapter=lora&tab=compare, or ?person=196). The data set is the
// path. The server keeps nothing.
const KEY = `ilora-visit:${location.pathname}`;
const FIELDS = ["person", "adapter", "tab"];
const LONGEST = 4000;
const PAUSE = 500;
const ROOT = document.querySelector("#head [data-root]")?.dataset.root ?? "";

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

const view = ({ adapter, tab }) => ["adapter", "tab"].map((name, at) => `${name}=${encodeURIComponent([adapter, tab][at])}`);

const link = (state = JSON.parse(current())) => {
  const whose = state.person
    ? `person=${encodeURIComponent(state.person)}`
    : `history=${state.history.map(encodeURIComponent).join(",")}`;
  return `${location.origin}${location.pathname}?${[whose, ...view(state)].join("&")}`;
};

// The address follows at once, but no more than twice a second: browsers refuse floods. A history too long for an
// address stays in the browser's memory alone.
let followed = 0;
let later = null;
const follow = () => {
  clearTimeout(later);
  later = null;
  followed = Date.now();
  const state = JSON.parse(current());
  const whole = link(state);
  const address = whole.length > LONGEST ? `${location.pathname}?${view(state).join("&")}` : whole;
  if (location.href !== address) window.history.replaceState(window.history.state, "", address);
  // Another data set opens on the same tab, ranked by the same method.
  for (const other of document.querySelectorAll("#head .datasets a")) other.search = `?${view(state).join("&")}`;
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
  later ??= setTimeout(follow, Math.max(0, PAUSE - (Date.now() - followed)));
};
addEventListener("pagehide", () => later && follow());

// A link that names no history (from another data set, or a long one) goes with what is kept here.
const whole = (asked, mine) => (!asked ? mine : "history" in asked || "person" in asked ? asked : { ...mine, ...asked });
const plain = ({ history = [], person = "", adapter = "", tab = "" }) => JSON.stringify({ history, person, adapter, tab });

// An event that comes before the page listens is lost without a word, and on a busy machine that takes seconds:
// asked again, ever more seldom, until the page shows another state than the one it came with.
const start = whole(linked(), kept());
const came = current();
const open = (pause) => {
  if (current() !== came) return;
  trigger("act", { name: "open", value: JSON.stringify(start) });
  if (pause <= 16_000) setTimeout(open, pause, 2 * pause);
};
if (start && plain(start) !== came) setTimeout(open, 0, 1000);
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

// A server that has gone is said, and never waited for in silence. One that was started anew has forgotten this page,
// which begins again with what is kept here.
let started = null;
let next = null;
const look = async () => {
  clearTimeout(next);
  let gone = false;
  if (!document.hidden) {
    const asked = fetch(`${ROOT}health`, { cache: "no-store", signal: AbortSignal.timeout(8000) });
    const told = await asked.then((answer) => (answer.ok ? answer.json() : {})).catch(() => null);
    gone = told === null;
    element.querySelector("[data-gone]").hidden = !gone;
    if (started && told?.started && told.started !== started) return location.reload();
    started = told?.started ?? started;
  }
  clearTimeout(next);
  next = setTimeout(look, gone ? 2000 : 15000);
};
document.addEventListener("visibilitychange", look);
addEventListener("online", look);
addEventListener("offline", look);
look();
