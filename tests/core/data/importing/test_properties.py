"""Whatever a file looks like, the same interactions are the same data set; and the k-core is one."""

import csv
import io
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.importing.events import Events
from core.data.importing.filters import first_of_each, k_core, same_rows
from core.data.importing.ordering import ordered
from core.data.importing.records import Grammar, batches
from core.data.importing.wanted import Rules
from tests.core.data.importing.conftest import bring

NAMES = st.text(alphabet="ab12,;|\"'é🎬שx", min_size=1, max_size=5)
Row = tuple[str, str, int, str]
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """(user, item, time, title) with no two times alike; the first user has enough to be asked."""
    items = draw(st.lists(NAMES, min_size=6, max_size=9, unique=True))
    titles = {item: draw(st.text(alphabet='ab ,;|"=é🎬', max_size=6)).strip() for item in items}
    pairs = [("first", item) for item in items[:6]]
    pairs += draw(st.lists(st.tuples(NAMES, st.sampled_from(items)), max_size=12))
    times = draw(st.permutations(range(len(pairs))))
    return [
        (user, item, 1_400_000_000 + time, titles[item])
        for (user, item), time in zip(pairs, times, strict=True)
    ]


def _twin(rows: list[Row]) -> dict[str, list[str]]:
    """Every user's items by their first time, as plainly as it can be said."""
    histories: dict[str, list[str]] = {}
    for user, item, *_ in sorted(rows, key=lambda row: row[2]):
        history = histories.setdefault(user, [])
        if item not in history:
            history.append(item)
    return histories


