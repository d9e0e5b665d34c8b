"""`ilora evaluate`: finished runs and every baseline on the users that report, each user's result kept."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from core.evaluation.plan import Asked
    from core.evaluation.summary import Row

Candidates = Literal["uniform", "popularity", "both"]


def evaluate(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Finished run folders of one data set and split.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Must be the split the runs were trained on; theirs when left out.")
    ] = None,
    part: Annotated[
        Literal["test", "validation"], typer.Option(help="Whose users: test reports, validation chooses.")
    ] = "test",
    draws: Annotated[
        int | None,
        typer.Option(min=1, help="Candidate draws per user.", show_default="5 uniform ones on paper, else 1"),
    ] = None,
    candidates: Annotated[
        Candidates, typer.Option(help="How negatives are drawn; by popularity is harder.")
    ] = "uniform",
    baselines: Annotated[
        bool, typer.Option(help="Popularity, ItemKNN, EASE, SASRec and the untrained model too.")
    ] = True,
    users: Annotated[int | None, typer.Option(min=1, help="Only the first so many users.")] = None,
    title_users: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Users asked by rows that read titles (zero-shot, branch, generate): a seeded sample.",
            show_default="all",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all results, one Parquet file per row.")] = Path(
        "evaluations"
    ),
    table: Annotated[
        Path | None,
        typer.Option(help="Write everything that OUT holds as a table: a .json or .md file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure finished runs beside every baseline.

    What OUT holds already is not asked again, and a stopped evaluation goes on where it was. Without a run,
    --table alone makes a table of what is there.
    """
    from core.errors import RunError

    if table is not None and table.suffix not in (".json", ".md"):
        raise RunError(f"--table {table}: name a .json or a .md file.")
    if not runs and table is None:
        raise RunError(
            "Name finished run folders to evaluate, or --table FILE for a table of what OUT holds."
        )
    rows = (
        _evaluated(runs, split, asked(part, candidates, draws, users, baselines, title_users), out)
        if runs
        else []
    )
    if table is not None:
        _write(table, out, part)
    if as_json:
        typer.echo(json.dumps(as_record(rows), indent=2))
    elif rows:
        _show(rows)
    if table is not None and not as_json:
        typer.echo(table)


def asked(
    part: Literal["test", "validation"],
    candidates: Candidates,
    draws: int | None,
    users: int | None,
    baselines: bool,
    title_users: int | None = None,
) -> "Asked":
    """The options of `evaluate` and `compare` as the evaluation takes them."""
    from core.data.candidates import KINDS
    from core.evaluation.plan import Asked

    return Asked(part, KINDS if candidates == "both" else (candidates,), draws, users, baselines, title_users)


def as_record(rows: "list[Row]") -> dict[str, Any]:
    """Rows as JSON holds them: sampled and full apart, each with the files it was made from."""
    from dataclasses import asdict

    from app.report.words import two_questions

    def place(row: "Row") -> dict[str, Any]:
        h = row.header
        return {"method": h.method, "run": h.run, "seed": h.seed, "n": row.n}

    return {
        "warning": two_questions(rows[0]) if rows else None,
        "sampled": [
            {
                **place(row),
                "candidates": row.header.candidates,
                "draws": len(row.files),
                **asdict(row.sampled),
                "note": row.header.note,
                "files": [{"path": str(file.path), "sha256": file.sha256} for file in row.files],
            }
            for row in rows
        ],
        "full": [{**place(row), **asdict(row.full)} for row in _once(rows) if row.full is not None],
    }


def _once(rows: "list[Row]") -> "list[Row]":
    """The full ranking does not depend on candidates: rows of the first kind only."""
    return [row for row in rows if row.header.candidates == rows[0].header.candidates]


def _evaluated(runs: list[Path], split: str | None, asked: "Asked", out: Path) -> "list[Row]":
    from core.errors import RunError
    from core.evaluation.plan import evaluate_runs, read_runs

    opened = read_runs(runs)
    trained = opened[0].recipe
    if split is not None and split != trained.split:
        raise RunError(
            f"--split {split}: {opened[0].folder} was trained on {trained.split} and may have "
            f"seen answers of {split}; evaluate it on {trained.split}."
        )
    from app.cli.steps_bar import StepsBar

    with StepsBar() as bar:
        return list(evaluate_runs(opened, asked, out, bar.step).rows)


def _write(table: Path, out: Path, part: str) -> None:
    from app.report.markdown import markdown_table
    from core.evaluation.table import read_folder, table_row, write_table

    rows = [table_row(row) for row in read_folder(out, part)]
    if table.suffix == ".json":
        write_table(rows, table)
    else:
        table.write_text(markdown_table(rows), encoding="utf-8")


def _show(rows: "list[Row]") -> None:
    from rich.console import Console

    from app.cli.tables import print_tables

    print_tables(Console(highlight=False), rows)
