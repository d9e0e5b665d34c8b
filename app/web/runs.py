"""The tab "Runs": training runs of a folder, their curves while they grow, and what to do with them."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log
from pathlib import Path

import gradio as gr

from app.web.lines import Line, line_chart
from app.web.service import Service
from app.web.tab import AT_ONCE, Shared
from app.web.theme import piece, script
from app.web.visit import Visit
from core.training.curves import Curve, CurveReader
from core.training.listing import ListedRun, list_runs
from quant.errors import IloraError

NAME, LABEL = "runs", "Runs"
EVERY = 5.0
"""Seconds between two looks while the tab is open."""
MOST_RUNS = 200
MAY_DIFFER = frozenset({"method", "run.threads", "run.keep", "run.save_every"})
"""Fields in which two runs that are trained alike may differ: they leave what is learned as it was."""
SIGNS = {"running": "▶ running", "finished": "✓ finished", "stopped": "‖ stopped"}
SHOWN: tuple[tuple[str, str, str], ...] = (
    ("train/loss", "Loss", "training loss, mean since the log before; lower is better"),
    ("train/accuracy", "Accuracy", "share of training positions whose next item is ranked first"),
    ("eval/hr1", "Validation HR@1", "validation users whose next item is ranked first among 20"),
    (
        "train/gate_entropy",
        "Gate entropy",
        "mean entropy of the expert weights in nats; 0 is one expert alone",
    ),
)


def found_runs(folder: Path) -> list[ListedRun]:
    """Runs of the folder, those at work first, then the newest."""
    order = {"running": 0, "stopped": 1, "finished": 1}
    runs = list_runs(folder)[:MOST_RUNS] if folder.is_dir() else []
    return sorted(runs, key=lambda run: (order[run.state], -run.folder.stat().st_mtime, str(run.folder)))


def key_of(folder: Path, run: ListedRun) -> str:
    """How a run is called on the page: its path inside the folder."""
    return str(run.folder.relative_to(folder))


def empty(folder: Path) -> str:
    """What to do when there is no run."""
    return (
        f'<p class="lead">There is no training run in <code>{escape(str(folder))}</code> yet.</p>'
        '<p class="fine">This makes one, in a process of its own, and this tab follows it: '
        "<code>ilora train --recipe demo-cpu --method ilora</code>. Runs elsewhere: "
        "<code>ilora serve --runs FOLDER</code>.</p>"
    )


def table(folder: Path, runs: Sequence[ListedRun], chosen: str) -> str:
    """All runs, one per row; a press shows one."""
    if not runs:
        return empty(folder)
    rows = "".join(_row(key_of(folder, run), run, chosen) for run in runs)
    working = sum(run.state == "running" for run in runs)
    told = f"{len(runs)} training run{'s' if len(runs) > 1 else ''}, {working or 'none'} of them at work now."
    return (
        f'<div class="measured runs"><p class="lead">{told}</p><div class="scroll" tabindex="0" '
        'role="region" aria-label="Training runs"><table><thead><tr><th scope="col">Run</th>'
        '<th scope="col">Data</th>'
        '<th scope="col">What</th><th scope="col">State</th><th scope="col">Steps</th><th scope="col" '
        'title="best so far on validation users, among 20 candidates">HR@1</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def _row(key: str, run: ListedRun, chosen: str) -> str:
    recipe = run.recipe
    what = recipe.label if recipe.mode == "catalogue" else f"{recipe.label}, {recipe.mode}"
    best = "–" if run.best_hr1 is None else f"{run.best_hr1:.3f}"
    alarms = f' <span title="alarms">⚠ {len(run.alarms)}</span>' if run.alarms else ""
    return (
        f'<tr><th scope="row"><button type="button" class="act chip" data-act="run" '
        f'data-value="{escape(key)}" data-key="run-{escape(key)}" '
        f'aria-pressed="{"true" if key == chosen else "false"}">{escape(key)}</button></th>'
        f"<td>{escape(recipe.dataset)} {recipe.split}</td><td>{escape(what)}, seed {recipe.run.seed}</td>"
        f'<td>{SIGNS[run.state]}{alarms}</td><td class="number">{run.steps:,} / {recipe.run.max_steps:,}</td>'
        f'<td class="number">{best}</td></tr>'
    )


def verdict(run: ListedRun) -> str:
    """How a run stands, in one sentence that claims no more than was measured."""
    best = (
        ("no validation is recorded" if run.state == "finished" else "no validation yet")
        if run.best_hr1 is None
        else f"best validation HR@1 {run.best_hr1:.3f} at step {run.best_step:,} (among 20)"
    )
    alarms = f"{len(run.alarms)} alarm{'s' if len(run.alarms) > 1 else ''}" if run.alarms else "no alarm"
    if run.state == "finished":
        took = "" if run.minutes is None else f" in {run.minutes:.0f} min"
        return f"Finished after {run.steps:,} steps{took}: {best}, {alarms}."
    if run.state == "running":
        return f"At work, step {run.steps:,} of {run.recipe.run.max_steps:,} at the last checkpoint: {best}."
    return f"Stopped after {run.steps:,} of {run.recipe.run.max_steps:,} steps: {best}. It can go on."


def what_next(run: ListedRun, runs: Sequence[ListedRun]) -> str:
    """The one command that makes something of a run."""
    folder = escape(str(run.folder))
    if run.state == "running":
        return "When it has finished, the command that makes a bundle of it stands here."
    if run.state == "stopped":
        return (
            f"It goes on with <code>ilora train --recipe {folder}/recipe.yaml --out {folder} --resume</code>"
        )
    twin = next((other for other in runs if _twins(run, other)), None)
    if run.recipe.label not in ("ilora", "lora"):
        return "A control: it is compared with <code>ilora evaluate</code>, and no bundle is made of it."
    if twin is None:
        other = "lora" if run.recipe.label == "ilora" else "ilora"
        beside = escape(str(run.folder.with_name(f"{run.name}-{other}")))
        return (
            "A bundle holds iLoRA and LoRA trained alike. The other one is made by <code>ilora train "
            f"--recipe {folder}/recipe.yaml --method {other} --out {beside}</code>"
        )
    ours, theirs = (run, twin) if run.recipe.label == "ilora" else (twin, run)
    bundle = escape(f"bundles/{ours.name}")
    return (
        f"Use this bundle: <code>ilora bundle --ilora {escape(str(ours.folder))} --lora "
        f"{escape(str(theirs.folder))} --out {bundle} &amp;&amp; ilora serve --bundle {bundle}</code>"
    )


def _twins(a: ListedRun, b: ListedRun) -> bool:
    """Whether two finished runs are iLoRA and LoRA, trained alike in everything else."""
    if b.state != "finished" or {a.recipe.label, b.recipe.label} != {"ilora", "lora"}:
        return False
    ours, theirs = a.recipe.flat(), b.recipe.flat()
    return all(ours[name] == theirs[name] for name in ours if name not in MAY_DIFFER)


def curves(run: ListedRun, read: Mapping[str, Curve]) -> str:
    """The four numbers to watch, side by side."""
    if run.state == "finished" and not read:
        return '<p class="fine">There are no curves: the folder holds no training log.</p>'
    end = run.steps if run.state == "finished" else run.recipe.run.max_steps
    experts = run.recipe.adapter.num_experts
    charts = []
    for tag, title, hint in SHOWN:
        if tag.endswith("gate_entropy"):
            if run.recipe.method != "ilora":
                continue
            hint = f"{hint}; ln {experts} = {log(experts):.2f} is all {experts} alike"
        curve = read.get(tag, Curve((), ()))
        charts.append(line_chart(title, hint, Line(title, curve.steps, curve.values), end))
    return f'<div class="curves">{"".join(charts)}</div>'


def detail(folder: Path, run: ListedRun, runs: Sequence[ListedRun], read: Mapping[str, Curve]) -> str:
    """One run: verdict, alarms, curves, the next command, the recipe."""
    name = escape(key_of(folder, run))
    alarms = "".join(f'<p class="problem" role="alert">⚠ {escape(alarm)}</p>' for alarm in run.alarms)
    fields = "".join(
        f'<tr><th scope="row">{escape(field)}</th><td>{escape(str(value))}</td></tr>'
        for field, value in run.recipe.flat().items()
    )
    return (
        f'<section class="run" data-run="{name}"><h2>{name}</h2>'
        f'<p class="lead">{verdict(run)}</p>{alarms}{curves(run, read)}'
        f'<p class="note next">{what_next(run, runs)}</p>'
        f'<details class="why"><summary>Recipe <span>every field as it was resolved</span></summary>'
        f'<div class="measured"><div class="scroll" tabindex="0" role="region" aria-label="Recipe">'
        f"<table><tbody>{fields}</tbody></table></div></div></details></section>"
    )


def first(service: Service, visit: Visit) -> str:
    """The list is read when the tab is opened."""
    return '<p class="fine">Looking for runs …</p>'


def build(service: Service, shared: Shared, visit: Visit, opens_with: str) -> None:
    """Lay out the tab and connect it. It reads files only; training is another process."""
    folder, reader = service.runs, CurveReader()
    acts = script("acts.js")
    listed = piece(opens_with, js_on_load=acts, elem_id="run-list")
    shown = piece("", elem_id="run-detail")
    chosen, drawn = gr.State(""), gr.State(("", ""))
    clock = gr.Timer(EVERY, active=False)

    def look(wanted: str, before: tuple[str, str]) -> tuple[object, ...]:
        try:
            runs = found_runs(folder)
            run = next((run for run in runs if key_of(folder, run) == wanted), runs[0] if runs else None)
            key = key_of(folder, run) if run else ""
            now = (
                table(folder, runs, key),
                detail(folder, run, runs, reader.read(run.folder)) if run else "",
            )
        except (IloraError, OSError, ValueError) as error:  # a file half written by the other process
            now = f'<p class="problem" role="alert">{escape(str(error))}</p>', before[1]
        # What has not changed is not sent again: an opened recipe stays open.
        parts = [new if new != old else gr.skip() for new, old in zip(now, before, strict=True)]
        return *parts, now

    def on_tab(tab: str, wanted: str, before: tuple[str, str]) -> tuple[object, ...]:
        if tab != NAME:
            return gr.skip(), gr.skip(), gr.skip(), gr.Timer(active=False)
        return *look(wanted, before), gr.Timer(active=True)

    def on_act(before: tuple[str, str], event: gr.EventData) -> tuple[object, ...]:
        wanted = str(event.value)
        return *look(wanted, before), wanted

    shared.tab.change(on_tab, [shared.tab, chosen, drawn], [listed, shown, drawn, clock], **AT_ONCE)
    clock.tick(look, [chosen, drawn], [listed, shown, drawn], **AT_ONCE)
    listed.act(on_act, drawn, [listed, shown, drawn, chosen], **AT_ONCE)
