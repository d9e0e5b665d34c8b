"""Titles as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.titles import article_to_front, fold, spellings


@pytest.mark.parametrize(
    ("given_title", "wanted"),
    [
        ("Postman, The", "The Postman"),
        ("American Werewolf in London, An", "An American Werewolf in London"),
        ("Good, The Bad and The Ugly, The", "The Good, The Bad and The Ugly"),
        ("Big Blue, The (Grand bleu, Le)", "The Big Blue (Le Grand bleu)"),
        ("Enfer, L'", "L'Enfer"),
        ("Hate (Haine, La)", "Hate (La Haine)"),
        ("Promise, The (Versprechen, Das)", "The Promise (Das Versprechen)"),
        ("Paris, Texas", "Paris, Texas"),
        ("Corrina, Corrina", "Corrina, Corrina"),
        ("I, Worst of All (Yo, la peor de todas)", "I, Worst of All (Yo, la peor de todas)"),
        (
            "To Wong Foo, Thanks for Everything! Julie Newmar",
            "To Wong Foo, Thanks for Everything! Julie Newmar",
        ),
        ("The", "The"),
        ("", ""),
    ],
)
def test_articles_come_to_the_front_and_nothing_else_moves(given_title: str, wanted: str) -> None:
    assert article_to_front(given_title) == wanted


@given(st.text())
def test_moving_articles_twice_is_moving_them_once_for_plain_titles(title: str) -> None:
    if "," not in title:
        assert article_to_front(title) == title


@given(st.text())
def test_folding_is_idempotent_and_ignores_case(title: str) -> None:
    folded = fold(title)
    assert fold(folded) == folded
    assert fold(title.casefold()) == folded


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Misérables, Les (1995)", "miserables les 1995"),
        ("Björk & Sigur Rós", "bjork and sigur ros"),
        ("Ulee's Gold", "ulees gold"),
        ("Mø", "mo"),
        ("!!!", "!!!"),
        ("  L.A.   Confidential ", "l a confidential"),
    ],
)
def test_folding_drops_case_accents_and_punctuation(written: str, folded: str) -> None:
    assert fold(written) == folded


def test_spellings_cover_year_article_and_second_title() -> None:
    assert {
        "big blue",
        "the big blue",
        "big blue the 1988",
        "grand bleu le",
        "le grand bleu 1988",
    } <= spellings("The Big Blue (Le Grand bleu)", 1988)
    assert {"enfer", "lenfer", "enfer l"} <= spellings("L'Enfer", None)
