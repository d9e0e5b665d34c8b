"""Who is right: the evaluation's question asked of held-out people before the visitor's eyes, one by one.

A look, not a test: the sample is small and somebody watches it grow. The evaluation is in `app.web.measured`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from app.web.charts import ADAPTER_NAMES, percent
from app.web.measured import interval_picture
from app.web.service import Service
from core.evaluation.comparison import PairedComparison, compare_paired
from core.evaluation.intervals import rate
from core.recommendation import AdapterName

CHUNK = {"ilora": 4, "lora": 4, "base": 1}
"""People asked in one turn of the model; base reads 20 titles for each. Nobody waits longer than a turn."""
MOST = 200
"""People asked after one press: minutes, not the afternoon of somebody who forgot an open page."""
SEED = 7
SAMPLES = 2_000
"""Of the bootstrap; enough for one decimal of a picture that is drawn anew every few people."""
FEW = 10
PATIENCE = 30.0
"""Seconds to wait for a moment in which nobody else asks."""


@dataclass(frozen=True)
class Tally:
    """How often each adapter was right so far.

    Attributes:
        seed: of the order in which people are asked.
        hits: by adapter, for the first people of that order; all of the same length between two chunks.
    """

    seed: int = SEED
    hits: dict[AdapterName, tuple[bool, ...]] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        """People whom every adapter was asked about."""
        return min(map(len, self.hits.values()), default=0)

    @cached_property
    def compared(self) -> PairedComparison | None:
        """iLoRA against LoRA on the people so far."""
        if not self.asked or not {"lora", "ilora"} <= set(self.hits):
            return None
        lora, ilora = self.hits["lora"], self.hits["ilora"]
        return compare_paired(lora, ilora, self.seed, "LoRA", "iLoRA", SAMPLES)


def order(service: Service, seed: int) -> list[int]:
    """All held-out people in the order of a seed."""
    return [int(case) for case in np.random.default_rng(seed).permutation(len(service.cases))]


def asking(service: Service, tally: Tally, adapters: tuple[AdapterName, ...]) -> Iterator[Tally]:
    """Ask on: yields after every chunk of people. Leaves the model to everybody else between two turns.

    Raises:
        Busy: the line is full.
    """
    if set(tally.hits) != set(adapters):
        tally = Tally(tally.seed, dict.fromkeys(adapters, ()))
    people = order(service, tally.seed)
    last = min(tally.asked + MOST, len(people))
    step = min(CHUNK[name] for name in adapters)  # with base one by one: each takes a second or more
    while tally.asked < last:
        chunk = people[tally.asked : min(tally.asked + step, last)]
        answers = {name: _right(service, name, chunk) for name in adapters}
        tally = replace(tally, hits={name: (*tally.hits[name], *answers[name]) for name in adapters})
        yield tally


def _right(service: Service, adapter: AdapterName, people: list[int]) -> list[bool]:
    right: list[bool] = []
    for start in range(0, len(people), CHUNK[adapter]):
        service.turnstile.stand_back(PATIENCE)  # the least urgent of all: whoever waits goes first
        right += service.right(people[start : start + CHUNK[adapter]], adapter)
    return right


def picture(service: Service, tally: Tally, state: str = "") -> str:
    """The rates with their running intervals, and what the pairs say."""
    if not tally.asked:
        return (
            f'<div class="tally"><p class="lead">Ask the same people yourself: {len(service.cases):,} had '
            f"their next {service.domain.one} kept away. See how often each method puts it "
            "first among 20, and how slowly one gets sure."
            f'</p><p class="fine" role="status">{state}</p></div>'
        )
    order_of_rows: tuple[AdapterName, ...] = ("base", "lora", "ilora")
    rows = "".join(_row(name, tally.hits[name]) for name in order_of_rows if name in tally.hits)
    return (
        f'<div class="tally" data-asked="{tally.asked}"><p class="lead">{sentence(tally)}</p>'
        '<div class="measured"><div class="scroll" tabindex="0" role="region" aria-label="Who is right, '
        'so far">'
        '<table><thead><tr><th scope="col">Method</th>'
        f'<th scope="col">Next {service.domain.one} put first, among 20</th>'
        '<th scope="col">95 % interval</th><th '
        f'scope="col">People</th></tr></thead><tbody>{rows}</tbody></table>'
        f'</div></div><p class="fine">Drawn in an order of their own (seed {tally.seed}), lists made as '
        "everywhere on "
        "this page. Wilson’s interval per method; the difference is paired, person by person (bootstrap, "
        "exact McNemar test). Looking on while it grows and stopping at will makes every p look better than "
        "it is: quote the "
        f'evaluation below, not this.</p><p class="fine" role="status">{state}</p></div>'
    )


def sentence(tally: Tally) -> str:
    """What the people so far say about iLoRA and LoRA."""
    compared = tally.compared
    if compared is None:
        return f"{tally.asked} people asked so far."
    only_a, only_b = compared.mcnemar.only_a, compared.mcnemar.only_b
    told = f"Of {tally.asked} people iLoRA alone was right for {only_b}, LoRA alone for {only_a}: "
    difference = compared.difference
    told += (
        f"difference {100 * difference.mean:+.1f} points [{100 * difference.low:+.1f}, "
        f"{100 * difference.high:+.1f}]"
    ).replace("-", "−")
    if tally.asked < FEW:
        return f"{told}. Far too few to say anything."
    if compared.winner is None:
        return f"{told}, no difference that this many people can show."
    return f"{told}, in favour of {compared.winner} so far."


def _row(name: AdapterName, hits: tuple[bool, ...]) -> str:
    told = rate(hits)
    return (
        f'<tr><th scope="row">{ADAPTER_NAMES[name]}</th><td class="wide">'
        f"{interval_picture(told.mean, told.low, told.high, 1.0, name, 1 / 20)}"
        f'<b class="number">{percent(told.mean)}</b></td>'
        f'<td class="number">{100 * told.low:.0f} to {100 * told.high:.0f} %</td>'
        f'<td class="number">{sum(hits)} of {told.n}</td></tr>'
    )
