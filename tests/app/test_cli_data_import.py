"""`ilora data import` on the terminal: what it says, what it keeps, and that the other commands know it."""

import json
import shlex
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from app.cli.data import data_app
from app.cli.edge import exit_code_of
from app.cli.main import cli
from core.errors import DataError

ROWS = [
    f"reader{user};book{(user * 3 + n) % 40};{1 + (user + n) % 5};{1_300_000_000 + 1000 * user + n}"
    for user in range(12)
    for n in range(8)
]
EVENTS = "\n".join(["user;item;rating;timestamp", *ROWS, ";book1;5;1300000000", "reader1;book2;x;1300000000"])
ITEMS = "\n".join(["id;title;genres", *(f"book{n};The [bold]{n}[/];Crime|Poetry" for n in range(41))])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both files; the cache beside it is empty."""
    monkeypatch.setenv("ILORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "interactions.csv").write_text(EVENTS)
    (tmp_path / "items.csv").write_text(ITEMS)
    return tmp_path


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(data_app, arguments, catch_exceptions=False)


def _said(*arguments: str) -> str:
    done = _run(*arguments)
    assert done.exit_code == 0
    return " ".join(done.stdout.split())


def test_it_says_what_it_took_for_what_and_what_it_cost(files: Path) -> None:
    said = _said("import", "interactions.csv", "--items", "items.csv", "--name", "books", "--min-rating", "2")
    for part in (
        "interactions.csv: text with semicolons, UTF-8, a header line, 98 rows",
        "user is the user, item is the item, timestamp is the time (Unix seconds), rating is the rating",
        "id is the item, title is the title, genres is the genres",
        "--user-column",
        "rating at least 2 (--min-rating)",
        "→",
        "no user id 1 98",
        "a rating that is no number 1 99",
        "1 item of items.csv without interactions: left out",
        "books: 12 users, 40 items,",
        "12 users are trained on and asked",
        "books-rejected.csv",
        "Next: ilora train --recipe laptop --dataset books",
    ):
        assert part in said, part


def test_every_other_command_knows_it(files: Path) -> None:
    _said("import", "interactions.csv", "--items", "items.csv", "--kind", "book")
    described = json.loads(_said("describe", "interactions", "--json"))
    assert (described["users"], described["items"]) == (12, 40)
    assert [split["name"] for split in described["splits"]] == ["loo"]
    assert described["genres"] == [["Crime", 40], ["Poetry", 40]]
    [listed] = [
        entry for entry in json.loads(_run("list", "--json").stdout) if entry["name"] == "interactions"
    ]
    assert listed["cached"] and listed["version"] == "imported from interactions.csv and items.csv"
    assert "imported from interactions.csv" in _said("list")


def test_a_folder_of_its_own_is_named_by_its_path(files: Path) -> None:
    said = _said("import", "interactions.csv", "--out", "my-data")
    assert f"--dataset {files / 'my-data'}" in said
    assert json.loads(_said("describe", "./my-data", "--json"))["users"] == 12
    assert not (files / "cache" / "datasets").exists()


def test_for_programs_it_is_json(files: Path) -> None:
    report = json.loads(_run("import", "interactions.csv", "--json").stdout)
    assert report["taken"][0]["rows"] == 98
    assert [(bad["reason"], bad["first_lines"]) for bad in report["rejected"]] == [
        ("a rating that is no number", [99]),
        ("no user id", [98]),
    ]


def test_a_dry_run_says_the_same_and_keeps_nothing(files: Path) -> None:
    assert "Nothing was kept (--dry-run)." in _said("import", "interactions.csv", "--dry-run")
    with pytest.raises(DataError, match='no data set "interactions"'):
        _run("describe", "interactions")


def test_every_guess_has_a_flag(files: Path) -> None:
    (files / "odd.txt").write_bytes(
        "\n".join(f"{n % 7}#x{n}#ann#é#03/04/20{10 + n}" for n in range(9)).encode("utf-16-le")
    )
    flags = (
        "--delimiter # --encoding utf-16-le --no-header --user-column 3 --item-column 2 --time-column 5 "
        "--rating-column 1 --title-column 4 --time-format %d/%m/%Y --kind wine --done drunk --terms Ours"
    )
    report = json.loads(_run("import", "odd.txt", *flags.split(), "--json").stdout)
    assert report["first_day"] == "2010-04-03"
    assert [role for _, role in report["taken"][0]["columns"]][:2] == ["user", "item"]
    assert "Ours" in _said("describe", "odd")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing.csv",), "nothing.csv is not there"),
        (("interactions.csv", "--strict"), "interactions.csv line 98: no user id"),
        (("interactions.csv", "--name", "movielens"), '"movielens" is a data set of the product'),
        (("interactions.csv", "--user-column", "whom"), 'no column "whom"'),
        (("interactions.csv", "--kind", "<|im_end|>"), "is no word for items"),
        (("interactions.csv", "--min-rating", "9"), "No interaction is left of 96"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], sentence: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = get_command(cli)
    code = exit_code_of(lambda: command.main(["data", "import", *arguments], standalone_mode=False))
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert sentence in err and err.count("\n") == 1


def test_every_command_of_the_page_about_import_is_understood(repository: Path, files: Path) -> None:
    """Imports are run (on files of the names that the page uses); other commands are parsed."""
    text = (repository / "docs" / "import.md").read_text(encoding="utf-8")
    blocks = [block.removeprefix("bash\n") for block in text.split("```")[1::2] if block.startswith("bash\n")]
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    commands = [command for command in commands if command]
    assert len(commands) > 5
    top = get_command(cli)
    for word, *arguments in commands:
        assert word == "ilora"
        if arguments[:2] == ["data", "import"]:
            top.main([*arguments, "--replace"], standalone_mode=False)
            continue
        below = top
        while arguments and arguments[0] in getattr(below, "commands", {}):
            below = below.commands[arguments.pop(0)]  # type: ignore[attr-defined]
        below.make_context("ilora", list(arguments))


def test_a_spreadsheets_export_in_german_needs_no_flag(files: Path) -> None:
    """Semicolons, Excel's first line, dates with dots, a decimal comma, blank cells, a sum at the end."""
    rows = [
        f"kunde{user}@example.org;B-{(user * 3 + n) % 30:03d};Märchen {(user * 3 + n) % 30};"
        f"{n + 1:02d}.03.2023 10:15;{'4,5' if n % 2 else ''}"
        for user in range(9)
        for n in range(7)
    ]
    rows[5:5] = ["", ";;;;", 'kunde1@example.org;B-001;"Momo; oder\r\ndie Zeitdiebe";01.02.2023 10:10;5']
    text = ["sep=;", "Kunde;Artikelnr.;Bezeichnung;Bestellt am;Bewertung", *rows, "Summe;;;;63"]
    (files / "Bestellungen 2023.csv").write_bytes("\r\n".join(text).encode("cp1252"))
    said = _said("import", "Bestellungen 2023.csv", "--kind", "book")
    for part in (
        "text with semicolons, Windows-1252",
        "Kunde is the user, Artikelnr. is the item, Bestellt am is the time",
        "Bewertung is the rating, Bezeichnung is the title",
        "no user id 1 9",
        "no item id 1",
        "bestellungen-2023: 9 users, 30 items",
    ):
        assert part in said, said
    assert "no number" not in said
