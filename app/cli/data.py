"""`ilora data`: what there is and under which terms, fetching, importing, data sets in numbers."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.data_import import import_command

if TYPE_CHECKING:
    from rich.table import Table

    from core.assets import AssetStatus
    from core.data.description import Description

data_app = typer.Typer(help="Backbones and data sets: list, fetch, import, describe.", no_args_is_help=True)

EVERYTHING = "all"
BAR_WIDTH = 40

data_app.command("import")(import_command)


@data_app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Everything that can be downloaded or was imported, with size, licence and terms."""
    from core.assets import list_assets

    statuses = [*list_assets(), *_imported()]
    if as_json:
        typer.echo(json.dumps([{**vars(status), "path": str(status.path)} for status in statuses], indent=2))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for status in statuses:
        where = f"{'cached' if status.cached else 'yours'} in {status.path}"
        size = "" if status.size_bytes is None else f"{status.size_bytes / 1e6:.1f} MB, "
        console.print(
            f"[bold]{escape(status.name)}[/]  {status.kind}, version {escape(status.version)}, {size}"
            f"{escape(status.licence)}"
        )
        console.print(f"  {escape(f'Not here. {status.how}' if status.how else where)}", overflow="fold")
        console.print(f"  [dim]{escape(status.terms)}[/]")


def _imported() -> "list[AssetStatus]":
    """Imported data sets of the cache, as the list shows them."""
    from core.assets import AssetStatus
    from core.data.importing.store import list_imported

    return [
        AssetStatus(
            name=kept.name,
            kind="dataset",
            version=f"imported from {' and '.join(kept.files)}",
            licence="yours",
            terms=kept.terms,
            size_bytes=kept.size_bytes,
            cached=True,
            path=kept.folder,
            how="",
            optional=True,
        )
        for kept in list_imported()
    ]


@data_app.command("fetch")
def fetch_command(
    name: Annotated[str, typer.Argument(help=f"Name as `ilora data list` shows it, or: {EVERYTHING}.")],
    verify: Annotated[bool, typer.Option("--verify", help="Hash cached files again.")] = False,
    sha256: Annotated[
        list[str] | None,
        typer.Option(
            "--sha256", help="FILE=SHA256 of a file whose hash is not known beforehand; repeatable."
        ),
    ] = None,
) -> None:
    """Download into the cache, check the sha256, print the folder. Needs no network when cached."""
    from app.cli.download_bar import DownloadBar
    from core.assets import ASSETS, BROUGHT, asset, fetch, fetch_brought

    said = _hashes(sha256 or [])
    if said and name not in BROUGHT:
        raise typer.BadParameter(f"the files of {name} have known hashes; leave --sha256 out.")
    for wanted in ASSETS if name == EVERYTHING else [name]:
        with DownloadBar(wanted) as bar:
            if wanted in BROUGHT:
                folder = fetch_brought(wanted, bar, sha256=said, verify=verify)
            else:
                folder = fetch(wanted, bar, verify=verify)
        typer.echo(f"{wanted}: {folder}")
        typer.echo(f"  {(BROUGHT.get(wanted) or asset(wanted)).terms}", err=True)
    if name == EVERYTHING:
        _say_what_is_left_out()


def _hashes(said: list[str]) -> dict[str, str]:
    """FILE=SHA256 of every --sha256."""
    import re

    hashes = {}
    for entry in said:
        file, _, digest = entry.rpartition("=")
        if not file or not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise typer.BadParameter(f'--sha256 takes FILE=SHA256 with 64 hexadecimal digits, not "{entry}".')
        hashes[file] = digest.lower()
    return hashes


def _say_what_is_left_out() -> None:
    """`all` is what everybody needs; the other data sets wait for somebody who wants them."""
    from core.assets import list_assets

    for status in list_assets():
        if status.optional and status.how:
            typer.echo(f"Left out: {status.name}. {status.how}", err=True)


@data_app.command("describe")
def describe_command(
    name: Annotated[
        str, typer.Argument(help="A data set: movielens, lastfm, an imported one by name or folder, ...")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """A data set in numbers: users, items, splits, lengths, years, genres, terms and content hash."""
    from app.cli.download_bar import DownloadBar
    from core.data.description import describe
    from core.data.registry import load_dataset

    with DownloadBar(name) as bar:
        dataset = load_dataset(name, bar)
    description = describe(dataset)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(description), indent=2, ensure_ascii=False))
    else:
        _show(description)


def _show(description: "Description") -> None:
    from rich.columns import Columns
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"[bold]{escape(description.name)}[/]: {description.users:,} users, {description.items:,} items, "
        f"{description.interactions:,} interactions (density {description.density:.1%}, "
        f"median {description.median_length:g} per user)\n"
    )
    splits = Table("split", box=None, pad_edge=False, header_style="dim")
    for heading in ("training users", "training interactions", "validation n", "test n"):
        splits.add_column(heading, justify="right")
    for split in description.splits:
        counts = (split.train_users, split.train_interactions, split.validation, split.test)
        splits.add_row(split.name, *(f"{count:,}" for count in counts))
    console.print(splits, "")
    console.print(bars("items per user", "users", description.lengths), "")
    kinds = (("genre", description.genres), ("decade", description.decades))
    known = [bars(what, "items", counts, 16) for what, counts in kinds if counts]
    if known:
        console.print(Columns(known, padding=(0, 4)))
    console.print(f"\n{escape(description.terms)}")
    console.print(f"[dim]sha256 {description.sha256}[/]")


def bars(what: str, counted: str, counts: tuple[tuple[str, int], ...], width: int = BAR_WIDTH) -> "Table":
    """Counts as horizontal bars, the longest of them `width` characters."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(what, justify="right", no_wrap=True)
    table.add_column(counted, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    most = max((count for _, count in counts), default=1)
    for label, count in counts:
        table.add_row(label, f"{count:,}", "█" * max(1 if count else 0, round(width * count / most)))
    return table
