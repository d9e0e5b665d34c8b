"""The command `ilora`: puts the sub-commands together. Each lives in a file of its own beside this one.

Those files import torch and friends inside their functions only, so that `--help` answers at once.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from app.cli.batch import batch
from app.cli.bundle import bundle, unbundle
from app.cli.compare import compare
from app.cli.data import data_app
from app.cli.doctor import doctor
from app.cli.edge import exit_code_of
from app.cli.estimate import estimate
from app.cli.evaluate import evaluate
from app.cli.evidence import evidence
from app.cli.quiet import quiet_libraries
from app.cli.recommend import recommend
from app.cli.runs import runs
from app.cli.serve import serve
from app.cli.study import study
from app.cli.train import train
from app.cli.tune import tune

cli = typer.Typer(
    name="ilora",
    help="Personal recommendations from a 4-bit language model with LoRA experts mixed for every person.",
    no_args_is_help=True,
    add_completion=False,
)
_COMMANDS = (
    recommend,
    batch,
    serve,
    train,
    estimate,
    tune,
    runs,
    evaluate,
    compare,
    bundle,
    unbundle,
    evidence,
    study,
    doctor,
)
for _command in _COMMANDS:
    cli.command()(_command)
cli.add_typer(data_app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("ilora"))
        raise typer.Exit()


@cli.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of `ilora` itself; its help text is the one given to Typer above."""


def main() -> None:
    """Entry point of the console script."""
    quiet_libraries()
    # Not standalone: Typer would print its own panels and tracebacks, and we promise one line.
    code = exit_code_of(lambda: cli(standalone_mode=False))
    if "WORLD_SIZE" in os.environ:
        from core.training.processes import leave  # slow to import, and loaded already in a training process

        leave(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
