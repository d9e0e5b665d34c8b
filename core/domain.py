"""What the items of a data set are, in the words that the language model reads."""

import re
from dataclasses import dataclass

from core.errors import DataError


@dataclass(frozen=True)
class Domain:
    """How items of one kind and what people do with them are called. Short: each token costs.

    Attributes:
        noun: stands before a title where an item is described: "Movie: Fargo (1996)."
        done: what people did with the items of a history: "watched".
        instruction: read before the history, in every mode.
        question: read between the history and a candidate where both are text; begins with a space.
    """

    noun: str
    done: str
    instruction: str
    question: str

    @property
    def kinds(self) -> str:
        """A heading over many of them: "Movies"."""
        if self.noun.endswith(("ies", "ews", "ime")):  # series, news, anime: as one, so as many
            return self.noun
        if self.noun.endswith("y") and self.noun[-2:-1] not in "aeiou":
            return f"{self.noun[:-1]}ies"
        return f"{self.noun}{'es' if self.noun.endswith(('s', 'x', 'z', 'ch', 'sh')) else 's'}"

    @property
    def one(self) -> str:
        """One of them in a sentence: "title", "artist", "game". What is watched goes by its title."""
        return "title" if self.done == "watched" else self.noun.lower()

    @property
    def a_one(self) -> str:
        """ "a title", "an artist"."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"

    @property
    def many(self) -> str:
        """ "titles", "artists", "games"."""
        return "titles" if self.done == "watched" else self.kinds.lower()

    @property
    def called(self) -> str:
        """What one of them is found by: "title" or "name"."""
        return "title" if self.done in ("watched", "read") else "name"

    @property
    def person(self) -> str:
        """Who does it: "viewer", "listener", "player", "reader", "person"."""
        people = {"watched": "viewer", "listened to": "listener", "played": "player", "read": "reader"}
        return people.get(self.done, "person")

    @property
    def most_done(self) -> str:
        """ "most watched", "most listened-to"."""
        return f"most {self.done.replace(' ', '-')}"


MOVIES = Domain("Movie", "watched", "Watched so far, oldest first:", " Watched next:")
ARTISTS = Domain("Artist", "listened to", "Listened to so far, oldest first:", " Listened to next:")
GAMES = Domain("Game", "played", "Played so far, oldest first:", " Played next:")

DONE = {
    "book": "read",
    "article": "read",
    "news": "read",
    "song": "listened to",
    "track": "listened to",
    "album": "listened to",
    "podcast": "listened to",
    "film": "watched",
    "show": "watched",
    "series": "watched",
    "anime": "watched",
    "video": "watched",
    "product": "bought",
    "recipe": "cooked",
    "restaurant": "visited",
    "place": "visited",
    "course": "taken",
    "app": "used",
}
"""What people do with items of a kind, where a word fits better than "picked"."""
ANYTHING = "item"

# Both words stand in prompts and on the page: letters, and what joins them.
_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '-](?=[^\W\d_])){0,29}")


def domain_of(kind: str = ANYTHING, done: str | None = None) -> Domain:
    """How to speak of items of a kind: `domain_of("book")` are read, `domain_of("wine", "drunk")` drunk.

    Args:
        kind: one of them in one or two words, in the singular.
        done: what people did with them, so that "... so far, oldest first:" can follow; guessed from the kind
            when left out, "picked" where nothing is known.

    Raises:
        DataError: one of both is not made of up to thirty letters.
    """
    kind = " ".join(kind.split()).lower()
    said = None if done is None else " ".join(done.split()).lower()
    for word in (kind, said):
        if word is not None and not _WORDS.fullmatch(word):
            raise DataError(
                f'"{word}" is no word for items or what is done with them; use letters, at most 30.'
            )
    known = {domain.noun.lower(): domain for domain in (MOVIES, ARTISTS, GAMES)}.get(kind)
    if known is not None and said in (None, known.done):
        return known
    verb = said or (known.done if known else DONE.get(kind, "picked"))
    begun = verb[0].upper() + verb[1:]
    return Domain(kind[0].upper() + kind[1:], verb, f"{begun} so far, oldest first:", f" {begun} next:")
