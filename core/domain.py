"""What the items of a data set are, in the words that the language model reads."""

from dataclasses import dataclass


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


MOVIES = Domain("Movie", "watched", "Watched so far, oldest first:", " Watched next:")
ARTISTS = Domain("Artist", "listened to", "Listened to so far, oldest first:", " Listened to next:")
GAMES = Domain("Game", "played", "Played so far, oldest first:", " Played next:")
