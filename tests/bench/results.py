"""results.json: one object per row, the latest measurement of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.targets import TARGETS

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Row:
    """One measured row; what it means stands in `TARGETS[id]`.

    Attributes:
        value, low, high: median and quartiles, in the row's unit.
        ok: whether the target was reached; None for rows without one.
        repeats: how many numbers the median is of.
        machine: `Machine.as_dict`.
        date: ISO day.
        note: what a reader must know (which dtype, which floor).
        details: further numbers, named with their unit.
        series: curves, by name.
    """

    id: str
    value: float
    low: float
    high: float
    ok: bool | None
    repeats: int
    machine: Mapping[str, object]
    date: str
    note: str = ""
    details: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """With what the row means, so that the file can be read alone."""
        told = asdict(TARGETS[self.id])
        return {"id": self.id, **told, **{k: v for k, v in asdict(self).items() if k != "id"}}


def read_rows(path: Path = RESULTS) -> list[Row]:
    """In the table's order; none when nothing was measured yet."""
    if not path.is_file():
        return []
    names = set(Row.__dataclass_fields__)
    rows = [
        Row(**{key: value for key, value in entry.items() if key in names})
        for entry in json.loads(path.read_text(encoding="utf-8"))
    ]
    order = list(TARGETS)
    return sorted(rows, key=lambda row: order.index(row.id))


def write_rows(rows: Sequence[Row], path: Path = RESULTS) -> None:
    """Put these rows in place of older measurements of the same; other rows stay."""
    merged = {row.id: row for row in (*read_rows(path), *rows)}
    ordered = [merged[name].as_dict() for name in TARGETS if name in merged]
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
