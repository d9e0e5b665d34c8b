"""A data set whose items have neither genres nor years is served like any other, and opens on an example."""

from collections.abc import Iterator

import gradio as gr
import pytest

from app.web import experts, recommend
from app.web.page import TABS, build_page
from app.web.portraits import TITLES
from app.web.service import EXAMPLES, Service, open_service
from app.web.shelf import Shelf
from app.web.visit import Visit
from tests.exports.music import music_bundle


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path = music_bundle(tmp_path_factory.mktemp("bare"), "bare", with_genres=False).path
    yield open_service(path, lambda sentence: None)


def test_titles_stand_for_tastes(bare: Service) -> None:
    words = [visitor.words for visitor in bare.visitors]
    assert len(words) == EXAMPLES == len(set(words)) and all("The " in word for word in words)
    assert bare.tastes == "artists" and 0 < len(bare.atlas.genres) <= TITLES
    names = {item.name for item in bare.catalog.items}
    assert set(bare.atlas.genres) <= names
    for visitor in bare.visitors:
        if not visitor.words.startswith("last listened to"):
            had = {bare.catalog[index].name for index in bare.cases[visitor.case].history}
            assert any(name in visitor.words for name in had)


def test_every_tab_opens(bare: Service) -> None:
    case = bare.visitors[0].case
    visit = Visit(bare.cases[case].history, case)
    shown = recommend.result(bare, visit)
    assert 'role="alert"' not in shown and "The list" in shown
    board = experts.board(bare)
    assert "Experts and artists" in board and "Experts and groups of people" in board
    for tab in TABS:
        tab.first(bare, visit)
    page = build_page(bare, Shelf.of(bare))
    assert isinstance(page, gr.Blocks)
