"""What a person asked for, read and checked: history, candidates and gate, with notes on what was changed."""

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.catalog import Catalog
from core.domain import MOVIES, Domain
from core.errors import DataError, UnknownItem
from core.routing import Indices

Entry = int | str
"""An item as people and programs name it: a dense index (int), or an item id or title (str)."""
Gate = NDArray[np.float32]


def read_items(catalog: Catalog, entries: Sequence[Entry]) -> list[int]:
    """Dense indices of ids, titles or indices, in the order given.

    Raises:
        UnknownItem: the catalogue has no such index, id or title; carries suggestions for titles.
        DataError: one text was given where a list is needed.
    """
    if isinstance(entries, str):
        raise DataError("A list of items is needed, not one text: put the title in a list.")
    return [_index(catalog, entry) for entry in entries]


def _index(catalog: Catalog, entry: Entry) -> int:
    if isinstance(entry, str):
        return catalog.index_of(entry)
    index = operator.index(entry)  # numpy's integers too
    if not 0 <= index < len(catalog):
        raise UnknownItem(str(index))
    return index


def read_history(
    catalog: Catalog, entries: Sequence[Entry], limit: int, domain: Domain = MOVIES
) -> tuple[tuple[int, ...], list[str]]:
    """A history as dense indices, each item once where it first stands, and notes.

    Args:
        limit: how many items the language model reads (they are not cut here).
        domain: how they are spoken of.
    """
    given = read_items(catalog, entries)
    known = tuple(dict.fromkeys(given))
    notes = []
    if len(known) < len(given):
        repeated = [catalog[index].title for index in known if given.count(index) > 1]
        notes.append(f"Kept once: {'; '.join(repeated)}.")
    if not known:
        notes.append(f"The history is empty: the {domain.most_done} {domain.many} come first.")
    elif len(known) == 1:
        notes.append("One item says little: with more of them the list becomes personal.")
    elif len(known) > limit:
        notes.append(f"Of these {len(known)} items the language model reads the last {limit}.")
    return known, notes


def read_pool(
    catalog: Catalog, known: Sequence[int], entries: Sequence[Entry] | None, exclude_seen: bool
) -> tuple[Indices, list[str]]:
    """The items that may be ranked, [P] int64 ascending, and notes. `entries` None is the whole catalogue.

    Raises:
        DataError: no item is left.
    """
    wanted = np.arange(len(catalog)) if entries is None else np.unique(read_items(catalog, entries))
    pool = np.setdiff1d(wanted, known) if exclude_seen else wanted
    if not len(pool):
        raise DataError("No item is left to rank: every candidate is in the history, or none was named.")
    left_out = len(wanted) - len(pool)
    notes = [f"Left out, being in the history: {left_out} of the candidates."] if entries and left_out else []
    return pool.astype(np.int64), notes


def read_gate(weights: Sequence[float], num_experts: int) -> Gate:
    """A mixture given by hand, scaled to sum to 1: [1, K] float32.

    Raises:
        DataError: not K weights, or one is below 0 or no number, or all are 0.
    """
    gate = np.asarray(weights, dtype=np.float64)
    if gate.shape != (num_experts,):
        raise DataError(f"The gate needs {num_experts} weights, one per expert; {gate.size} were given.")
    if not np.isfinite(gate).all() or (gate < 0).any() or gate.sum() <= 0:
        raise DataError("Gate weights must be numbers of 0 and more, and not all 0.")
    return (gate / gate.sum()).astype(np.float32)[None]
