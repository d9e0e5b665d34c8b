"""How numbers of an evaluation are written, the same in the terminal, in Markdown and in the report."""

from collections.abc import Sequence

from core.evaluation.summary import Full, Row, Sampled

TWO_QUESTIONS = (
    "Sampled and full ranking answer different questions and must not be compared: among {width} candidates "
    "the target stands beside {negatives} items drawn by chance; in the full catalogue beside all of "
    "the {catalogue:,} items that the user had not seen. A method can lead in one and not in the other."
)


def two_questions(row: Row) -> str:
    """The warning that stands beside every pair of tables."""
    width = row.header.width
    return TWO_QUESTIONS.format(width=width, negatives=width - 1, catalogue=row.header.catalogue)


def rate(value: float | None, digits: int = 3) -> str:
    """A rate in [0, 1], or what is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(value: float, low: float, high: float) -> str:
    """A rate with its 95 % interval."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def points(difference: float) -> str:
    """A difference of rates in percentage points, signed: +2.1."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}".replace("-", "−")  # never −0.0


def p_value(p: float) -> str:
    """p as it is quoted: p = 0.043, p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def seed(value: int | None) -> str:
    """A training seed, or none."""
    return "–" if value is None else str(value)


SAMPLED_COLUMNS = ("method", "seed", "n", "HR@1 [95 %]", "ValidRatio", "HR@1, valid only")
FULL_COLUMNS = (
    "method",
    "seed",
    "n",
    "HR@5",
    "HR@10 [95 %]",
    "NDCG@10 [95 %]",
    "MRR",
    "coverage",
    "mean popularity rank",
)


def sampled_cells(row: Row) -> Sequence[str]:
    """A row of the table among sampled candidates, one text per column of `SAMPLED_COLUMNS`."""
    s: Sampled = row.sampled
    return (
        row.header.method,
        seed(row.header.seed),
        str(row.n),
        interval(s.hr1, s.low, s.high),
        rate(s.valid_ratio),
        rate(s.hr1_valid_only),
    )


def full_cells(row: Row, full: Full) -> Sequence[str]:
    """A row of the table on the full catalogue, one text per column of `FULL_COLUMNS`."""
    return (
        row.header.method,
        seed(row.header.seed),
        str(row.n),
        rate(full.hr5),
        interval(full.hr10, full.hr10_low, full.hr10_high),
        interval(full.ndcg10, full.ndcg10_low, full.ndcg10_high),
        rate(full.mrr),
        "–" if full.coverage is None else f"{full.coverage:.1%}",
        "–" if full.popularity_rank is None else f"{full.popularity_rank:.0f}",
    )
