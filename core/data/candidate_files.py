"""Candidate lists as files in one place that every run reads, so that no method has candidates of its own."""

import os
from pathlib import Path
from typing import Literal

from core.assets import cache_root
from core.data.candidates import DEFAULT_SEED, CandidateTable, Kind, candidate_table, training_counts
from core.data.dataset import Dataset
from core.errors import DataError

Part = Literal["validation", "test"]


def part_table(
    dataset: Dataset,
    split_name: str,
    part: Part,
    kind: Kind = "uniform",
    draw: int = 0,
    seed: int = DEFAULT_SEED,
    negatives: int = 19,
) -> CandidateTable:
    """Candidates of every case of one part of a split: table [n, negatives + 1].

    Popularity is counted in that split's training sequences.
    """
    split = dataset.split(split_name)
    cases = split.validation if part == "validation" else split.test
    counts = None if kind == "uniform" else training_counts(split, dataset.num_items)
    return candidate_table(dataset, cases, negatives, seed, draw, counts)


def candidate_file(
    dataset: Dataset,
    split_name: str,
    part: Part,
    kind: Kind = "uniform",
    draw: int = 0,
    seed: int = DEFAULT_SEED,
    negatives: int = 19,
    root: Path | None = None,
) -> tuple[CandidateTable, Path]:
    """The candidates of one part of a split and the file that holds them; written on first use.

    Args:
        root: the folder of all candidate files; None is the cache's. Beneath it a folder names the data set
            and the beginning of its content hash: other data, other file.

    Raises:
        DataError: the file is damaged, or holds candidates of other cases.
    """
    folder = (root or cache_root() / "candidates") / f"{dataset.name}-{dataset.sha256[:12]}"
    path = folder / f"{split_name}-{part}-{kind}-{negatives + 1}-seed{seed}-draw{draw}.parquet"
    drawn = part_table(dataset, split_name, part, kind, draw, seed, negatives)
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # Named after this process: two may write at once.
        temporary = path.with_suffix(f".{os.getpid()}.partial")
        drawn.save(temporary)
        temporary.replace(path)
        return drawn, path
    stored = CandidateTable.load(path)
    if stored.sha256 != drawn.sha256:
        raise DataError(f"{path} holds other candidates than its name says; delete it and ask again.")
    return stored, path
