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
  if (!answer?.ok) return fail("The server does not answer.");
  const told = await answer.json();
  if (told.open) return location.reload();
  draw(told.steps);
  if (told.problem) return fail(told.problem);
  setTimeout(look, PAUSE);
};
look();
