"""Ask methods the questions of a split and keep every user's result; what is there is not asked again."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from core.data.candidates import CandidateTable
from core.errors import RunBusy, RunError
from core.evaluation.asking import full_ranks, sampled_ranks
from core.evaluation.methods import Answers, Identity, Method
from core.evaluation.metrics import best_lists
from core.evaluation.questions import Questions
from core.evaluation.records import SCHEMA, Header, Results, read_results, write_results
from core.routing import Floats, Indices
from core.titles import fold

CHUNK = 64
"""Users asked at once and written together: what a killed evaluation loses at most."""
SHOWN = 10
"""Items of a list whose coverage and popularity are counted."""
SAMPLE_SEED = 62
"""Of the users who are asked about where not all can be."""

Step = Callable[[str, int, int], None]
"""Told (what is being done, done so far, in all; all = 0 when unknown)."""


class Source(Protocol):
    """Rows of a table that stand on the same loaded parts."""

    @property
    def identities(self) -> Sequence[Identity]: ...

    @property
    def reads_titles(self) -> bool:
        """Whether titles are read word by word: about a second per user instead of some milliseconds."""
        ...

    def open(self, questions: Questions, step: Step) -> Sequence[Method]:
        """The methods of `identities`, in that order. Slow."""
        ...


def evaluate(
    questions: Questions,
    source: Source,
    folder: Path,
    users: int | None = None,
    step: Step = lambda what, done, total: None,
    sample: int | None = None,
) -> list[Results]:
    """Results of every method of a source and every candidate table; what is missing is asked and written.

    Killed at any moment, the same call goes on with the missing users and ends with the same bytes: chunks
    begin at the same users however often it was stopped.

    Args:
        folder: of all evaluations; files lie in a folder of it that is named after the questions.
        users: only the first so many cases.
        sample: only so many of those, drawn once from a seed of its own: the same for every source.

    Raises:
        RunError: a file there is of other data, other candidates, another training or another version.
    """
    asked = asked_rows(len(questions.cases), users, sample)
    where = folder / questions.name
    where.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(where / ".lock", timeout=0):
            kept = {name: _kept(where, questions, name) for name in source.identities}
            if any(len(file.missing(asked)) for files in kept.values() for file in files):
                _ask_missing(questions, source.open(questions, step), kept, asked, step)
    except Timeout:
        raise RunBusy(
            f"{where} is being written by another process: wait for it or name another --out."
        ) from None
    chosen = {questions.users[row] for row in asked}
    return [read_results(file.path).first(chosen) for files in kept.values() for file in files]


def asked_rows(cases: int, users: int | None = None, sample: int | None = None) -> Indices:
    """Which cases are asked, in their order: the first `users`, and of those a seeded sample."""
    rows = np.arange(cases if users is None else min(users, cases))
    if sample is None or sample >= len(rows):
        return rows
    return np.sort(np.random.default_rng(SAMPLE_SEED).permutation(rows)[:sample])


def _ask_missing(
    questions: Questions,
    methods: Sequence[Method],
    kept: dict[Identity, "list[_Kept]"],
    asked: Indices,
    step: Step,
) -> None:
    for start in range(0, len(asked), CHUNK):
        rows = asked[start : start + CHUNK]
        for method in methods:
            files = kept[method.identity]
            wanted = np.unique(np.concatenate([file.missing(rows) for file in files]))
            if len(wanted):
                answers = method.answer(wanted)
                for number, file in enumerate(files):
                    file.add(method, answers, wanted, number)
        what = f"{', '.join(method.identity.label for method in methods)} on {questions.name}"
        step(what, start + len(rows), len(asked))


def result_file(folder: Path, identity: Identity, table: CandidateTable) -> Path:
    """Where the results of one method on one candidate table lie, in the folder of the questions."""
    words = [*fold(identity.label).split(), "", *fold(identity.run).split(), "", table.kind, str(table.draw)]
    return folder / f"{'-'.join(words)}.parquet"


class _Kept:
    """One file of results while it grows."""

    def __init__(self, path: Path, questions: Questions, header: Header) -> None:
        self.path, self.questions, self.header = path, questions, header
        self.rows = SCHEMA.empty_table()
        if path.is_file():
            stored = read_results(path)
            _refuse_others(path, header, stored.header)
            self.rows = stored.table
        places = {user: place for place, user in enumerate(questions.users)}
        self.done = {places[user] for user in self.rows["user"].to_pylist()}

    def missing(self, rows: Indices) -> Indices:
        """Those of `rows` that have no result yet."""
        return np.array([row for row in rows.tolist() if row not in self.done], dtype=np.int64)

    def add(self, method: Method, answers: Answers, rows: Indices, table: int) -> None:
        """Write the answers to `rows` that are not there yet, all rows in the order of the cases."""
        fresh = np.isin(rows, self.missing(rows))
        new = _rows(self.questions, method.identity, answers, rows, table).filter(pa.array(fresh))
        places = {user: place for place, user in enumerate(self.questions.users)}
        both = pa.concat_tables([self.rows, new])
        order = np.argsort([places[user] for user in both["user"].to_pylist()])
        self.rows = both.take(pa.array(order)).combine_chunks()
        self.done |= set(rows.tolist())
        self.header = _header(self.questions, method.identity, table, method.note)
        write_results(self.path, self.header, self.rows)


def _kept(where: Path, questions: Questions, identity: Identity) -> list[_Kept]:
    return [
        _Kept(result_file(where, identity, table), questions, _header(questions, identity, number))
        for number, table in enumerate(questions.tables)
    ]


def _header(questions: Questions, identity: Identity, number: int, note: str = "") -> Header:
    table = questions.tables[number]
    return Header(
        dataset=questions.dataset.name,
        split=questions.split.name,
        part=questions.part,
        candidates=table.kind,
        draw=table.draw,
        dataset_sha256=questions.dataset.sha256,
        candidates_sha256=table.sha256,
        cases=len(questions.cases),
        catalogue=questions.dataset.num_items,
        width=table.table.shape[1],
        method=identity.label,
        run=identity.run,
        seed=identity.seed,
        recipe=identity.recipe,
        weights=identity.weights,
        note=note,
        train_samples=identity.train_samples,
        train_minutes=identity.train_minutes,
        version=version("ilora"),
    )


_OTHERS = {
    "dataset_sha256": "other data",
    "candidates_sha256": "other candidates",
    "recipe": "another recipe",
    "weights": "another training",
    "version": "another version of ilora",
}


def _refuse_others(path: Path, wanted: Header, stored: Header) -> None:
    for field, what in _OTHERS.items():
        if getattr(wanted, field) != getattr(stored, field):
            raise RunError(f"{path} holds results of {what}: remove it, or name another folder with --out.")


def _rows(questions: Questions, identity: Identity, answers: Answers, rows: Indices, number: int) -> pa.Table:
    """Answers to the cases at `rows` as rows of a file."""
    cases = [questions.cases[row] for row in rows]
    table, scores = questions.tables[number], answers.candidates[number]
    candidates = table.table[rows]
    valid = ~np.isnan(scores).any(1)  # [n]
    columns = (candidates == table.targets[rows, None]).argmax(1)
    own = np.take_along_axis(scores, columns[:, None], axis=1)[:, 0]
    full: NDArray[np.int32] | None = None
    lists: list[list[str]] = [[] for _ in cases]
    if answers.scores is not None:
        full = full_ranks(answers.scores, cases).astype(np.int32)
        lists = _shown(questions, answers.scores, rows)
    items = questions.dataset.catalog
    n = len(rows)
    return pa.table(
        {
            "dataset": [questions.dataset.name] * n,
            "split": [questions.split.name] * n,
            "part": [questions.part] * n,
            "method": [identity.label] * n,
            "run": [identity.run] * n,
            "seed": pa.array([identity.seed] * n, pa.int64()),
            "candidates": [table.kind] * n,
            "draw": [table.draw] * n,
            "user": [questions.users[row] for row in rows],
            "target": [items[case.target].item_id for case in cases],
            "rank": sampled_ranks(scores, cases, candidates).astype(np.int32),
            "score": pa.array(own, pa.float32(), mask=~valid),
            "valid": valid,
            "full_rank": pa.nulls(n, pa.int32()) if full is None else full,
            "top10": lists,
            "gate": pa.array(
                [[]] * n if answers.gate is None else list(answers.gate), pa.list_(pa.float32())
            ),
            "history_length": [len(case.history) for case in cases],
            "history_bucket": [questions.history_buckets[row] for row in rows],
            "popularity_decile": [questions.popularity_deciles[row] for row in rows],
            "density": [questions.densities[row] for row in rows],
            "cluster": pa.array([None] * n if answers.cluster is None else answers.cluster, pa.string()),
        }
    ).cast(SCHEMA)


def _shown(questions: Questions, scores: Floats, rows: Indices) -> list[list[str]]:
    """Item ids of the first ten of the catalogue that each user had not seen; none where a score is NaN."""
    items, lists = questions.dataset.catalog, []
    cases = [questions.cases[row] for row in rows]
    for case, own, best in zip(cases, scores, best_lists(scores, cases, SHOWN), strict=True):
        good, seen = not np.isnan(own).any(), set(case.history)
        told = [item for item in best.tolist() if good and item not in seen and own[item] > -np.inf]
        lists.append([items[item].item_id for item in told])
    return lists
