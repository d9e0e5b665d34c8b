"""Titles as people write them: articles in front, accents or none, with or without the year."""

import re
import unicodedata

ARTICLES = (
    *("The", "A", "An"),
    *("Le", "La", "Les", "L'", "Un", "Une"),
    *("Il", "Lo", "Gli", "O", "El", "Los", "Las"),
    *("Der", "Die", "Das", "Den", "Det"),
)
"""Articles that catalogues of films move behind the title ("Boot, Das")."""

_TRAILING_ARTICLE = re.compile(rf"^(?P<rest>.+), (?P<article>{'|'.join(ARTICLES)})$")
_ALTERNATIVE = re.compile(r"^(?P<main>.+?) \((?P<other>[^()]+)\)$")
_NO_DECOMPOSITION = str.maketrans(
    {
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    }
)


def article_to_front(title: str) -> str:
    """Turn "Postman, The" into "The Postman"; also in a second title: "Big Blue, The (Grand bleu, Le)"."""
    alternative = _ALTERNATIVE.match(title)
    if alternative:
        return f"{article_to_front(alternative['main'])} ({article_to_front(alternative['other'])})"
    trailing = _TRAILING_ARTICLE.match(title)
    if not trailing:
        return title
    space = "" if trailing["article"].endswith("'") else " "
    return f"{trailing['article']}{space}{trailing['rest']}"


def fold(text: str) -> str:
    """Case, accents and punctuation removed: "Misérables, Les (1995)" -> "miserables les 1995".

    A text of punctuation only (the band "!!!") is kept as it is, so that it can still be found.
    """
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_NO_DECOMPOSITION)
    # Once more: casefolding itself may bring combining marks back.
    plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    plain = plain.replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "").replace("&", " and ")
    words = re.findall(r"\w+", plain.replace("_", " "))
    return " ".join(words) or text.casefold().strip()


def spellings(name: str, year: int | None) -> set[str]:
    """Every folded way to write a title: with the year or not, without the article, either of two titles.

    Args:
        name: the title without its year, article in front.
        year: year of release, or None.
    """
    alternative = _ALTERNATIVE.match(name)
    names = {name, *alternative.groups()} if alternative else {name}
    written: set[str] = set()
    for folded in map(fold, names):
        first, _, rest = folded.partition(" ")
        written.add(folded)
        if rest and first in _FOLDED_ARTICLES:
            written |= {rest, f"{rest} {first}"}
    for elided in (text[2:] for text in names if text.startswith("L'")):
        written |= {fold(elided), f"{fold(elided)} l"}
    return written | ({f"{text} {year}" for text in written} if year is not None else set())


_FOLDED_ARTICLES = frozenset(fold(article) for article in ARTICLES)
