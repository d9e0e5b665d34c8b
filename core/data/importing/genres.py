"""Genres in one cell: divided by bars, commas or blanks, or written as a list."""

import re
from collections import Counter
from collections.abc import Iterable

MOST_GENRES = 10
"""So many are kept per item: the language model reads every one of them."""
LONGEST_GENRE = 40
BLANK, LIST = " ", "[]"
"""Separators beside plain signs: single words (RecBole), and lists as Python and JSON write them."""
SEPARATORS = ("|", ";", ",", "/")

_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_NONE = frozenset({"", "unknown", "none", "nan", "null", "n/a", "(no genres listed)", "\\n"})


def sniff_separator(cells: Iterable[str]) -> str:
    """What divides genres: the sign that stands in the most cells; lists before signs, bars before commas."""
    counts: Counter[str] = Counter()
    for cell in cells:
        if cell.startswith("[") and cell.endswith("]"):
            counts[LIST] += 1
        counts.update(sign for sign in SEPARATORS if sign in cell)
    most = max(counts.values(), default=0)
    return next((sign for sign in (LIST, *SEPARATORS) if counts[sign] == most), "|")


def split_genres(cell: str, separator: str | None) -> tuple[str, ...]:
    """The genres of one cell, each once, without placeholders such as "unknown"."""
    if separator is None or not cell:
        return ()
    if separator == LIST:
        parts = [one or other for one, other in _QUOTED.findall(cell)] or cell.strip("[]").split(",")
    else:
        parts = cell.split(None if separator == BLANK else separator)
    words = (" ".join("".join(c if c.isprintable() else " " for c in part).split()) for part in parts)
    kept = dict.fromkeys(word[:LONGEST_GENRE] for word in words if word.lower() not in _NONE)
    return tuple(kept)[:MOST_GENRES]
