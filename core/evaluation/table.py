"""Rows for tables that other programs read: one flat record per method, made of per-user files alone."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from core.data.candidates import KINDS
from core.errors import RunError
from core.evaluation.archive import read_archive
from core.evaluation.records import Results, read_results
from core.evaluation.summary import Row, group_draws, summarise


@dataclass(frozen=True)
class TableRow:
    """One method on one split and kind of candidates. Rates in [0, 1]; None is not known or not applicable.

    hr1 and what begins with it are among sampled candidates; what ends with _full ranks the whole catalogue.
    The two answer different questions: never put them in one column.
    """

    dataset: str
    split: str
    candidates: str
    method: str
    seed: int | None
    n: int
    hr1: float
    hr1_low: float
    hr1_high: float
    hr1_valid_only: float | None
    valid_ratio: float
    hr10_full: float | None
    ndcg10_full: float | None
    train_samples: int | None
    train_minutes: float | None
    hr5_full: float | None = None
    mrr_full: float | None = None
    coverage_full: float | None = None
    popularity_rank_full: float | None = None
    note: str = ""


def table_row(row: Row) -> TableRow:
    """One row, flat."""
    header, sampled, full = row.header, row.sampled, row.full
    return TableRow(
        dataset=header.dataset,
        split=header.split,
        candidates=header.candidates,
        method=header.method,
        seed=header.seed,
        n=row.n,
        hr1=sampled.hr1,
        hr1_low=sampled.low,
        hr1_high=sampled.high,
        hr1_valid_only=sampled.hr1_valid_only,
        valid_ratio=sampled.valid_ratio,
        hr10_full=None if full is None else full.hr10,
        ndcg10_full=None if full is None else full.ndcg10,
        train_samples=header.train_samples,
        train_minutes=header.train_minutes,
        hr5_full=None if full is None else full.hr5,
        mrr_full=None if full is None else full.mrr,
        coverage_full=None if full is None else full.coverage,
        popularity_rank_full=None if full is None else full.popularity_rank,
        note=header.note,
    )


def read_folder(folder: Path, part: str = "test") -> list[Row]:
    """Rows of every file of one part beneath an evaluation folder, in the order of their paths.

    Raises:
        RunError: there is none, or one cannot be read.
    """
    results: Iterable[Results] = map(read_results, sorted(folder.glob("*/*.parquet")))
    rows = [summarise(group) for group in group_draws(r for r in results if r.header.part == part)]
    if not rows:
        raise RunError(f"{folder} holds no results on {part} users: evaluate a run first.")
    return rows


def read_archives(folder: Path, part: str = "test") -> list[Row]:
    """Rows of every archive in a folder, of one part, as tables have them: by data set and split, uniform
    candidates first, baselines before what is judged. [] where there is none.

    Raises:
        RunError: one cannot be read.
    """
    results = [r for path in sorted(folder.glob("*.parquet")) for r in read_archive(path)]
    rows = [summarise(group) for group in group_draws(r for r in results if r.header.part == part)]
    return sorted(rows, key=_place)


_BASELINES = ("Popularity", "ItemKNN", "EASE", "SASRec", "Title likelihood")
_METHODS = ("LoRA", "iLoRA", "Static gate", "Random gate", "Shuffled gate")
_VARIANTS = ("", " + SASRec", " (branch)", " (branch) + SASRec", " (generate)")
_ORDER = (*_BASELINES, *(method + variant for variant in _VARIANTS for method in _METHODS))


def _place(row: Row) -> tuple[str, str, int, int, int]:
    h = row.header
    label = h.method if h.method in _ORDER else h.method.partition(" (zero-shot)")[0]
    order = _ORDER.index(label) if label in _ORDER else len(_ORDER)
    return h.dataset, h.split, KINDS.index(h.candidates), order, h.seed or 0


def write_table(rows: Sequence[TableRow], path: Path) -> None:
    """Write table.json: a list of objects with the fields of :class:`TableRow`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def read_table(path: Path) -> list[TableRow]:
    """Read what `write_table` wrote.

    Raises:
        RunError: it is not such a file.
    """
    try:
        rows = [TableRow(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        wanted = ", ".join(field.name for field in fields(TableRow))
        raise RunError(f"{path} is no table: a JSON list of objects with {wanted} is needed.") from error
    return rows
