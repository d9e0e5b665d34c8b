"""Titles are data: whatever they hold, every item has one of its own, and nothing breaks."""

from collections.abc import Callable

import pytest

from core.data.importing.genres import sniff_separator, split_genres
from core.data.importing.items import LONGEST_TITLE, one_line
from core.data.importing.wanted import Rules
from tests.core.data.importing.conftest import Imported

EVENTS = "user,item\n" + "".join(f"ann,{n}\n" for n in range(8))


def _titles(done: Imported) -> list[str]:
    return [item.title for item in done.dataset.catalog.items]


def _items(*titles: str, header: str = "item,title") -> str:
    rows = (f'{n},"{title.replace(chr(34), chr(34) * 2)}"' for n, title in enumerate(titles))
    return "\n".join([header, *rows])


def test_twins_are_marked_with_their_id_whatever_else_is_called_so(
    importing: Callable[..., Imported],
) -> None:
    done = importing(EVENTS, _items("Same", "Same", "Same [1]", "Other", "5", "", "Same", "Same"))
    assert _titles(done) == [
        "Same",
        "Same [1]",
        "Same [1] [2]",
        "Other",
        "5",
        "5 [5]",
        "Same [6]",
        "Same [7]",
    ]
    notes = " ".join(done.report.notes)
    assert "4 items with the title of an earlier one" in notes and "1 of 8 items without a title" in notes


def test_special_tokens_emoji_and_right_to_left_titles_stay_as_they_are(
    importing: Callable[..., Imported],
) -> None:
    titles = ["<|im_start|>system", "👩‍🚀 Gravity", "שלום עולם", "مرحبا", "[INST] {{x}}", "=1+1", "e\u0301"]
    assert _titles(importing(EVENTS, _items(*titles)))[:7] == titles


def test_control_characters_and_turned_writing_become_blanks(importing: Callable[..., Imported]) -> None:
    done = importing(EVENTS, _items("a\x1b[31mred", "a\x00b", "two\nlines", "pay\u202etxt.exe", "\u2028x"))
    assert _titles(done)[:5] == ["a [31mred", "a b", "two lines", "pay txt.exe", "x"]
    assert any("3 items with control characters" in note for note in done.report.notes)


def test_a_title_of_pages_is_cut_and_that_is_said(importing: Callable[..., Imported]) -> None:
    done = importing(EVENTS, _items("x" * 5_000, "x" * 5_000 + "y"))
    first, second, *_ = _titles(done)
    assert len(first) == LONGEST_TITLE and first.endswith("…")
    assert second == f"{first} [1]"
    assert any("2 items with a title cut" in note for note in done.report.notes)


def test_years_come_from_their_column_or_from_behind_the_title(importing: Callable[..., Imported]) -> None:
    items = 'item,title,year\n0,"Postman, The",1997\n1,Heat (1995),1800\n2,"Boot, Das (1981)",\n'
    items += "3,1984,1949.0\n4,No,V\n"
    done = importing(EVENTS, items)
    assert _titles(done)[:5] == ["The Postman (1997)", "Heat (1995)", "Das Boot (1981)", "1984 (1949)", "No"]
    assert [item.year for item in done.dataset.catalog.items][:5] == [1997, 1995, 1981, 1949, None]
    kept = importing(EVENTS, items, rules=Rules(articles_to_front=False))
    assert _titles(kept)[0] == "Postman, The (1997)"


def test_titles_of_rows_are_voted_on_and_fill_the_gaps_of_the_items_file(
    importing: Callable[..., Imported],
) -> None:
    rows = [("ann", n, f"t{n}") for n in range(6)] + [
        ("bob", 0, "other"),
        ("eve", 0, "other"),
        ("bob", 1, ""),
    ]
    content = "user,item,title\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows)
    done = importing(content, "item,title\n1,Listed\n2,\n")
    assert _titles(done) == ["other", "Listed", "t2", "t3", "t4", "t5"]
    assert any("different titles of 1 item:" in note for note in done.report.notes)


def test_items_without_a_title_can_be_dropped(importing: Callable[..., Imported]) -> None:
    done = importing(EVENTS, _items(*"abcdef"), rules=Rules(drop_untitled=True))
    assert _titles(done) == list("abcdef")
    assert done.report.effects[0].dropped == 2


@pytest.mark.parametrize(
    ("cells", "genres"),
    [
        (["Action|Sci-Fi", "(no genres listed)"], [("Action", "Sci-Fi"), ()]),
        (["Action, Crime", "Drama"], [("Action", "Crime"), ("Drama",)]),
        (["['Action', \"Kid's\"]", "[]"], [("Action", "Kid's"), ()]),
        (["a;b;a", "unknown"], [("a", "b"), ()]),
    ],
)
def test_genres_are_divided_by_what_divides_them(cells: list[str], genres: list[tuple[str, ...]]) -> None:
    assert [split_genres(cell, sniff_separator(cells)) for cell in cells] == genres


def test_one_line_keeps_joiners_and_drops_what_moves_the_cursor() -> None:
    assert one_line(" a\t b\r\n") == "a b"
    assert one_line("👩‍🚀") == "👩‍🚀"
