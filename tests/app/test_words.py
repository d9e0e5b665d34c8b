"""The page speaks of what its data set holds: on a page of artists nothing is watched, and nothing a film."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.web import analysed, analyst, compare, experts, mixing, recommend, tally, why
from app.web.history import changed, history_list, pasted
from app.web.page import build_page
from app.web.recommend import Asked
from app.web.service import Service
from app.web.shelf import Shelf
from app.web.tally import Tally
from app.web.visit import MAX_HISTORY, Visit

FILM_WORDS = re.compile(
    r"\b(watch\w*|view(?:er|ers|ing)|films?|movies?|cinema|titles?|Fargo|thrillers?)\b", re.I
)
SPOKEN = ("title", "aria-label", "placeholder", "alt", "value")


class _Said(HTMLParser):
    """What people see or hear of a piece of HTML: its text and the attributes that are spoken."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.said += [value or "" for name, value in attrs if name in SPOKEN]


def _said(html: str) -> str:
    parser = _Said()
    parser.feed(html)
    return " ".join(" ".join(parser.said).split())


@pytest.fixture(scope="module")
def music_service(shelf: Shelf) -> Service:
    return shelf.service("music")


@pytest.fixture(scope="module")
def texts(music_service: Service, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Everything that the page of the artists says, opened and after what a visitor may do."""
    return [_said(text) for text in _texts(music_service, tmp_path_factory.mktemp("upload"))]


def _texts(service: Service, folder: Path) -> Iterator[str]:
    config = build_page(service, Shelf.of(service)).get_config_file()  # alone: the switch names the others
    yield str(config["title"])
    for part in config["components"]:
        props = part["props"]
        yield from (str(props[key]) for key in ("label", "placeholder", "info") if props.get(key))
        if isinstance(props.get("value"), str):
            yield props["value"]
        yield " ".join(str(face) for face, _ in props.get("choices") or ())
    case = service.visitors[0].case
    whole, mine, nobody = Visit(service.cases[case].history, case), Visit((5, 9, 14)), Visit()
    for visit in (whole, mine, nobody):
        yield recommend.result(service, visit)
        yield compare.comparison(service, visit)
        yield history_list(service, visit)
    yield recommend.result(service, mine, Asked(mine.place, "base"))
    done = recommend.explanation(service, Asked(mine.place))
    assert done is not None
    yield why.why(service, done, opened=True) + why.most_telling(service, done)
    own = mixing.own_list(service, mine)
    yield mixing.board(service, mine, own, (0.0, 0.0, 0.0, 1.0)) + mixing.presets(service, mine, "own")
    yield experts.picture(service.atlas) + experts.person(service, "3")
    asked = Tally(hits={"lora": (True,) * 12, "ilora": (False,) * 12})
    yield tally.picture(service, asked)
    yield from (
        changed(service, mine, *act)[1] for act in (("typed", "Farrgo"), ("person", "x"), ("add", "5"))
    )
    yield pasted(service, mine, "")[1]
    yield pasted(service, mine, "\n".join(item.item_id for item in service.catalog.items[: MAX_HISTORY + 9]))[
        1
    ]
    (folder / "h.csv").write_text("user,history\nann,a1|a2|Farrgo\nbob,zzz\n", encoding="utf-8")
    _, told = analyst.read_upload(service, folder / "h.csv")
    yield analysed.report(told, service.domain)
    rows = ({"user": "ann", "known": 2, "unknown": 1, "gate": [1.0, 0.0], "lora_titles": ["The 001 Band"]},)
    yield analysed.preview(service.domain, analysed.Preview(rows, 1, 1, (1, 0), None, 10), ("lora",))
    yield analysed.sentence(analysed.Preview((), 1, 0, (), None, 10), service.domain)
    yield from service.recommend([], adapter="base").notes
    yield from service.recommend(["a1", "a2"], adapter="base").notes


def test_a_page_of_artists_has_no_word_of_films(texts: list[str]) -> None:
    found = {
        f"{match.group()}: …{text[max(0, match.start() - 60) : match.end() + 40]}…"
        for text in texts
        for match in FILM_WORDS.finditer(text.replace("Farrgo", ""))
    }
    assert found == set()


def test_it_speaks_of_listeners_and_artists(texts: list[str]) -> None:
    said = " ".join(texts)
    for words in (
        "Personal experts for every listener",
        "Add an artist to the history",
        "these are the most listened-to artists",
        "What was really listened to next",
        "Share of everything listened to",
        "One name or id per line",
        "Artists per list",
        "The history is empty: the most listened-to artists come first.",
    ):
        assert words in said


def test_scripts_hold_no_words_of_films_either(repository: Path) -> None:
    for file in sorted((repository / "app" / "web").glob("*.js")):
        for spoken in re.findall(r'"([A-Z][^"]* [^"]*)"', file.read_text(encoding="utf-8")):
            assert not FILM_WORDS.search(spoken), f"{file.name}: {spoken}"
