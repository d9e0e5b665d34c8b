"""The one sentence above each picture: plain words, computed from what is shown."""

from collections.abc import Mapping, Sequence
from html import escape

from app.palette import expert_letter
from app.web.charts import ADAPTER_NAMES, percent
from app.web.portraits import Portrait, join_words
from core.domain import Domain
from core.recommendation import AdapterName, RankedItem, Recommendation

CLEARLY = 0.05
"""A weight this far above an equal share is called leaning; less is called even."""


def leaning(done: Recommendation, portraits: Sequence[Portrait], whose: str, domain: Domain) -> str:
    """Which expert a history leans on, and who else does."""
    if done.stage == "popular":
        return f"With nothing to go by, these are the {domain.most_done} {domain.many}."
    if not done.gate:
        return f"{ADAPTER_NAMES[done.adapter]} treats everybody alike: it has no experts to lean on."
    strongest = max(range(len(done.gate)), key=done.gate.__getitem__)
    weight = done.gate[strongest]
    if weight < 1 / len(done.gate) + CLEARLY:
        return f"{whose} draws on all {len(done.gate)} experts about equally."
    words = escape(portraits[strongest].words)
    reason = (
        f"the one that people with more {words} in their histories lean on most"
        if words
        else "which no single taste explains"
    )
    return f"{whose} leans on expert {expert_letter(strongest)} ({percent(weight)}), {reason}."


def what_came_next(title: str, ranks: dict[AdapterName, int], among: int, domain: Domain) -> str:
    """Where each adapter puts what a held-out person really went on to."""
    order: tuple[AdapterName, ...] = ("ilora", "lora", "base")
    places = [f"{ADAPTER_NAMES[name]} ranks it {_ordinal(ranks[name])}" for name in order if name in ranks]
    told = f"What was really {domain.done} next: ★ {escape(title)}."
    return f"{told} Of {among} {domain.many}, {join_words(places)}."


def _ordinal(rank: int) -> str:
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"


def largest_move(lists: dict[AdapterName, Sequence[RankedItem]], domain: Domain) -> str:
    """How far apart iLoRA's and LoRA's orders are."""
    if not {"lora", "ilora"} <= set(lists):
        return "This bundle was made of one method, so there is no other list to hold it against."
    before = {item.index: item.rank for item in lists["lora"]}
    moves = [(before[item.index] - item.rank, item) for item in lists["ilora"]]
    moved = sum(steps != 0 for steps, _ in moves)
    if not moved:
        return "The experts change nothing here: iLoRA and LoRA give the same order."
    steps, item = max(moves, key=lambda move: abs(move[0]))
    direction = "up" if steps > 0 else "down"
    return (
        f"The experts move {moved} of {len(moves)} {domain.many} against LoRA; the farthest, "
        f"{escape(item.title)}, goes {direction} from {before[item.index]} to {item.rank}."
    )


def none_to_mix(some: bool) -> str:
    """Why the mixing board has nothing to mix."""
    return (
        "This list is made without experts."
        if some
        else "With no history there is nothing to mix experts for."
    )


def mixed(done: Recommendation, before: Mapping[int, int], own: bool, domain: Domain) -> str:
    """What setting the mixture by hand does to the list."""
    first = done.items[0]
    strongest = max(range(len(done.gate)), key=done.gate.__getitem__)
    if own:
        return (
            f"This is the mixture that the history asks for, most of it expert {expert_letter(strongest)} "
            f"({percent(done.gate[strongest])}). Move a slider to see what the others would say."
        )
    moved = sum(before[item.index] != item.rank for item in done.items)
    fresh = sum(before[item.index] > len(done.items) for item in done.items)
    if not moved:
        return f"With this mixture the first {len(done.items)} stay as they were."
    was = before[first.index]
    lead = "stays first" if was == 1 else f"comes first, from rank {was:,}"
    return (
        f"With this mixture {moved} of {len(done.items)} places change, {fresh or 'no'} "
        f"{domain.one if fresh == 1 else domain.many} new: {escape(first.title)} {lead}."
    )
