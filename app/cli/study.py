"""`ilora study NAME`: one question about experts, answered with a plot and a sentence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.evidence import RANKS, STUDIES, train_planned, write_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.evaluation.evaluating import Step
    from core.studies.finding import Finding
    from core.studies.grid import Planned
    from core.studies.sweeps import Arms
    from core.training.finished import FinishedRun

Name = Literal[
    "gate", "experts", "levers", "gaps", "heterogeneity", "mixed", "gradients", "coldstart", "collapse"
]
STEPS = {"gate": 100, "experts": 100, "levers": 100, "gaps": 100, "heterogeneity": 150, "mixed": 100}
"""Optimizer steps of each run of the studies that train."""


def study(
    name: Annotated[
        Name,
        typer.Argument(
            help="gate: what guides it. experts: how many. levers: what lifts iLoRA. gaps: what separates "
            "training from asking, and what closes it. heterogeneity: made-up people of known types. "
            "mixed: one adapter for films, music and games. These train, for hours. gradients, coldstart and "
            "collapse look at runs that are there, for minutes."
        ),
    ],
    run: Annotated[
        list[Path] | None,
        typer.Option(
            help="gradients, coldstart, collapse: finished run folders to look at; can be repeated.",
            show_default="the product's own LoRA and iLoRA",
        ),
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="gate, experts, levers, gaps: which data to train on.")
    ] = "movielens",
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Optimizer steps of every run.", show_default="100; heterogeneity 150"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Training seed.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    runs: Annotated[Path, typer.Option(help="Folder of the study's own run folders.")] = Path("runs/studies"),
    out: Annotated[Path, typer.Option(help="Folder of per-user results.")] = Path("evaluations"),
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Laid over the recipe of every run; can be repeated.")
    ] = None,
    report: Annotated[
        Path, typer.Option(help="Folder of the evidence; NAME.json and NAME.svg go into studies/.")
    ] = Path("docs/evidence"),
) -> None:
    """Answer one question about experts: writes the numbers and a plot, prints a sentence.

    Runs that are finished are not trained again; a stopped study goes on where it was.
    """
    import torch

    from app.report.study_plots import draw
    from core.studies.grid import Budget

    torch.set_num_threads(threads)
    length = steps or STEPS.get(name, 0)
    if name in STEPS:
        finding = _trained(name, dataset, length, seed, threads, runs, out, tuple(setting or ()))
    else:
        finding = _looked_at(name, run or [])
    typer.echo(finding.save(report / STUDIES))
    typer.echo(draw(finding, report / STUDIES))
    if (report / RANKS).is_dir():
        write_report(report, Budget())
    typer.echo(finding.sentence)


def _trained(
    name: str,
    dataset: str,
    steps: int,
    seed: int,
    threads: int,
    runs: Path,
    out: Path,
    settings: tuple[str, ...],
) -> "Finding":
    from core.errors import RunBusy
    from core.studies import gaps, heterogeneity, mixed_domains, sweeps
    from core.studies.evidence import check_planned
    from core.studies.grid import with_settings

    arms: Arms | None = None
    sweeping = {"gate": sweeps.gate_arms, "experts": sweeps.experts_arms, "levers": sweeps.levers_arms}
    if name in sweeping:
        arms = sweeping[name](dataset, steps, seed)
        planned = sweeps.once(arms.planned)
    elif name == "gaps":
        planned = gaps.planned(dataset, steps, seed)
    else:
        planned = (heterogeneity if name == "heterogeneity" else mixed_domains).planned(steps, seed)
    planned = with_settings(planned, settings)
    if left := train_planned(planned, runs, threads):
        raise RunBusy(
            f"Left to another process, which is training: {', '.join(left)}. Say it again afterwards."
        )
    check_planned(planned, runs)
    from app.cli.steps_bar import StepsBar

    with StepsBar() as bar:
        if arms is not None:
            return _sweep(arms, planned, runs, out, dataset, steps, bar.step)
        if name == "gaps":
            return _gaps(planned, runs, steps, bar.step)
        if name == "heterogeneity":
            return _heterogeneity(planned, runs, steps, bar.step)
        return _mixed(planned, runs, steps, bar.step)


def _sweep(
    arms: "Arms", planned: "Sequence[Planned]", runs: Path, out: Path, dataset: str, steps: int, step: "Step"
) -> "Finding":
    from core.evaluation.plan import Asked, evaluate_runs, read_runs
    from core.studies.sweeps import sweep

    opened = read_runs([runs / one.name for one in planned])
    evaluated = evaluate_runs(opened, Asked(part="validation", baselines=False), out, step)
    parameters = {run.folder.name: sum(run.summary["parameters"].values()) for run in opened}
    return sweep(arms, evaluated.rows, parameters, dataset, steps)


def _gaps(planned: "Sequence[Planned]", runs: Path, steps: int, step: "Step") -> "Finding":
    from core.data.registry import load_dataset
    from core.studies.gaps import gaps, measure
    from core.training.finished import read_finished

    dataset = load_dataset(planned[0].dataset)
    opened = [read_finished(runs / one.name) for one in planned]
    return gaps(measure(opened, dataset, step), dataset.name, steps)


def _heterogeneity(planned: "Sequence[Planned]", runs: Path, steps: int, step: "Step") -> "Finding":
    from core.studies.heterogeneity import heterogeneity, measure
    from core.training.finished import read_finished

    opened = [read_finished(runs / one.name) for one in planned]
    levels = [measure(lora, ilora, step) for lora, ilora in zip(opened[::2], opened[1::2], strict=True)]
    return heterogeneity(levels, steps)


def _mixed(planned: "Sequence[Planned]", runs: Path, steps: int, step: "Step") -> "Finding":
    from core.data.registry import load_dataset
    from core.data.union import PLUS
    from core.studies import mixed_domains as study
    from core.training.finished import read_finished

    datasets = {one.dataset: load_dataset(one.dataset) for one in planned if PLUS not in one.dataset}
    separate, together = {}, {}
    for one in planned:
        run = read_finished(runs / one.name)
        if PLUS in one.dataset:
            together[one.method] = study.together_hits(run, list(datasets.values()), step)
        else:
            separate[one.dataset, one.method] = study.separate_hits(run, datasets[one.dataset], step)
    return study.mixed(study.compared(separate, together), steps)


def _looked_at(name: str, folders: list[Path]) -> "Finding":
    from tempfile import TemporaryDirectory

    from app.cli.steps_bar import StepsBar
    from core.evaluation.plan import read_runs
    from exports.bundle_info import DEFAULT_BUNDLE
    from exports.bundle_to_runs import runs_from_bundle

    with TemporaryDirectory() as own, StepsBar() as bar:
        chosen = folders or list(runs_from_bundle(DEFAULT_BUNDLE, Path(own)).values())
        return _look(name, read_runs(chosen), bar.step)


def _look(name: str, runs: "list[FinishedRun]", step: "Step") -> "Finding":
    from core.data.registry import load_dataset

    recipe = runs[0].recipe
    step("Loading the data set", 0, 0)
    dataset = load_dataset(recipe.dataset)
    by_method = sorted(runs, key=lambda run: run.recipe.method != "lora")
    if name == "gradients":
        from core.studies.gradients import gradients

        return gradients(by_method, dataset, step=step)
    if name == "coldstart":
        from core.studies.coldstart import coldstart

        return coldstart(by_method, dataset, step)
    from core.studies.collapse import collapse
    from core.training.finished import open_ranker
    from core.training.run import open_backbone

    own = by_method[-1]
    _, router = open_ranker(own, open_backbone(own.recipe, step=step), dataset)
    return collapse(router, dataset.split(recipe.split), recipe.run.seed)
