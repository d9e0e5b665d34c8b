"""What a person should know of an import beside its numbers, in sentences."""

from collections.abc import Iterator

import numpy as np

from core.data.dataset import Dataset
from core.data.importing.events import Gathered
from core.data.importing.filters import first_of_each, same_rows
from core.data.importing.items import LONGEST_TITLE, ItemFacts
from core.data.importing.layout import Layout
from core.data.importing.ordering import OrderFacts
from core.data.importing.source import Source
from core.data.importing.times import NUMBER, ORDER, unit_of, units_mixed
from core.data.importing.wanted import Rules
from core.data.leave_one_out import MIN_INTERACTIONS

CANDIDATES = 20
"""The evaluation asks for the target among so many items, the others unknown to the user."""


def event_notes(layout: Layout, gathered: Gathered, order: OrderFacts, rules: Rules) -> Iterator[str]:
    """Of ids, times, order and repetition."""
    events = gathered.events
    for role in gathered.decimals:
        yield f"The ids of {role}s were whole numbers written as decimals (12.0): their .0 is left out."
    if "time" not in layout.roles:
        yield "There is no column of times: every history is in the order of the file."
    else:
        yield from _time_notes(layout, gathered, order, rules)
    same = same_rows(events)
    if same:
        yield f"{_rows(same)} that repeat another word for word (user, item, time and rating)."
    again = 0 if rules.first_only else int(np.sum(~first_of_each(events)))
    if again:
        yield f"{_rows(again)} that repeat a user and item: kept (--first-only drops them)."


def _time_notes(layout: Layout, gathered: Gathered, order: OrderFacts, rules: Rules) -> Iterator[str]:
    unit = unit_of(gathered.events.time, layout.times)
    if unit == ORDER and layout.times != ORDER:
        yield "The times are no dates (too small for Unix time): they are taken as numbers in order."
    mixed = units_mixed(gathered.events.time, unit) if layout.times == NUMBER else 0
    if mixed:
        yield (
            f"{_rows(mixed)} with times of another unit than the others, it seems: their place in a history "
            "may be wrong."
        )
    if order.undated and not rules.drop_undated:
        yield (
            f"{_rows(order.undated)} without a time: each stays behind the row of the same user before it in "
            "the file (--drop-undated leaves them out)."
        )
    if order.unsorted:
        yield (
            f"The file is not in order of time ({_rows(order.unsorted)} behind a later one of the same "
            "user): histories were sorted."
        )
    if order.tied:
        yield f"{_rows(order.tied)} with the user and time of another: these stay in the order of the file."


def item_notes(
    dataset: Dataset,
    facts: ItemFacts,
    listing: Source | None,
    differing: int,
    unlisted: int,
    unseen: int,
    rules: Rules,
) -> Iterator[str]:
    """Of titles and of the file of items.

    Args:
        differing: items of which rows say different titles.
        unlisted: kept items that the file of items does not hold.
        unseen: items of that file that no kept interaction has.
    """
    if facts.untitled:
        yield (
            f"{facts.untitled:,} of {_items(dataset.num_items)} without a title, called by the id: a "
            "language model knows nothing of an id."
        )
    if unlisted and listing:
        yield f"{_items(unlisted)} of the interactions not in {listing.name}."
    if unseen and listing:
        what = (
            "kept, to be recommended by title alone"
            if rules.keep_unseen
            else "left out (--keep-unseen keeps them, to be recommended by title alone)"
        )
        yield f"{_items(unseen)} of {listing.name} without interactions: {what}."
    if differing:
        yield f"Rows say different titles of {_items(differing)}: the most frequent one is taken."
    if facts.shared:
        yield f"{_items(facts.shared)} with the title of an earlier one: marked with the id."
    if facts.turned:
        yield f"{_items(facts.turned)} with the article behind the title: moved to the front."
    if facts.cut:
        yield f"{_items(facts.cut)} with a title cut to {LONGEST_TITLE} characters."
    if facts.cleaned:
        yield f"{_items(facts.cleaned)} with control characters in the title: taken out."
    silent = len(dataset.users) - len(dataset.split("loo").test)
    if silent:
        yield (
            f"{silent:,} of {len(dataset.users):,} users have fewer than {MIN_INTERACTIONS} interactions: "
            "they are neither trained on nor asked."
        )
    asked = (dataset.sequences[case.user] for case in dataset.split("loo").test)
    fewest = min(dataset.num_items - len(set(sequence)) for sequence in asked)
    if fewest < CANDIDATES - 1:
        yield (
            f"Some user knows all but {fewest} of the {dataset.num_items:,} items: training and evaluation "
            f"need {CANDIDATES - 1} that he does not know, so bring more items."
        )


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
