"""`ilora data import`: a person's own files become a data set like any other."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.data.importing.layout import Said

_COLUMNS, _FILES, _KEPT = "Which column is what", "How the files are laid out", "What is kept"

Column = Annotated[
    str | None,
    typer.Option(
        help="Its name, its number from 1, or none.", rich_help_panel=_COLUMNS, show_default="found"
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="comma, tab, semicolon, pipe, space, or the signs.", rich_help_panel=_FILES, show_default="found"
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(help="utf-8, utf-16, cp1252, gbk, ...", rich_help_panel=_FILES, show_default="found"),
]


def import_command(
    interactions: Annotated[
        Path, typer.Argument(help="One interaction per row: CSV, TSV, RecBole, MovieLens, JSONL or Parquet.")
    ],
    items: Annotated[Path | None, typer.Option(help="One item per row: id, title, genres, year.")] = None,
    name: Annotated[
        str | None, typer.Option(help="What recipes call it.", show_default="the file's name")
    ] = None,
    kind: Annotated[str, typer.Option(help="What an item is: book, film, song, product, ...")] = "item",
    done: Annotated[
        str | None, typer.Option(help="What people did with them: read, watched, ...", show_default="by kind")
    ] = None,
    terms: Annotated[str, typer.Option(help="Under which terms the data may be used.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the data set.", show_default="the cache")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of an earlier one.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Find out and count, but keep nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    min_rating: Annotated[
        float | None, typer.Option(help="Lower ratings are no interactions.", rich_help_panel=_KEPT)
    ] = None,
    min_user_interactions: Annotated[
        int, typer.Option(min=1, help="Users with fewer go (k-core) ...", rich_help_panel=_KEPT)
    ] = 1,
    min_item_interactions: Annotated[
        int, typer.Option(min=1, help="... and items, in turn until all have enough.", rich_help_panel=_KEPT)
    ] = 1,
    keep_repeats: Annotated[
        bool,
        typer.Option(
            "--keep-repeats/--first-only",
            help="Of a user and an item: every interaction, or the first.",
            rich_help_panel=_KEPT,
        ),
    ] = False,
    keep_unseen: Annotated[
        bool, typer.Option("--keep-unseen", help="Keep items nobody interacted with.", rich_help_panel=_KEPT)
    ] = False,
    drop_undated: Annotated[
        bool, typer.Option("--drop-undated", help="Leave out rows without a time.", rich_help_panel=_KEPT)
    ] = False,
    drop_untitled: Annotated[
        bool, typer.Option("--drop-untitled", help="Leave out items without a title.", rich_help_panel=_KEPT)
    ] = False,
    articles_as_they_are: Annotated[
        bool,
        typer.Option("--articles-as-they-are", help='Leave "Postman, The" so.', rich_help_panel=_KEPT),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first bad row.", rich_help_panel=_KEPT)
    ] = False,
    user_column: Column = None,
    item_column: Column = None,
    time_column: Column = None,
    rating_column: Column = None,
    title_column: Column = None,
    genres_column: Column = None,
    year_column: Column = None,
    items_id_column: Column = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line names the columns.",
            rich_help_panel=_FILES,
            show_default="found",
        ),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(
            help='s, ms, us, ns (Unix), order, iso, or like "%d.%m.%Y".',
            rich_help_panel=_FILES,
            show_default="found",
        ),
    ] = None,
    genre_separator: Annotated[
        str | None,
        typer.Option(help="Between the genres of an item.", rich_help_panel=_FILES, show_default="found"),
    ] = None,
    items_delimiter: Delimiter = None,
    items_encoding: Encoding = None,
    items_header: Annotated[
        bool | None,
        typer.Option("--items-header/--no-items-header", rich_help_panel=_FILES, show_default="found"),
    ] = None,
) -> None:
    """Make a data set of your own files, and say what was taken for what.

    Delimiter, encoding, header and columns are found out; every guess has a flag. Rows that cannot be used go
    into NAME-rejected.csv in the data set's folder with their line and the reason, or stop it with --strict.
    """
    from app.cli.download_bar import DownloadBar
    from app.cli.import_report import as_json_text, show_report
    from core.data.importing.run import import_dataset
    from core.data.importing.wanted import Rules, Wanted
    from core.data.registry import DATASETS
    from core.domain import domain_of

    about_items = _named(title=title_column, genres=genres_column, year=year_column)
    of_events = _named(user=user_column, item=item_column, time=time_column, rating=rating_column)
    of_items = _named(item=items_id_column)
    (of_items if items else of_events).update(about_items)
    wanted = Wanted(
        interactions=interactions,
        items=items,
        name=name or _name_of(interactions),
        said=_said(delimiter, encoding, header, of_events, time_format),
        said_of_items=_said(items_delimiter, items_encoding, items_header, of_items, None),
        genre_separator=genre_separator,
        rules=Rules(
            min_rating=min_rating,
            drop_undated=drop_undated,
            drop_untitled=drop_untitled,
            first_only=not keep_repeats,
            min_user_interactions=min_user_interactions,
            min_item_interactions=min_item_interactions,
            keep_unseen=keep_unseen,
            articles_to_front=not articles_as_they_are,
            strict=strict,
        ),
        domain=domain_of(kind, done),
        terms=terms,
        out=out,
        replace=replace,
    )
    with DownloadBar(wanted.name) as bar:
        report = import_dataset(wanted, tuple(DATASETS), bar, dry_run)
    if as_json:
        typer.echo(as_json_text(report))
    else:
        show_report(report, None if dry_run else wanted)


def _named(**columns: str | None) -> dict[str, str]:
    """Roles whose column a person named."""
    return {role: column for role, column in columns.items() if column is not None}


def _said(
    delimiter: str | None,
    encoding: str | None,
    header: bool | None,
    columns: dict[str, str],
    time_format: str | None,
) -> "Said":
    from core.data.importing.layout import Said

    return Said(delimiter, encoding, header, columns, time_format)


def _name_of(file: Path) -> str:
    """A data set's name after its file: "My Books.csv.gz" -> "my-books"."""
    stem = file.name.removesuffix(".gz").rpartition(".")[0] or file.name
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:64] or "my-data"
