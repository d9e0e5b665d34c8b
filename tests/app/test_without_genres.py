"""A data set whose items have neither genres nor years is served like any other, and opens on an example."""

from collections.abc import Iterator

import gradio as gr
import pytest

from app.web import experts, recommend
from app.web.page import TABS, build_page
from app.web.service import EXAMPLES, Service, open_service
from app.web.shelf import Shelf
from app.web.visit import Visit
from tests.exports.music import music_bundle


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path = music_bundle(tmp_path_factory.mktemp("bare"), "bare", with_genres=False).path
    yield open_service(path, lambda sentence: None)


def test_people_are_shown_by_what_they_ended_with(bare: Service) -> None:
    words = [visitor.words for visitor in bare.visitors]
    assert len(words) == EXAMPLES == len(set(words))
    assert all(word.startswith("last listened to: The ") for word in words)
    assert all(portrait.words == "" for portrait in bare.portraits)


def test_every_tab_opens(bare: Service) -> None:
    case = bare.visitors[0].case
    visit = Visit(bare.cases[case].history, case)
    shown = recommend.result(bare, visit)
    assert 'role="alert"' not in shown and "The list" in shown
    board = experts.board(bare)
    assert "names no genres" in board and "Experts and groups of people" in board
    for tab in TABS:
        tab.first(bare, visit)
    page = build_page(bare, Shelf.of(bare))
    assert isinstance(page, gr.Blocks)
