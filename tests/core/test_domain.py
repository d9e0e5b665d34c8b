"""Each data set speaks of its own items, and what was made for films before there were other kinds stays
valid."""

import dataclasses
from pathlib import Path

import pytest

from core.catalog import Catalog, Item
from core.data.dataset import Dataset
from core.data.registry import domain_named, load_dataset
from core.domain import ARTISTS, GAMES, MOVIES, Domain, domain_of
from core.errors import DataError
from core.prompt import item_description
from core.training.prepare import prepared_key
from core.training.recipe import load_recipe


@pytest.mark.parametrize(
    ("domain", "item", "described"),
    [
        (ARTISTS, Item(0, "0", "Morcheeba"), "Artist: Morcheeba."),
        (GAMES, Item(0, "0", "Half-Life", None, ("Action", "FPS")), "Game: Half-Life. Genres: Action, FPS."),
        (MOVIES, Item(0, "0", "Fargo (1996)", 1996), "Movie: Fargo (1996)."),
    ],
)
def test_items_are_described_as_what_they_are(domain: Domain, item: Item, described: str) -> None:
    assert item_description(item, domain) == described


@pytest.mark.parametrize("domain", [MOVIES, ARTISTS, GAMES])
def test_instruction_and_question_say_what_people_did(domain: Domain) -> None:
    assert domain.instruction == f"{domain.done.capitalize()} so far, oldest first:"
    assert domain.question == f" {domain.done.capitalize()} next:"


def test_a_data_set_that_says_nothing_is_of_films() -> None:
    assert load_dataset("movielens").domain == MOVIES


def test_key_of_what_is_kept_for_movielens_has_not_moved() -> None:
    recipe, dataset = load_recipe("demo-cpu"), load_dataset("movielens")
    assert prepared_key(dataset, recipe, "backbone") == "9595d9ff438f5a2d7624cfed"


@pytest.mark.parametrize("change", [{"instruction": "Seen:"}, {"question": " Next:"}, {"noun": "Film"}])
def test_other_words_are_another_key_and_another_content(change: dict[str, str]) -> None:
    catalog = Catalog([Item(0, "0", "A")])
    first = Dataset("own", catalog, ("ann",), ((0,),), {}, "none", GAMES)
    other = dataclasses.replace(first, domain=dataclasses.replace(GAMES, **change))
    recipe = load_recipe("demo-cpu")
    assert prepared_key(first, recipe, "b") != prepared_key(other, recipe, "b")
    assert first.sha256 != other.sha256


@pytest.mark.parametrize(
    ("kind", "done", "domain"),
    [
        ("movie", None, MOVIES),
        (" Game ", None, GAMES),
        ("artist", "listened to", ARTISTS),
        ("book", None, Domain("Book", "read", "Read so far, oldest first:", " Read next:")),
        ("wine", "drunk", Domain("Wine", "drunk", "Drunk so far, oldest first:", " Drunk next:")),
        ("item", None, Domain("Item", "picked", "Picked so far, oldest first:", " Picked next:")),
        ("movie", "rented", Domain("Movie", "rented", "Rented so far, oldest first:", " Rented next:")),
    ],
)
def test_any_kind_of_item_has_words(kind: str, done: str | None, domain: Domain) -> None:
    assert domain_of(kind, done) == domain


@pytest.mark.parametrize(
    ("kind", "kinds", "a_one", "many", "called", "person", "most_done"),
    [
        ("movie", "Movies", "a title", "titles", "title", "viewer", "most watched"),
        ("series", "Series", "a title", "titles", "title", "viewer", "most watched"),
        ("artist", "Artists", "an artist", "artists", "name", "listener", "most listened-to"),
        ("game", "Games", "a game", "games", "name", "player", "most played"),
        ("book", "Books", "a book", "books", "title", "reader", "most read"),
        ("hobby", "Hobbies", "a hobby", "hobbies", "name", "person", "most picked"),
        (
            "board game box",
            "Board game boxes",
            "a board game box",
            "board game boxes",
            "name",
            "person",
            "most picked",
        ),
    ],
)
def test_people_are_spoken_to_in_the_words_of_the_kind(
    kind: str, kinds: str, a_one: str, many: str, called: str, person: str, most_done: str
) -> None:
    domain = domain_of(kind)
    assert (domain.kinds, domain.a_one, domain.many) == (kinds, a_one, many)
    assert (domain.called, domain.person, domain.most_done) == (called, person, most_done)


def test_a_data_sets_words_are_known_before_it_is_read(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_DIR", str(shared_data))
    for name in ("movielens", "lastfm", "steam", "steam_reviews"):
        assert domain_named(name) == load_dataset(name).domain
    with pytest.raises(DataError, match="there is"):
        domain_named("nowhere")


@pytest.mark.parametrize("word", ["", "<|im_end|>", "a:b", "x" * 40, "two\u2028lines!", "1"])
def test_words_are_words_and_no_prompt(word: str) -> None:
    for given in ((word, None), ("book", word)):
        with pytest.raises(DataError, match="use letters"):
            domain_of(*given)
