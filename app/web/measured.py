"""The evaluation of the bundle: rates with their intervals, and a sentence that claims no more."""

from collections.abc import Sequence
from html import escape

from app.web.charts import percent
from exports.bundle_info import MetricRow

SPLITS = {
    "loo": "Every person’s last title held out",
    "paper": "The published split",
}
NAMES = {"ilora": "iLoRA", "lora": "LoRA", "base": "Base", "popularity": "Popularity", "sasrec": "SASRec"}
HR1 = "HR@1: share of all people whose next title is ranked first"
BLEND = "SASRec"
NDCG = "Normalised discounted cumulative gain at 10, over the whole catalogue"


def evaluation(rows: Sequence[MetricRow]) -> str:
    """One picture per split, those that decide first. Nothing is shown that was not measured."""
    if not rows:
        return '<p class="fine">This bundle carries no evaluation; nothing is claimed about it.</p>'
    names = list(dict.fromkeys(row.split for row in rows))
    ordered = sorted(names, key=lambda name: list(SPLITS).index(name) if name in SPLITS else len(SPLITS))
    return "".join(_picture(name, [row for row in rows if row.split == name]) for name in ordered)


def verdict(rows: Sequence[MetricRow], blend: str = "") -> str:
    """iLoRA against LoRA on the rows of one split, in one sentence. Empty when one of them is missing.

    `blend` is what both are mixed with ("SASRec" for the rows "iLoRA + SASRec" and "LoRA + SASRec").
    Overlapping intervals are taken as no difference: stricter than a paired test, and never too generous.
    """
    by_method = {row.method.casefold(): row for row in rows}
    with_blend = f" + {blend.casefold()}" if blend else ""
    ours, other = by_method.get(f"ilora{with_blend}"), by_method.get(f"lora{with_blend}")
    if ours is None or other is None:
        return ""
    numbers = f"iLoRA {_interval(ours)}, LoRA {_interval(other)}"
    if max(ours.hr1_low, other.hr1_low) <= min(ours.hr1_high, other.hr1_high):
        return f"{numbers}: no difference that this many people ({ours.n:,}) can show."
    better, worse = ("iLoRA", "LoRA") if ours.hr1 > other.hr1 else ("LoRA", "iLoRA")
    return f"{numbers}: {better} is right more often than {worse}, over {ours.n:,} people."


def _interval(row: MetricRow) -> str:
    return f"{percent(row.hr1)} [{100 * row.hr1_low:.0f}, {100 * row.hr1_high:.0f}]"


def _picture(split: str, rows: Sequence[MetricRow]) -> str:
    most = max(row.hr1_high for row in rows)
    with_ndcg = any(row.ndcg10 is not None for row in rows)
    lines = "".join(_line(row, most, with_ndcg) for row in rows)
    ndcg = _head("NDCG@10, all titles", NDCG) if with_ndcg else ""
    first = _head(f"Right at first place, among {rows[0].candidates}", HR1)
    head = f"<tr>{_head('Method')}{first}{_head('95 % interval')}{_head('People')}{ndcg}</tr>"
    said = verdict(rows)
    mixed = verdict(rows, BLEND)
    if mixed:
        said += f" As lists are made here, with {BLEND}’s own scores mixed in: {mixed}"
    sentence = f'<p class="lead">{said}</p>' if said else ""
    title = f"{escape(SPLITS.get(split, split))} <small>split “{escape(split)}”</small>"
    table = f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>"
    return f'<section class="measured"><h3>{title}</h3>{sentence}<div class="scroll">{table}</div></section>'


def _head(text: str, hint: str = "") -> str:
    return f'<th scope="col" title="{escape(hint)}">{escape(text)}</th>'


def _line(row: MetricRow, most: float, with_ndcg: bool) -> str:
    scale = 100 / most
    left, width = row.hr1_low * scale, (row.hr1_high - row.hr1_low) * scale
    kind = row.method.casefold().partition(" + ")[0]
    chance = 100 * scale / row.candidates
    picture = (
        f'<span class="interval {kind if kind in NAMES else ""}" aria-hidden="true">'
        f'<i class="chance" style="left:{chance:.1f}%" title="chance"></i>'
        f'<i class="range" style="left:{left:.1f}%;width:{width:.1f}%"></i>'
        f'<i class="point" style="left:{row.hr1 * scale:.1f}%"></i></span>'
    )
    ndcg = f'<td class="number">{"" if row.ndcg10 is None else f"{row.ndcg10:.3f}"}</td>' if with_ndcg else ""
    note = f"<small>{escape(row.note)}</small>" if row.note else ""
    return (
        f'<tr><th scope="row">{escape(NAMES.get(row.method.casefold(), row.method))}{note}</th>'
        f'<td class="wide">{picture}<b class="number">{percent(row.hr1)}</b></td>'
        f'<td class="number">{100 * row.hr1_low:.1f} to {100 * row.hr1_high:.1f} %</td>'
        f'<td class="number">{row.n:,}</td>{ndcg}</tr>'
    )
