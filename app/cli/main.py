"""The command `ilora`: puts the sub-commands together. Each lives in a file of its own beside this one.

Those files import torch and friends inside their functions only, so that `--help` answers at once.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from app.cli.data import data_app
from app.cli.doctor import doctor
from app.cli.edge import exit_code_of
from app.cli.quiet import quiet_libraries

cli = typer.Typer(
    name="ilora",
    help="Personal recommendations from a 4-bit language model with LoRA experts mixed for every person.",
    no_args_is_help=True,
    add_completion=False,
)
cli.add_typer(data_app, name="data")
cli.command()(doctor)

# TEMPORARY until all sub-command files exist.
import importlib  # noqa: E402
import importlib.util  # noqa: E402

for _file, _names in (("recommend", ["recommend"]), ("train", ["train", "train_encoder"]), ("serve", ["serve"])):
    if importlib.util.find_spec(f"app.cli.{_file}"):
        _module = importlib.import_module(f"app.cli.{_file}")
        for _name in _names:
            if hasattr(_module, _name):
                cli.command(_name.replace("_", "-"))(getattr(_module, _name))


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
    """Options of `ilora` itself; a docstring here would be shown as help, were it not given above."""


def main() -> None:
    """Entry point of the console script."""
    quiet_libraries()
    # Not standalone: Typer would print its own panels and tracebacks, and we promise one line.
    sys.exit(exit_code_of(lambda: cli(standalone_mode=False)))


if __name__ == "__main__":
    main()
