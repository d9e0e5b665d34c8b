"""Which events are kept, and what each rule costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.importing.events import Events
from core.data.importing.rejects import FIRST
from core.data.importing.wanted import Rules
from core.errors import DataError


@dataclass(frozen=True)
class Size:
    """Rows, and the users and items that have one."""

    rows: int
    users: int
    items: int

    @classmethod
    def of(cls, events: Events) -> "Size":
        return cls(len(events), events.active_users, events.active_items)


@dataclass(frozen=True)
class Effect:
    """What one rule did.

    Attributes:
        rule: in words, with the flag that sets it.
        first_lines: lines of the first dropped rows, for rules that look at single rows.
    """

    rule: str
    before: Size
    after: Size
    first_lines: tuple[int, ...] = ()

    @property
    def dropped(self) -> int:
        """Rows that it cost."""
        return self.before.rows - self.after.rows


def filtered(events: Events, rules: Rules, titled: NDArray[np.bool_]) -> tuple[Events, list[Effect]]:
    """Apply every rule that was asked for, one after the other.

    Args:
        events: in order.
        titled: [N] bool, whether each of `events.items` has a title.

    Raises:
        DataError: a rule leaves nothing over.
    """
    effects: list[Effect] = []

    def apply(kept: NDArray[np.bool_], rule: str, lines: bool = False) -> None:
        nonlocal events
        first = np.sort(events.line[~kept])[: FIRST if lines else 0]
        after = events.take(kept)
        effects.append(Effect(rule, Size.of(events), Size.of(after), tuple(first.tolist())))
        if not len(after):
            raise DataError(f"No interaction is left of {len(events):,} after this rule: {rule}; loosen it.")
        events = after

    if rules.min_rating is not None:
        if np.isnan(events.rating).all():
            raise DataError(
                "--min-rating needs ratings, and no column of them was found; name --rating-column."
            )
        apply(events.rating >= rules.min_rating, f"rating at least {rules.min_rating:g} (--min-rating)")
    if rules.drop_undated:
        apply(~np.isnan(events.time), "with a time (--drop-undated)", lines=True)
    if rules.drop_untitled:
        apply(titled[events.item], "item with a title (--drop-untitled)")
    if rules.first_only:
        apply(first_of_each(events), "first of each user and item (--first-only)", lines=True)
    per_user, per_item = rules.min_user_interactions, rules.min_item_interactions
    if per_user > 1 or per_item > 1:
        kept, rounds = k_core(events, per_user, per_item)
        s = "" if rounds == 1 else "s"
        apply(kept, f"users with {per_user}, items with {per_item} or more (k-core, {rounds} round{s})")
    return events, effects


def first_of_each(events: Events) -> NDArray[np.bool_]:
    """Mask of the first event of every user with an item; `events` stand in order."""
    order, repeats = _by_pair(events)
    kept = np.ones(len(events), dtype=bool)
    kept[order[repeats]] = False
    return kept


def same_rows(events: Events) -> int:
    """How many events are word for word another one: user, item, time and rating."""
    order, repeats = _by_pair(events)
    several = events.take(order[repeats | np.append(repeats[1:], False)])
    columns = [several.rating, several.time, several.item, several.user]
    known = [np.nan_to_num(column) for column in columns]
    by_all = np.lexsort(known)
    same = [column[by_all][1:] == column[by_all][:-1] for column in known]
    return int(np.logical_and.reduce(same).sum())


def _by_pair(events: Events) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Positions sorted by user and item, otherwise in order; and which of them repeat the pair before."""
    pair = events.user * (len(events.items) + 1) + events.item
    order = np.argsort(pair, kind="stable")
    in_order = pair[order]
    return order, np.append(False, in_order[1:] == in_order[:-1])[: len(order)]


def k_core(events: Events, per_user: int, per_item: int) -> tuple[NDArray[np.bool_], int]:
    """Mask of the largest set of events in which every user has `per_user` and every item `per_item` of them.

    Users and items with too few are taken out in turn until nobody has too few. The set does not depend on
    who goes first.

    Returns:
        kept: [n] bool.
        rounds: how many it took.
    """
    kept = np.ones(len(events), dtype=bool)
    for rounds in range(len(events) + 1):
        users = np.bincount(events.user[kept], minlength=len(events.users))
        items = np.bincount(events.item[kept], minlength=len(events.items))
        still = kept & (users[events.user] >= per_user) & (items[events.item] >= per_item)
        if still.sum() == kept.sum():
            return kept, rounds
        kept = still
    return kept, len(events)
