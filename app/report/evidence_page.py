"""The page of docs/evidence: the verdicts first, then every row, then how it was made."""

from collections.abc import Sequence

from markdown_it import MarkdownIt

from app.report.markdown import lines, markdown_table
from app.report.words import interval, p_value, points
from core.evaluation.comparison import PairedComparison
from core.evaluation.intervals import Difference
from core.evaluation.summary import Row
from core.evaluation.table import table_row
from core.studies.above import Above
from core.studies.finding import Finding
from core.studies.grid import Budget
from core.studies.judging import Judged, Judgement

_GATES = {"static": "static gate", "random": "random gate", "shuffled": "shuffled gate"}


def evidence_page(
    rows: Sequence[Row],
    judgements: Sequence[Judgement],
    beside: Sequence[Above],
    findings: Sequence[Finding],
    command: str,
    budget: Budget,
    remarks: str = "",
) -> str:
    """Markdown of everything that was measured.

    Args:
        beside: rows with a language model against rows without one.
        findings: of studies; their plots lie in `studies/`.
        command: that makes it anew.
        budget: that every run had.
        remarks: what people make of it, as Markdown; stands behind the first verdicts.
    """
    told = [_verdicts(judgement) for judgement in judgements if judgement.datasets]
    return "\n\n".join(
        [
            _HEAD.format(command=command, budget=budget, others=_other_modes(rows, budget)),
            *told[:1],
            *([_above(beside)] if beside else []),
            *([remarks.strip()] if remarks else []),
            *told[1:],
            *([_STUDIES, *map(_finding, findings)] if findings else []),
            _ROWS,
            markdown_table(list(map(table_row, rows))),
        ]
    )


def _other_modes(rows: Sequence[Row], budget: Budget) -> str:
    """How long runs of other modes were trained, where there are any."""
    told = {
        "(branch)": f", a second stage {budget.branch} more of 16",
        "(generate)": f", generate mode {budget.generate} of 16, about the time of a catalogue run",
    }
    return "".join(words for mode, words in told.items() if any(mode in row.header.method for row in rows))


def evidence_html(page: str) -> str:
    """The page as HTML; loads nothing but the plots beside it."""
    body = MarkdownIt("commonmark").enable("table").render(page)
    head = f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Evidence</title>\n{_LOOK}"
    return f"{head}\n{body}</html>\n"


def _finding(finding: Finding) -> str:
    return (
        f"### {finding.name}\n\n*{finding.question}*\n\n{finding.sentence}\n\n"
        f"![{finding.question}](studies/{finding.name}.svg)"
    )


def _above(beside: Sequence[Above]) -> str:
    head = ("row", "against", "data set", "n", "seeds", "HR@1", "difference", "p (Holm)", "NDCG@10", "shown?")
    cells = [
        (
            one.label,
            one.base,
            one.dataset,
            str(one.hits.n),
            ", ".join(map(str, one.seeds)),
            interval(one.hits.rate_b.mean, one.hits.rate_b.low, one.hits.rate_b.high),
            _points(one.hits.difference),
            p_value(one.hits.p),
            "–" if one.full is None else _thousandths(one.full),
            "yes" if one.shown else "no",
        )
        for one in beside
    ]
    return f"{_ABOVE}\n\n{lines(head, cells)}"


def _thousandths(d: Difference) -> str:
    told = f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
    return told.replace("-", "−")


def _verdicts(judgement: Judgement) -> str:
    head = (
        "data set",
        "n",
        "seeds",
        "LoRA",
        "iLoRA",
        "iLoRA − LoRA",
        "seed by seed",
        "over users and seeds",
        *(f"iLoRA − {name}" for name in _GATES.values()),
        "better?",
    )
    cells = [_cells(one) for one in judgement.datasets]
    mean = judgement.mean_relative
    relative = (
        "" if mean is None else f" Mean relative gain over LoRA: {100 * mean:+.1f} %.".replace("-", "−")
    )
    reasons = "\n".join(f"- {one.dataset}: {_sentence(one)}" for one in judgement.datasets)
    return (
        f"## {judgement.split}, HR@1 among {judgement.kind} candidates\n\n"
        f"{_better(judgement)}{relative}\n\n{lines(head, cells)}\n\n{reasons}"
    )