def _written(rows: list[Row], delimiter: str, quoting: int, end: str, columns: list[int]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    for row in [("user_id", "item_id", "timestamp", "title"), *rows]:
        writer.writerow([row[column] for column in columns])
    return out.getvalue()


@QUICK
@given(
    rows=histories(),
    delimiter=st.sampled_from(",;|\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    columns=st.permutations(range(4)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    size=st.integers(1, 9),
    data=st.data(),
)
def test_order_delimiter_quoting_encoding_and_batches_change_nothing(
    rows: list[Row],
    delimiter: str,
    quoting: int,
    end: str,
    columns: list[int],
    encoding: str,
    size: int,
    data: st.DataObject,
) -> None:
    shuffled = data.draw(st.permutations(rows))
    text = _written(shuffled, delimiter, quoting, end, columns)
    plain = _written(rows, ",", csv.QUOTE_MINIMAL, "\n", [0, 1, 2, 3])
    with tempfile.TemporaryDirectory() as folder:
        done = bring(Path(folder) / "a", text.encode(encoding), size=size)
        reference = bring(Path(folder) / "b", plain)
    assert done.report.rejected == ()
    assert done.ids == _twin(rows)
    assert done.dataset.sha256 == reference.dataset.sha256
    said = {item: title for _, item, _, title in rows}
    for item in done.dataset.catalog.items:
        assert item.title.startswith(" ".join(said[item.item_id].split()) or item.item_id)


def _events(pairs: list[tuple[int, int]], times: list[float] | None = None) -> Events:
    user, item = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    n = len(pairs)
    names = tuple(str(number) for number in range(12))
    time = np.zeros(n) if times is None else np.array(times)
    return Events(user, item, time, np.full(n, np.nan), np.arange(n), names, names)


def _naive_core(pairs: list[tuple[int, int]], per_user: int, per_item: int) -> list[tuple[int, int]]:
    """Take out one user or item with too few after the other, until nobody has."""
    while True:
        users, items = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
        poor_user = next((u for u in users if users[u] < per_user), None)
        poor_item = next((i for i in items if items[i] < per_item), None)
        if poor_user is not None:
            pairs = [pair for pair in pairs if pair[0] != poor_user]
        elif poor_item is not None:
            pairs = [pair for pair in pairs if pair[1] != poor_item]
        else:
            return pairs


PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=80)


@given(pairs=PAIRS, per_user=st.integers(1, 4), per_item=st.integers(1, 4))
def test_the_core_equals_its_naive_twin_and_is_a_fixed_point(
    pairs: list[tuple[int, int]], per_user: int, per_item: int
) -> None:
    events = _events(pairs)
    kept, _ = k_core(events, per_user, per_item)
    left = [pair for pair, stays in zip(pairs, kept, strict=True) if stays]
    assert left == _naive_core(pairs, per_user, per_item)
    again, rounds = k_core(events.take(kept), per_user, per_item)
    assert again.all() and rounds == 0


@given(pairs=PAIRS, data=st.data())
def test_order_is_time_then_file_and_gaps_stay_where_they_stand(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    given_times = data.draw(
        st.lists(st.one_of(st.just(np.nan), st.integers(0, 5)), min_size=len(pairs), max_size=len(pairs))
    )
    done, facts = ordered(_events(pairs, given_times))
    expected = []
    for user in sorted({user for user, _ in pairs}):
        own = [line for line, pair in enumerate(pairs) if pair[0] == user]
        known = [given_times[line] for line in own if not np.isnan(given_times[line])]
        last = known[0] if known else 0.0
        keyed = []
        for line in own:
            last = last if np.isnan(given_times[line]) else given_times[line]
            keyed.append((last, line))
        expected += [line for _, line in sorted(keyed)]
    assert done.line.tolist() == expected
    assert facts.undated == sum(map(np.isnan, given_times))


@given(pairs=PAIRS)
def test_repeats_are_told_from_first_ones(pairs: list[tuple[int, int]]) -> None:
    events = _events(pairs)
    first = [pair not in pairs[:place] for place, pair in enumerate(pairs)]
    assert first_of_each(events).tolist() == first
    assert same_rows(events) == len(pairs) - len(set(pairs))


@pytest.mark.parametrize("keep", [True, False])
def test_the_flag_keeps_or_drops_repeats_and_the_effect_is_told(keep: bool, tmp_path: Path) -> None:
    items = ["a", "b", "a", "c", "d", "e", "a"]
    content = "user,item\n" + "".join(f"ann,{item}\n" for item in items)
    done = bring(tmp_path / "files", content, rules=Rules(first_only=not keep))
    assert done.ids["ann"] == (items if keep else list("abcde"))
    effects = [(effect.dropped, effect.first_lines) for effect in done.report.effects]
    assert effects == ([] if keep else [(2, (4, 8))])


def test_the_core_is_told_with_its_effect(tmp_path: Path) -> None:
    rows = [("ann", n) for n in range(6)] + [("bob", n) for n in range(6)] + [("eve", 0), ("ann", 9)]
    content = "user,item\n" + "".join(f"{user},{item}\n" for user, item in rows)
    rules = Rules(min_user_interactions=2, min_item_interactions=2)
    done = bring(tmp_path / "files", content, rules=rules)
    effect = done.report.effects[-1]
    assert (effect.before.rows, effect.before.users, effect.before.items) == (14, 3, 7)
    assert (effect.after.rows, effect.after.users, effect.after.items) == (12, 2, 6)
    assert "k-core" in effect.rule


LINES = st.lists(st.text(alphabet='a:,"; ', max_size=8), max_size=12)


@given(lines=LINES, delimiter=st.sampled_from([",", "::", ";"]), size=st.integers(1, 12))
def test_no_row_depends_on_the_lines_read_with_it(lines: list[str], delimiter: str, size: int) -> None:
    grammar = Grammar(delimiter, 2)

    def read(size: int) -> tuple[dict[int, tuple[str, ...]], dict[int, str]]:
        rows: dict[int, tuple[str, ...]] = {}
        bad: dict[int, str] = {}
        for batch in batches(lines, grammar, (0, 1), size=size):
            rows |= dict(zip(batch.lines, batch.rows, strict=True))
            bad |= {row.line: row.why for row in batch.bad}
        return rows, bad

    rows, bad = read(size)
    assert (rows, bad) == read(len(lines) + 1)
    if not any('"' in line for line in lines):
        fields = {number: line.split(delimiter) for number, line in enumerate(lines, start=1)}
        assert rows == {n: tuple(map(str.strip, f[:2])) for n, f in fields.items() if _fits(f)}
        assert set(bad) == {n for n, line in enumerate(lines, start=1) if line.strip()} - set(rows)


def _fits(fields: list[str]) -> bool:
    """Two fields, or more of which the ones behind are empty."""
    return len(fields) >= 2 and not any(cell.strip() for cell in fields[2:])
