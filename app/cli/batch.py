"""`ilora batch`: a file of histories in, a table of lists out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from app.cli.new_items import ItemsFile, new_items
from core.recommendation import AdapterName

if TYPE_CHECKING:
    from core.batch.report import ReadReport

Column = Annotated[str | None, typer.Option(help="Its name, or its number from 1.", show_default="found out")]


def batch(
    histories: Annotated[
        Path,
        typer.Argument(
            help="CSV, JSONL or Parquet: one row per person with a list, or per interaction; ids or titles."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where the table goes: a .parquet or .csv file.")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Folder of a trained bundle.", show_default="the one that comes with ilora"),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            help="Whose lists; once per adapter.", show_default="ilora and lora, as far as they are there"
        ),
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Length of a list.")] = 10,
    items: ItemsFile = None,
    user_column: Column = None,
    item_column: Column = None,
    time_column: Column = None,
    delimiter: Annotated[str | None, typer.Option(help="comma, tab, semicolon, pipe, or the signs.")] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8, cp1252, ...", show_default="found out")] = None,
) -> None:
    """Lists for many people: each adapter's list, the experts' weights, and how far the lists agree.

    A killed batch goes on where it was when the same command is given again.
    """
    from app.cli.download_bar import DownloadBar
    from app.cli.loading import Loading
    from app.cli.steps_bar import StepsBar
    from core.assets.progress import file_sha256
    from core.batch.reading import read_histories
    from core.batch.run import Job, check_job, finish, open_parts, score_people
    from core.data.importing.layout import Said
    from core.data.registry import load_dataset
    from core.new_items import extended
    from exports.bundle_check import read_info
    from exports.bundle_info import DEFAULT_BUNDLE

    path = bundle or DEFAULT_BUNDLE
    name = read_info(path).dataset.name
    with DownloadBar(name) as bar:
        dataset = load_dataset(name, bar)
    columns = {"user": user_column, "item": item_column, "time": time_column}
    said = Said(delimiter, encoding, columns={role: named for role, named in columns.items() if named})
    brought = new_items(items)
    # The file is read, and its mistakes are told, before the slow part.
    people, report = read_histories(histories, extended(dataset.catalog, brought), said)
    _tell(report)
    with Loading() as say, DownloadBar("backbone") as bar:
        say("Starting.")
        from exports.bundle import load_bundle

        recommender = load_bundle(path, say=say, progress=bar, dataset=dataset, new_items=brought)
    both = [name for name in ("ilora", "lora") if name in recommender.choices]
    # Typer takes no list of literals; an adapter that is not there is refused by `check_job`.
    wanted = cast(tuple[AdapterName, ...], tuple(dict.fromkeys(adapter or both)))
    job = Job(wanted, k)
    check_job(recommender, job, out)
    parts = out.with_name(f".{out.name}.parts")
    answers = file_sha256(path / "bundle.json") + ("" if items is None else file_sha256(items))
    done = open_parts(people, job, answers, parts)
    if done:
        typer.echo(f"Going on after {done:,} of {len(people):,} people.", err=True)
    with StepsBar() as steps:
        for scored in score_people(recommender, people, job, parts, done):
            steps.step("people", scored, len(people))
    finish(job, parts, out)
    typer.echo(f"{out}: {len(people):,} people, {', '.join(job.adapters)}, {k} items each.")


def _tell(report: "ReadReport") -> None:
    for sentence in report.sentences:
        typer.echo(sentence, err=True)
    for miss in report.most_unknown:
        closest = f" Closest: {'; '.join(miss.closest)}." if miss.closest else ""
        typer.echo(f'  not known, {miss.times:,} times: "{miss.entry[:80]}".{closest}', err=True)
