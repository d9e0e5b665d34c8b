"""Words into tokens. Titles are data: nothing a title contains can become prompt structure."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from core.catalog import Catalog, Item
from core.domain import MOVIES, Domain
from core.errors import BackboneError

CHOICES = " The next one is among:"
"""Read between the history and the listed candidates in generate mode, of films and of anything else."""
SEPARATOR = ";"
MAX_TITLE_TOKENS = 24


def plain(text: str) -> str:
    """One line of visible characters: newlines, tabs and control characters become single spaces."""
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return re.sub(r" +", " ", visible).strip()


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Token ids of one line of text; special-token strings inside it are spelled out, never recognised."""
    ids = tokenizer(plain(text), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return _without_special(tokenizer, ids)


def title_ids(tokenizer: PreTrainedTokenizerBase, title: str) -> tuple[int, ...]:
    """A title as it stands in a prompt: a leading space, at most MAX_TITLE_TOKENS tokens, never empty."""
    ids = tokenizer(f" {plain(title) or 'untitled'}", add_special_tokens=False, split_special_tokens=True)[
        "input_ids"
    ]
    return _without_special(tokenizer, ids)[:MAX_TITLE_TOKENS]


def opening_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Special tokens that a tokenizer sets before every text of its own accord; often one, often none.

    Llama, Mistral and Gemma were trained with one at the very beginning and read badly without it. Chat and
    base models are asked alike: a chat template is for conversations, and nobody converses here.
    """
    body = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    start = next((i for i in range(len(whole)) if whole[i : i + len(body)] == body), 0)
    return tuple(whole[:start])


def stop_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Tokens that end an answer: end-of-text, which is the taught one, and the newline where it is one token.

    No title can contain either (`title_ids`), so none can end its own answer early.
    """
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return (*end, *(newline if len(newline) == 1 else []))


def _without_special(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> tuple[int, ...]:
    special = set(tokenizer.all_special_ids)
    return tuple(i for i in ids if i not in special)


@dataclass(frozen=True)
class Wording:
    """Everything the packing needs from a tokenizer, as token ids.

    Attributes:
        instruction: stands before every history; begins as the tokenizer begins a text (`opening_ids`).
        question: stands between a history and its candidates in branch and title modes.
        separator: stands after each title of a text history.
        titles: one tuple per catalogue item.
        choices: stands between a history and the listed candidates in generate mode.
        stops: what ends an answer in generate mode; the first is the one that is taught.
        tokenizer: for spelling answers out.
    """

    instruction: tuple[int, ...]
    question: tuple[int, ...]
    separator: tuple[int, ...]
    titles: tuple[tuple[int, ...], ...]
    choices: tuple[int, ...]
    stops: tuple[int, ...]
    tokenizer: PreTrainedTokenizerBase = field(repr=False, compare=False)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, catalog: Catalog, domain: Domain = MOVIES) -> "Wording":
        return cls(
            instruction=(*opening_ids(tokenizer), *text_ids(tokenizer, domain.instruction)),
            question=tuple(tokenizer(domain.question, add_special_tokens=False)["input_ids"]),
            separator=text_ids(tokenizer, SEPARATOR),
            titles=tuple(title_ids(tokenizer, item.title) for item in catalog.items),
            choices=tuple(tokenizer(CHOICES, add_special_tokens=False)["input_ids"]),
            stops=stop_ids(tokenizer),
            tokenizer=tokenizer,
        )

    def spell(self, words: Sequence[int]) -> str:
        """Token ids as text."""
        text: str = self.tokenizer.decode(list(words))
        return text

    def answer(self, item: int) -> tuple[int, ...]:
        """What generate mode teaches for an item: its title's tokens and the first stop.

        Raises:
            BackboneError: the tokenizer has no token that could end an answer.
        """
        if not self.stops:
            raise BackboneError(
                "This backbone's tokenizer has neither an end-of-text token nor a newline, so no answer could"
                ' end: use mode="catalogue" or "branch", which generate nothing.'
            )
        return (*self.titles[item], self.stops[0])

    @property
    def longest_answer(self) -> int:
        """Tokens of the longest title and its stop: whatever runs on for longer names no item."""
        return 1 + max(map(len, self.titles))


def item_description(item: Item, domain: Domain = MOVIES) -> str:
    """What the frozen model reads once to form an item's text vector."""
    genres = f" Genres: {', '.join(item.genres)}." if item.genres else ""
    return f"{domain.noun}: {plain(item.title)}.{genres}"
