// While a bundle is loaded: its steps, as the server names them; then the page itself.
const PAUSE = 400;

const draw = (steps) => {
  const list = document.getElementById("steps");
  for (const step of steps.slice(list.children.length)) list.append(Object.assign(document.createElement("li"), { textContent: step }));
};

const fail = (text) => {
  const problem = document.getElementById("problem");
  const again = Object.assign(document.createElement("a"), { href: location.href, textContent: "Try again" });
  problem.replaceChildren(`${text} `, again);
  problem.hidden = false;
};

const look = async () => {
  const answer = await fetch("opening").catch(() => null);
  if (!answer) return fail("The server does not answer.");
  // The page is there as soon as this address is no longer ours: it knows no "opening".
  if (!answer.ok) return location.reload();
  const told = await answer.json();
  draw(told.steps);
  if (told.problem) return fail(told.problem);
  setTimeout(look, PAUSE);
};
look();
