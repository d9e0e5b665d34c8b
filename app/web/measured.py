"""The evaluation of the bundle: rates with their intervals, and a sentence that claims no more."""

from collections.abc import Sequence
from html import escape

from app.report.words import p_value, points
from app.web.charts import percent
from core.domain import Domain
from exports.bundle_info import MetricRow, Metrics, PairedRow

SPLITS = {"loo": "Every person’s last {one} held out", "paper": "The published split"}
NAMES = {"ilora": "iLoRA", "lora": "LoRA", "base": "Base", "popularity": "Popularity", "sasrec": "SASRec"}
HR1 = "HR@1: share of all people whose next {one} is ranked first"
BLENDS = {"Stack": "what the crowd’s habits say", "SASRec": "SASRec’s own scores"}
"""What lists may have mixed in, the better one first; in words."""
NDCG = "Normalised discounted cumulative gain at 10, over the whole catalogue"


def evaluation(metrics: Metrics, domain: Domain) -> str:
    """One picture per split, those that decide first. Nothing is shown that was not measured."""
    rows = metrics.rows
    if not rows:
        return '<p class="fine">This bundle carries no evaluation; nothing is claimed about it.</p>'
    names = list(dict.fromkeys(row.split for row in rows))
    ordered = sorted(names, key=lambda name: list(SPLITS).index(name) if name in SPLITS else len(SPLITS))
    return "".join(
        _picture(
            name,
            domain,
            [row for row in rows if row.split == name],
            [pair for pair in metrics.pairs if pair.split == name],
        )
        for name in ordered
    )


def verdict(rows: Sequence[MetricRow], blend: str = "", pairs: Sequence[PairedRow] = ()) -> str:
    """iLoRA against LoRA on the rows of one split, in one sentence. Empty when one of them is missing.

    `blend` is what both are mixed with ("SASRec" for the rows "iLoRA + SASRec" and "LoRA + SASRec"). Where
    the bundle holds the paired comparison, it decides; else overlapping intervals are taken as no difference:
    stricter than a paired test, and never too generous.
    """
    by_method = {row.method.casefold(): row for row in rows}
    with_blend = f" + {blend.casefold()}" if blend else ""
    ours, other = by_method.get(f"ilora{with_blend}"), by_method.get(f"lora{with_blend}")
    if ours is None or other is None:
        return ""
    numbers = f"iLoRA {_interval(ours)}, LoRA {_interval(other)}"
    named = {ours.method.casefold(), other.method.casefold()}
    pair = next((pair for pair in pairs if {pair.a.casefold(), pair.b.casefold()} == named), None)
    if pair is not None:
        return f"{numbers}: {_paired(pair)}"
    if max(ours.hr1_low, other.hr1_low) <= min(ours.hr1_high, other.hr1_high):
        return f"{numbers}: no difference that this many people ({ours.n:,}) can show."
    better, worse = ("iLoRA", "LoRA") if ours.hr1 > other.hr1 else ("LoRA", "iLoRA")
    return f"{numbers}: {better} is right more often than {worse}, over {ours.n:,} people."


def _paired(pair: PairedRow) -> str:
    told = (
        f"difference {points(pair.difference)} points [{points(pair.low)}, {points(pair.high)}], "
        f"{p_value(pair.p)}, over {pair.n:,} people"
    )
    if pair.winner is None:
        return (
            f"{told}: no difference that this many people can show (the smallest would be "
            f"{100 * pair.detectable:.1f} points)."
        )
    return f"{told}: {pair.winner} is right more often."


def _interval(row: MetricRow) -> str:
    return f"{percent(row.hr1)} [{100 * row.hr1_low:.0f}, {100 * row.hr1_high:.0f}]"


def _picture(split: str, domain: Domain, rows: Sequence[MetricRow], pairs: Sequence[PairedRow]) -> str:
    most = max(row.hr1_high for row in rows)
    with_ndcg = any(row.ndcg10 is not None for row in rows)
    lines = "".join(_line(row, most, with_ndcg) for row in rows)
    ndcg = _head(f"NDCG@10, all {domain.many}", NDCG) if with_ndcg else ""
    first = _head(f"Right at first place, among {rows[0].candidates}", HR1.replace("{one}", domain.one))
    head = f"<tr>{_head('Method')}{first}{_head('95 % interval')}{_head('People')}{ndcg}</tr>"
    said = verdict(rows, pairs=pairs)
    for blend, words in BLENDS.items():
        if mixed := verdict(rows, blend, pairs):
            said += f" As lists are made here, with {words} mixed in: {mixed}"
            break
    sentence = f'<p class="lead">{said}</p>' if said else ""
    title_text = escape(SPLITS.get(split, split).replace("{one}", domain.one))
    title = f"{title_text} <small>split “{escape(split)}”</small>"
    table = f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>"
    scroll = f'<div class="scroll" tabindex="0" role="region" aria-label="{title_text}">{table}</div>'
    return f'<section class="measured"><h3>{title}</h3>{sentence}{scroll}</section>'


def _head(text: str, hint: str = "") -> str:
    return f'<th scope="col" title="{escape(hint)}">{escape(text)}</th>'


def interval_picture(
    value: float, low: float, high: float, most: float, kind: str = "", chance: float | None = None
) -> str:
    """A point in its interval on a line from 0 to `most`; whoever listens finds the numbers beside it."""
    scale = 100 / most
    guess = (
        "" if chance is None else f'<i class="chance" style="left:{chance * scale:.1f}%" title="chance"></i>'
    )
    return (
        f'<span class="interval {kind}" aria-hidden="true">{guess}'
        f'<i class="range" style="left:{low * scale:.1f}%;width:{(high - low) * scale:.1f}%"></i>'
        f'<i class="point" style="left:{value * scale:.1f}%"></i></span>'
    )


def _line(row: MetricRow, most: float, with_ndcg: bool) -> str:
    kind = row.method.casefold().partition(" + ")[0]
    kind = kind if kind in NAMES else ""
    picture = interval_picture(row.hr1, row.hr1_low, row.hr1_high, most, kind, 1 / row.candidates)
    ndcg = f'<td class="number">{"" if row.ndcg10 is None else f"{row.ndcg10:.3f}"}</td>' if with_ndcg else ""
    note = f"<small>{escape(row.note)}</small>" if row.note else ""
    return (
        f'<tr><th scope="row">{escape(NAMES.get(row.method.casefold(), row.method))}{note}</th>'
        f'<td class="wide">{picture}<b class="number">{percent(row.hr1)}</b></td>'
        f'<td class="number">{100 * row.hr1_low:.1f} to {100 * row.hr1_high:.1f} %</td>'
        f'<td class="number">{row.n:,}</td>{ndcg}</tr>'
    )
