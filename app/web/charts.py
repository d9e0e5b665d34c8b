"""Bars, lists and numbers as small pieces of HTML. Titles are data: what comes from outside is escaped."""

from collections.abc import Mapping, Sequence
from html import escape

from app.palette import expert_colour, expert_letter
from app.web.portraits import Portrait
from core.catalog import Item
from core.recommendation import AdapterName, RankedItem

ADAPTER_NAMES: dict[AdapterName, str] = {"base": "Base", "lora": "LoRA", "ilora": "iLoRA"}


def percent(share: float) -> str:
    """A share as people read it: 41 %, 2.3 %, 0.04 %, < 0.01 %."""
    value = 100 * share
    if value == 0:
        return "0 %"
    if value < 0.01:
        return "< 0.01 %"
    digits = 0 if value >= 9.95 else 1 if value >= 0.95 else 2
    return f"{value:.{digits}f} %"


def milliseconds(value: float) -> str:
    """A duration as people read it: 0.3 ms, 12 ms, 1.2 s."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def bar(share: float, kind: str = "", style: str = "") -> str:
    """A horizontal bar filled to `share` of its width; the number beside it is what screen readers read."""
    width = 100 * min(max(share, 0.0), 1.0)
    return f'<span class="bar {kind}" aria-hidden="true"><i style="width:{width:.1f}%;{style}"></i></span>'


def letter(expert: int) -> str:
    """An expert's letter on its colour."""
    return f'<b class="letter expert-{expert % 8}">{expert_letter(expert)}</b>'


def mixture_style(gate: Sequence[float]) -> str:
    """The mixture as a fill: every expert's colour over as much of the bar as its weight."""
    stops, start = [], 0.0
    for expert, weight in enumerate(gate):
        end = start + 100 * weight
        stops.append(f"{expert_colour(expert).fill} {start:.1f}% {end:.1f}%")
        start = end
    return f"background:linear-gradient(90deg,{','.join(stops)})"


BARS = 6
"""Experts that are seen at once."""


def expert_bars(gate: Sequence[float], portraits: Sequence[Portrait]) -> str:
    """One bar per expert with its letter, its portrait in words and its weight.

    Of more than `BARS`, the heaviest so many are seen at once, the others on request: the list comes first.
    """
    rows = []
    for portrait, weight in zip(portraits, gate, strict=True):
        words = escape(portrait.words) or "no single taste"
        hint = (
            f"Gate weight of expert {expert_letter(portrait.expert)}, softmax over {len(portraits)} experts. "
            f"In words: what the {portrait.group} people who lean on it most have more of than the others"
            f"{_lifts(portrait)}. It is the largest weight of {portrait.leads} people; its mean is "
            f"{percent(portrait.share)}."
        )
        rows.append(
            f'<div class="expert expert-{portrait.expert % 8}" title="{escape(hint)}">'
            f'{letter(portrait.expert)}<span class="words">{words}</span>'
            f'{bar(weight)}<span class="number">{percent(weight)}</span></div>'
        )
    if len(rows) <= BARS + 1:
        return f'<div class="experts">{"".join(rows)}</div>'
    heaviest = set(sorted(range(len(rows)), key=lambda expert: -gate[expert])[:BARS])
    first = "".join(row for expert, row in enumerate(rows) if expert in heaviest)
    others = "".join(row for expert, row in enumerate(rows) if expert not in heaviest)
    rest = sum(weight for expert, weight in enumerate(gate) if expert not in heaviest)
    told = f"The other {len(rows) - BARS} experts together {percent(rest)}"
    return (
        f'<div class="experts">{first}<details class="fine"><summary>{told}</summary>'
        f'<div class="experts">{others}</div></details></div>'
    )


def _lifts(portrait: Portrait) -> str:
    told = ", ".join(f"{trait.name} {trait.lift:.1f} times as much" for trait in portrait.traits)
    return f" ({told})" if told else ""


def ranked_list(
    items: Sequence[RankedItem],
    catalog: Sequence[Item],
    fill: str,
    star: int | None = None,
    ranks_before: Mapping[int, int] | None = None,
    old: str = "",
) -> str:
    """The list a person gets: rank, title, genres, probability, and a button to add the title to the history.

    Bars are drawn relative to the most probable item; the numbers are the probabilities themselves. With
    `ranks_before` every title shows how far it moved from its rank `old` ("with the visitor's own mixture").
    """
    longest = max((item.probability for item in items), default=0.0) or 1.0
    rows = [
        f'<li data-item="{item.index}"><span class="rank">{item.rank}</span>'
        f'<span class="name"><span class="title">{escape(item.title)}{_star(item.index == star)}'
        f"{_moved(item, ranks_before, old)}</span>"
        f"<small>{escape(' · '.join(catalog[item.index].genres))}</small></span>"
        f"{bar(item.probability / longest, 'mixture', fill)}"
        f'<span class="number">{percent(item.probability)}</span>'
        f"{act('add', item.index, '+', f'Add {item.title} to the history')}</li>"
        for item in items
    ]
    return f'<ol class="ranked">{"".join(rows)}</ol>'


def _moved(item: RankedItem, ranks_before: Mapping[int, int] | None, old: str) -> str:
    if ranks_before is None:
        return ""
    was = ranks_before[item.index]
    return f" {move(item.rank, was, old)}" + (
        f' <small class="was">was {was}</small>' if was != item.rank else ""
    )


def _star(shown: bool) -> str:
    return ' <span class="star" title="What really came next">★</span>' if shown else ""


def compared_list(
    adapter: AdapterName,
    items: Sequence[RankedItem],
    fill: str,
    star: int | None,
    ranks_before: Mapping[int, int] | None = None,
) -> str:
    """One adapter's order of the candidates; with `ranks_before` every line shows how far it moved."""
    longest = max((item.probability for item in items), default=0.0) or 1.0
    rows = []
    for item in items:
        moved = move(item.rank, ranks_before[item.index]) if ranks_before else ""
        rows.append(
            f'<li data-item="{item.index}" class="{"target" if item.index == star else ""}">'
            f'<span class="rank">{item.rank}</span>'
            f'<span class="title" title="{escape(item.title)}">{escape(item.title)}</span>'
            f"{_star(item.index == star)}"
            f"{moved}{bar(item.probability / longest, adapter, fill)}"
            f'<span class="number">{percent(item.probability)}</span></li>'
        )
    return f'<ol class="ranked compared">{"".join(rows)}</ol>'


def move(rank: int, before: int, old: str = "with LoRA") -> str:
    """How far a title moved, with its old rank in words for those who point or listen."""
    steps = before - rank
    if steps == 0:
        return f'<span class="move" title="same rank {old}">=</span>'
    sign, kind = ("▲", "up") if steps > 0 else ("▼", "down")
    said = f'<span class="heard"> from rank {before} {old}</span>'
    return f'<span class="move {kind}" title="rank {before} {old}">{sign}{abs(steps)}{said}</span>'


def act(name: str, value: object, face: str, label: str, key: str = "", off: bool = False) -> str:
    """A button that tells the server `name` and `value` (see acts.js); `key` keeps focus over a redraw."""
    focus = f' data-key="{escape(key)}"' if key else ""
    return (
        f'<button type="button" class="act" data-act="{escape(name)}" '
        f'data-value="{escape(str(value))}"{focus} aria-label="{escape(label)}" title="{escape(label)}"'
        f"{' disabled' if off else ''}>{escape(face)}</button>"
    )
