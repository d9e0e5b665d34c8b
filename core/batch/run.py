"""A whole batch: shard by shard into parts that survive a kill, then one table, moved in whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.batch.people import People
from core.batch.scoring import Scored, score_shard
from core.batch.table import records, schema, write_csv, write_parquet
from core.errors import DataError
from core.recommendation import AdapterName
from core.recommender import Recommender

FORMATS = (".parquet", ".csv")
KEY = "job.json"


@dataclass(frozen=True)
class Job:
    """What is asked for everybody.

    Attributes:
        adapters: which lists, in the order of the columns.
        k: length of a list.
        shard: people that go through the model together; no result depends on it beyond rounding.
        part: people per file that is kept; what a killed run has to do again at most.
    """

    adapters: tuple[AdapterName, ...]
    k: int = 10
    shard: int = 64
    part: int = 1024


def check_job(recommender: Recommender, job: Job, out: Path) -> None:
    """Refuse what cannot be done before anything is done.

    Raises:
        DataError: an adapter that is not there, k below 1, or another format than Parquet and CSV.
    """
    if out.suffix.lower() not in FORMATS:
        raise DataError(f"{out.name} says no format: name a file that ends in {' or '.join(FORMATS)}.")
    if job.k < 1:
        raise DataError(f"k is {job.k}; ask for at least 1 item.")
    strange = [name for name in job.adapters if name not in recommender.adapters]
    if strange or not job.adapters:
        there = ", ".join(recommender.adapters)
        raise DataError(f'There is no adapter "{", ".join(strange)}" here; there is: {there}.')


def open_parts(people: People, job: Job, bundle: str, folder: Path) -> int:
    """Make ready a folder for parts, and say how many people are done in it already.

    Parts of another question (other people, adapters or bundle) are thrown away.

    Args:
        bundle: says which bundle answers; changes with anything in it.
    """
    asked = asdict(job) | {"people": people.digest, "bundle": bundle}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    kept = folder / KEY
    if not kept.is_file() or kept.read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        kept.write_text(key, encoding="utf-8")
    number = 0
    while _part(folder, number).is_file():
        number += 1
    return min(number * job.part, len(people))


def score_people(
    recommender: Recommender, people: People, job: Job, folder: Path, done: int
) -> Iterator[int]:
    """Score everybody from person `done` on; yields how many are done after every shard.

    Nothing is computed between two yields but one shard, so a caller may wait there for others, or stop.
    """
    columns = schema(job.adapters)
    for start in range(done, len(people), job.part):
        end = min(start + job.part, len(people))
        scored: list[Scored] = []
        while start + len(scored) < end:
            first = start + len(scored)
            histories = [people.history(at) for at in range(first, min(first + job.shard, end))]
            scored += score_shard(recommender, histories, job.adapters, job.k)
            if start + len(scored) == end:
                rows = records(recommender.catalog, people, start, scored, job.adapters)
                _write_part(pa.Table.from_pylist(rows, columns), _part(folder, start // job.part))
            yield start + len(scored)


def finish(job: Job, folder: Path, out: Path, keep: bool = False) -> None:
    """All parts into one table, which appears whole; the parts are gone afterwards, unless they are kept."""
    columns = schema(job.adapters)
    aside = out.with_name(f".{out.name}.part")
    write = write_parquet if out.suffix.lower() == ".parquet" else write_csv
    write(_parts(folder), columns, aside)
    os.replace(aside, out)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


def _parts(folder: Path) -> Iterator[pa.Table]:
    number = 0
    while (path := _part(folder, number)).is_file():
        yield pq.read_table(path)
        number += 1


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06d}.parquet"


def _write_part(table: pa.Table, path: Path) -> None:
    aside = path.with_suffix(".part")
    pq.write_table(table, aside)
    os.replace(aside, path)
