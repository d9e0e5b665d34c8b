"""`ilora tune`: a search over recipe fields, judged by validation users, resumable."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.training.recipe import Recipe
    from core.training.run import Watch
    from core.tuning.search import Trial


def tune(
    space: Annotated[
        list[str],
        typer.Option(
            help="A field and what it may be: optimizer.adapter_lr=log:1e-4:1e-3, adapter.r=choice:4,8,16, "
            "rows.history_length=int:5:30, model.token_dropout=float:0:0.4. Can be repeated."
        ),
    ],
    recipe: Annotated[
        str, typer.Option(help="A recipe of the product by name, or a YAML file.")
    ] = "demo-cpu",
    method: Annotated[str | None, typer.Option(help="ilora or lora; the recipe's own when left out.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Lay a field over the recipe in every trial. Can be repeated."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of earlier calls included.")] = 20,
    metric: Annotated[
        Literal["hr1", "ndcg10"], typer.Option(help="Of validation users among 20 candidates.")
    ] = "hr1",
    seed: Annotated[int, typer.Option(help="Of the proposals.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the study and its runs.")] = Path("runs/tune"),
) -> None:
    """Search recipe fields with Optuna: TPE proposes, hopeless trials are stopped early, SQLite remembers.

    Validation users judge; test users are never asked. Stopped or killed, the same command goes on.
    """
    from core.tuning.search import Search, tune
    from core.tuning.space import read_space

    search = Search(recipe, tuple(set_ or ()), read_space(space), out, metric, method, seed)

    from contextlib import ExitStack

    from app.cli.train_progress import TrainingProgress

    with ExitStack() as shown:

        def begins(number: int, wanted: "Recipe", settings: "Sequence[str]") -> "Watch":
            shown.close()  # the bars of the trial before
            typer.echo(f"trial {number}: {' '.join(settings)}", err=True)
            return shown.enter_context(TrainingProgress(wanted.run.max_steps)).watch()

        done = tune(search, trials, begins)
    _show(done, metric, out)


def _show(done: "list[Trial]", metric: str, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from app.report.words import rate

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "state", metric, "settings"):
        table.add_column(name)
    for trial in done:
        table.add_row(str(trial.number), trial.state, rate(trial.value, 4), " ".join(trial.settings))
    console = Console()
    console.print(table)
    complete = [trial for trial in done if trial.state == "complete" and trial.value is not None]
    if complete:
        best = max(complete, key=lambda trial: trial.value or 0.0)
        laid_over = " ".join(f"--set {setting}" for setting in best.settings)
        console.print(f"Best: trial {best.number}, {out / best.run}: {laid_over}", soft_wrap=True)
