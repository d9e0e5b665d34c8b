"""`ilora evidence`: every row of the protocol trained at one budget and measured, as one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.studies.grid import Budget, Planned
    from core.training.run import Watch

TABLE, PAGE, HTML, VERDICTS, RANKS = "table.json", "README.md", "report.html", "verdict.json", "ranks"
ABOVE = "above-sasrec.json"
REMARKS = "remarks.md"
"""Written by hand, unlike all else: what is made of the numbers."""
STUDIES = "studies"
SPLITS = ("loo", "paper")
COMMAND = "make evidence"


def evidence(
    place: Annotated[
        list[str] | None,
        typer.Option(help="DATASET-SPLIT, such as movielens-loo; can be repeated.", show_default="all seven"),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="catalogue, branch or generate; can be repeated.", show_default="all three"),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Training seed; can be repeated.")] = None,
    controls: Annotated[
        bool, typer.Option(help="Train the static, random and shuffled gates too, with every seed.")
    ] = True,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of every run in catalogue mode.")] = 100,
    paper_steps: Annotated[int, typer.Option(min=1, help="The same on the published splits.")] = 60,
    branch_steps: Annotated[int, typer.Option(min=1, help="Steps of a second stage (its head alone).")] = 25,
    generate_steps: Annotated[int, typer.Option(min=1, help="Steps in generate mode.")] = 12,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of this process.")] = 2,
    runs: Annotated[Path, typer.Option(help="Folder of the run folders.")] = Path("runs/evidence"),
    out: Annotated[Path, typer.Option(help="Folder of per-user results.")] = Path("evaluations"),
    report: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("docs/evidence"),
    users: Annotated[
        int | None, typer.Option(min=1, help="Measure the first so many test users only, to try it out.")
    ] = None,
    title_users: Annotated[
        int,
        typer.Option(min=1, help="Users asked by the rows that read titles (zero-shot, branch, generate)."),
    ] = 100,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Laid over the recipe of every run; can be repeated. What is not the recipe's own needs its "
            "own --runs and --report.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be trained.")] = False,
) -> None:
    """Train and measure the whole comparison: hours, resumable; finished parts are not done again.

    Started once per core with --threads 1, the processes share the runs among them. Whoever finishes last
    measures; the table grows by one data set and split at a time.
    """
    from core.studies.evidence import check_planned
    from core.studies.grid import Budget, planned_runs, with_settings

    budget = Budget(steps, branch_steps, generate_steps, paper_steps)
    seeds, modes = seed or [1], mode or ["catalogue", "branch", "generate"]
    for dataset, split in _places(place):
        planned = with_settings(planned_runs(dataset, split, seeds, budget, modes, controls), setting or [])
        if dry_run:
            _list(planned, runs)
            continue
        if left := train_planned(planned, runs, threads):
            typer.echo(f"{dataset} {split}: left to another process: {', '.join(left)}.", err=True)
            continue
        check_planned(planned, runs)  # what is measured is what is reported
        if _measure(planned, runs, out, users, title_users, report / RANKS / f"{dataset}-{split}.parquet"):
            write_report(report, budget, command_of(setting or [], runs, report))
        else:
            typer.echo(f"{dataset} {split}: being measured by another process.", err=True)


def _places(names: list[str] | None) -> list[tuple[str, str]]:
    from core.errors import RunError
    from core.studies.grid import PLACES

    known = {f"{dataset}-{split}": (dataset, split) for dataset, split in PLACES}
    for name in names or []:
        if name not in known:
            raise RunError(f"--place {name}: choose among {', '.join(known)}.")
    return [known[name] for name in names or known]


def _list(planned: "list[Planned]", runs: Path) -> None:
    from core.studies.evidence import is_finished

    for one in planned:
        state = "done   " if is_finished(one, runs) else "to do  "
        typer.echo(f"{state}{one.name}: {one.recipe} --method {one.method} {' '.join(one.resolved(runs))}")


def train_planned(planned: "Sequence[Planned]", runs: Path, threads: int) -> list[str]:
    """Train what is not finished, with a bar each; names of what another process is at."""
    from contextlib import ExitStack

    from app.cli.train_progress import TrainingProgress
    from core.studies.evidence import train_missing

    with ExitStack() as shown:

        def begins(one: "Planned", steps: int) -> "Watch":
            shown.close()  # the bars of the run before
            typer.echo(f"{one.name}: training.", err=True)
            return shown.enter_context(TrainingProgress(steps)).watch()

        return train_missing(planned, runs, threads, begins)


def _measure(
    planned: "list[Planned]", runs: Path, out: Path, users: int | None, title_users: int, kept: Path
) -> bool:
    """Whether this process did it."""
    from app.cli.steps_bar import StepsBar
    from core.data.candidates import KINDS
    from core.errors import RunBusy
    from core.evaluation.archive import archive
    from core.evaluation.plan import Asked, evaluate_runs, read_runs

    opened = read_runs([runs / one.name for one in planned])
    try:
        with StepsBar() as bar:
            asked = Asked(kinds=KINDS, users=users, title_users=title_users)
            evaluated = evaluate_runs(opened, asked, out, bar.step)
    except RunBusy:
        return False
    archive(kept, evaluated.questions.users, evaluated.rows)
    return True


def command_of(settings: "Sequence[str]", runs: Path, report: Path) -> str:
    """What makes a report anew; those of settings of their own are not `make evidence`'s."""
    if not settings:
        return COMMAND
    laid_over = " ".join(f"--set {setting}" for setting in settings)
    return f"ilora evidence {laid_over} --runs {runs} --report {report}"


def write_report(report: Path, budget: "Budget", command: str = COMMAND) -> None:
    """Table, page and verdicts from all archives and studies, those of other machines and days too.

    Args:
        report: its folder.
        budget: that every run had.
        command: that makes it anew.
    """
    from app.report.evidence_page import evidence_html, evidence_page
    from core.data.candidates import KINDS
    from core.evaluation.table import read_archives, table_row, write_table
    from core.studies.above import above, write_above
    from core.studies.finding import read_findings
    from core.studies.judging import judge, write_verdicts

    rows = read_archives(report / RANKS)
    judgements = [judge(rows, split, kind) for split in SPLITS for kind in KINDS]
    beside = above(rows, "loo", "uniform")
    write_table([table_row(row) for row in rows], report / TABLE)
    write_verdicts(judgements, report / VERDICTS)
    write_above(beside, report / ABOVE)
    remarks = (report / REMARKS).read_text(encoding="utf-8") if (report / REMARKS).is_file() else ""
    findings = read_findings(report / STUDIES)
    page = evidence_page(rows, judgements, beside, findings, command, budget, remarks)
    (report / PAGE).write_text(page + "\n", encoding="utf-8")
    (report / HTML).write_text(evidence_html(page), encoding="utf-8")
    typer.echo(f"{len(rows)} rows in {report / TABLE} and {report / PAGE}.")