def _better(judgement: Judgement) -> str:
    names = [one.dataset for one in judgement.datasets if one.ruling.better]
    total = len(judgement.datasets)
    if not names:
        where = "the one data set" if total == 1 else f"any of {total} data sets"
        return f"**iLoRA does not count as better than LoRA on {where}.**"
    return f"**iLoRA counts as better than LoRA on {len(names)} of {total} data sets: {', '.join(names)}.**"


def _cells(one: Judged) -> Sequence[str]:
    main = one.against["lora"]
    return (
        one.dataset,
        str(main.n),
        ", ".join(map(str, one.seeds)),
        interval(main.rate_a.mean, main.rate_a.low, main.rate_a.high),
        interval(main.rate_b.mean, main.rate_b.low, main.rate_b.high),
        _points(main.difference),
        ", ".join(points(difference) for difference in one.by_seed.values()),
        "–" if one.beyond_seeds is None else _points(one.beyond_seeds),
        *(_difference(one.against.get(name)) for name in _GATES),
        "yes" if one.ruling.better else "no",
    )


def _difference(comparison: PairedComparison | None) -> str:
    if comparison is None:
        return "–"
    return _points(comparison.difference)


def _points(d: Difference) -> str:
    return f"{points(d.mean)} [{points(d.low)}, {points(d.high)}]"


def _sentence(one: Judged) -> str:
    main, wide = one.against["lora"], one.beyond_seeds
    seeds = ""
    if main.winner is not None and wide is not None and wide.low <= 0 <= wide.high:
        seeds = (
            f" That is of these {len(one.seeds)} training seeds: over users and seeds the interval is "
            f"[{points(wide.low)}, {points(wide.high)}], and another seed may say otherwise."
        )
    noted = f" ({'; '.join(one.notes)}.)" if one.notes else ""
    return f"{main.verdict_sentence}{seeds} {one.ruling.reason}{noted}"


_HEAD = """# What was measured

Written by `{command}`; goes on where it was, and a finished part is not done again. `table.json` holds the
same rows for machines, `verdict.json` the verdicts. Both are computed from `ranks/`, which holds every user's
ranks by case number, one Parquet file per data set and split; ids of users and items stay out, as the data
sets' terms demand.

How to read it: differences are in points of HR@1 with a 95 % interval over users; p is McNemar's (exact),
and corrected by Holm over the data sets of a table. With several training seeds each person's hits are
averaged over them; a second interval is over users and seeds. Differences to the gates are of the seeds
that both were trained with, which may be fewer than those of the rates beside them. iLoRA counts as better
only if it beats LoRA *and* the static *and* the shuffled gate: otherwise the gain may be noise or capacity.
`loo` decides; `paper` is the published split, small, and comparable with the papers. Every LM row of a data
set and split was trained equally long: {budget.catalogue} optimizer steps of 32 rows in catalogue mode
({budget.paper} on the published splits){others}. That is a small budget, far from the end of learning: it
compares methods, and says little about how good any of them can become. Minutes are wall time on one core
of a machine shared with other work. Rows that read titles word by word were asked about a seeded sample of
the users where n says so. Intervals of rates are Wilson's, 95 %."""

_ABOVE = """## loo, with a language model and without

Differences in HR@1 among 20 uniform candidates, in points, and in NDCG@10 on the full catalogue, with 95 %
intervals over users, training seeds averaged per user; p is McNemar's, by Holm over the data sets of a pair.
*Shown* is an advantage in both. SASRec and the stack (SASRec, EASE, item-kNN and popularity; weights by
likelihood on validation users) know no language model: the last rows are what one adds to the stack."""

_STUDIES = """## Studies

Each by one command, `ilora study NAME`, which writes its numbers and its plot into `studies/`."""

_LOOK = (
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto}"
    "td,th{border-bottom:1px solid #ddd;padding:.2rem .6rem;text-align:left}img{max-width:100%}</style>"
)

_ROWS = """## All rows

Sampled and full ranking answer different questions and are never in one table."""
