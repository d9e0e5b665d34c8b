"""What the page and the HTTP interface ask: one recommender, one line, and what is known of the experts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.metrics import Meter
from app.web.atlas import COMMON, Atlas, draw_atlas
from app.web.portraits import (
    Portrait,
    choose_visitors,
    fill_visitors,
    portraits,
    trait_shares,
    traits_of,
)
from app.web.turnstile import Turnstile
from core.assets import Progress
from core.catalog import Catalog, Item
from core.data.candidates import draw_candidates
from core.data.dataset import Case, Dataset
from core.data.registry import load_dataset, name_of
from core.domain import Domain
from core.errors import UnknownItem
from core.evaluation.asking import targets_of
from core.evaluation.metrics import ranks_among
from core.explanation import Explanation
from core.new_items import NewItem
from core.recommendation import AdapterName, Comparison, Recommendation
from core.recommender import RETRIEVED, Recommender
from core.request import Entry, read_items
from core.routing import HISTORY_AT_TEST, Indices
from core.titles import fold
from exports.bundle import BundleInfo, load_bundle
from exports.bundle_check import read_info
from quant.precision import Weights
from quant.shared import Backbones

SPLIT = "loo"
EXAMPLES = 5
LINE = 16
"""How many may wait for the model; at half a second for a list, the last of them waits some ten seconds."""


RUNS = Path("runs")
PATIENCE = 600.0
"""Seconds that long work waits for a moment in which nobody else asks."""


@dataclass(frozen=True)
class Visitor:
    """A real person to start from; what came next in that history was held out.

    Attributes:
        case: position in `Service.cases`.
        user: the data set's own number of that person.
        words: what stands out in the history, computed.
    """

    case: int
    user: str
    words: str


@dataclass(frozen=True)
class Found:
    """Titles for a half-typed query; `literal` if the first of them contains every typed word."""

    items: tuple[Item, ...]
    literal: bool


@dataclass(frozen=True)
class Pasted:
    """A pasted list, read: dense indices, and what was not found with its closest titles."""

    known: tuple[int, ...]
    unknown: tuple[UnknownItem, ...]


class Service:
    """Everything behind the page; shared by all visitors, keeps nothing about any of them.

    Args:
        recommender: answers one at a time.
        dataset: gives the people whose last title was held out; they are only shown and described.
        info: of the bundle, for the measured numbers.
        say: told one sentence before each slow step.
        runs: folder of training runs to show.
        turnstile, meter: those of the other services of one server; its own where there are none.
    """

    def __init__(
        self,
        recommender: Recommender,
        dataset: Dataset,
        info: BundleInfo,
        say: Callable[[str], None],
        runs: Path = RUNS,
        turnstile: Turnstile | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.runs = runs
        self.recommender, self.dataset, self.info = recommender, dataset, info
        self.catalog: Catalog = recommender.catalog
        self.turnstile = turnstile or Turnstile(LINE)
        self.meter = meter or Meter(lambda: self.turnstile.waiting)
        self.cases: tuple[Case, ...] = tuple(
            Case(case.user, case.history[-HISTORY_AT_TEST:], case.target)
            for case in dataset.split(SPLIT).test
        )
        say(f"Describing the experts by {len(self.cases)} people’s histories.")
        histories = [case.history for case in self.cases]
        names, shares = trait_shares(self.catalog, histories, self.domain.many)
        plain = not any(traits_of(item) for item in self.catalog.items)
        self.tastes = self.domain.many if plain else "genres"
        routing = recommender.router.route(histories)
        self.portraits: tuple[Portrait, ...] = portraits(routing.gate, names, shares)
        common = 0.0 if plain else COMMON
        self.atlas: Atlas = draw_atlas(routing.sequence, routing.gate, names, shares, common=common)
        lasts = [self.catalog[history[-1]] for history in histories]
        chosen = choose_visitors(names, shares, EXAMPLES)
        chosen = fill_visitors(chosen, lasts, self.catalog.popularity, self.domain.done, EXAMPLES)
        self.visitors: tuple[Visitor, ...] = tuple(
            Visitor(row, dataset.users[self.cases[row].user], words) for row, words in chosen
        )

    @property
    def domain(self) -> Domain:
        """How the items are spoken of."""
        return self.dataset.domain

    @cached_property
    def examples(self) -> tuple[str, ...]:
        """What the two most popular items are called."""
        counts = self.catalog.popularity
        return tuple(self.catalog[i].name for i in sorted(range(len(counts)), key=lambda i: -counts[i])[:2])

    @cached_property
    def _cases_by_user(self) -> dict[str, int]:
        return {self.user_of(number): number for number in range(len(self.cases))}

    @property
    def people(self) -> tuple[str, ...]:
        """Numbers of the held-out people, as the data set gives them."""
        return tuple(self._cases_by_user)

    def user_of(self, case: int) -> str:
        """The data set's number of a held-out person."""
        return self.dataset.users[self.cases[case].user]

    def case_of(self, user: str) -> int | None:
        """Position in `cases` of the held-out person with this number."""
        return self._cases_by_user.get(user)

    def can_rerank(self, adapter: AdapterName) -> bool:
        """Whether validation users found that reading the titles of the best 20 makes a better order."""
        return adapter in self.recommender.choices and self.recommender.choices[adapter].rerank

    def search(self, query: str, limit: int = 30) -> Found:
        """Titles for a half-typed query, at most `limit`."""
        items = tuple(self.catalog.search(query[:200], limit))
        words = fold(query).split()
        return Found(items, bool(items) and all(word in fold(items[0].title) for word in words))

    def read_list(self, text: str) -> Pasted:
        """One title or id per line, bullets and numbering allowed; tabs and semicolons part them as well."""
        known, unknown = [], []
        for entry in _entries(text):
            try:
                known.append(self.catalog.index_of(entry))
            except UnknownItem as miss:
                unknown.append(miss)
        return Pasted(tuple(dict.fromkeys(known)), tuple(unknown))

    def recommend(
        self,
        history: Sequence[Entry],
        k: int = 10,
        adapter: AdapterName = "ilora",
        rerank: bool = False,
        exclude_seen: bool = True,
        gate: Sequence[float] | None = None,
    ) -> Recommendation:
        """As `Recommender.recommend`, in turn and measured. Raises Busy too."""
        with self.meter.request("recommend"), self.turnstile.pass_through():
            done = self.recommender.recommend(
                history, k=k, adapter=adapter, rerank=rerank, exclude_seen=exclude_seen, gate=gate
            )
        self.meter.steps(done)
        return done

    def explain(
        self,
        history: Sequence[Entry],
        k: int = 10,
        adapter: AdapterName = "ilora",
        exclude_seen: bool = True,
    ) -> Explanation:
        """As `Recommender.without_each`, in turn and measured. Raises Busy too."""
        with self.meter.request("explain"), self.turnstile.pass_through():
            return self.recommender.without_each(history, k=k, adapter=adapter, exclude_seen=exclude_seen)

    def compare(
        self,
        history: Sequence[Entry],
        case: int | None = None,
        candidates: Sequence[Entry] | None = None,
        gate: Sequence[float] | None = None,
        k: int = RETRIEVED,
        adapters: Sequence[AdapterName] | None = None,
    ) -> Comparison:
        """Every adapter (or some) over the same titles, in turn and measured. Raises Busy too.

        For a held-out case they are the evaluation's own: what came next among 19 drawn at random. For
        everybody else those that are named, or the 20 that the router retrieves.
        """
        if case is not None:
            candidates = self.drawn(case)
        with self.meter.request("compare"), self.turnstile.pass_through():
            return self.recommender.compare(history, candidates=candidates, gate=gate, k=k, adapters=adapters)

    def route(self, history: Sequence[Entry]) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """What is known before the language model is asked: K expert weights, and the retrieved items.

        Needs no turn: routing takes about a millisecond. Raises UnknownItem.
        """
        known = tuple(dict.fromkeys(read_items(self.catalog, history)))
        routing = self.recommender.router.route([known])
        return tuple(map(float, routing.gate[0])), tuple(map(int, routing.retrieved[0]))

    def right(self, cases: Sequence[int], adapter: AdapterName) -> list[bool]:
        """Whether an adapter puts what came next first among the evaluation's 20, for each held-out case.

        One turn for all of them, so ask for few at once. Raises Busy too.
        """
        asked, candidates = [self.cases[case] for case in cases], self.candidates(cases)
        histories = [case.history for case in asked]
        with self.meter.request("tally"), self.turnstile.pass_through():
            scores = self.recommender.score_candidates(histories, candidates, adapter)
        columns = (candidates == targets_of(asked)[:, None]).argmax(1)
        return [bool(rank == 1) for rank in ranks_among(scores, columns)]

    def at_leisure(self, shards: Iterator[int]) -> Iterator[int]:
        """Long work shard by shard, each one in a turn of its own, and only while nobody else is waiting.

        Raises Busy after ten minutes without such a moment.
        """
        while True:
            self.turnstile.stand_back(PATIENCE)
            with self.meter.request("batch"), self.turnstile.pass_through():
                done = next(shards, None)
            if done is None:
                return
            yield done

    def drawn(self, case: int) -> list[int]:
        """The evaluation's candidates of one held-out person: 20 dense indices, the target among them."""
        return [int(index) for index in self.candidates([case])[0]]

    def candidates(self, cases: Sequence[int]) -> Indices:
        """The evaluation's candidates of several held-out people: [n, 20]."""
        return draw_candidates(self.dataset, [self.cases[case] for case in cases])


def _entries(text: str) -> list[str]:
    """Lines (or parts between tabs and semicolons) without bullets and numbering; at most 500."""
    lines = text.replace("\t", "\n").replace(";", "\n").splitlines()
    stripped = (line.strip().lstrip("•-*").strip() for line in lines)
    return [_without_number(line) for line in stripped if line][:500]


def _without_number(line: str) -> str:
    """ "3. Fargo" and "3) Fargo" -> "Fargo"; "187" and "12 Monkeys" stay."""
    head, _, rest = line.partition(" ")
    return rest.strip() if head[:-1].isdigit() and head[-1:] in ".)" and rest.strip() else line


def open_service(
    path: Path,
    say: Callable[[str], None],
    progress: Progress | None = None,
    runs: Path = RUNS,
    new_items: Sequence[NewItem] = (),
    turnstile: Turnstile | None = None,
    meter: Meter | None = None,
    backbones: Backbones | None = None,
    weights: Weights = "nf4",
) -> Service:
    """A bundle folder -> a service that answers. Raises as `load_bundle` does."""
    info = read_info(path)
    say(f"Reading {name_of(info.dataset.name)}.")
    dataset = load_dataset(info.dataset.name, progress)
    recommender = load_bundle(
        path,
        say=say,
        progress=progress,
        weights=weights,
        dataset=dataset,
        new_items=new_items,
        backbones=backbones,
    )
    return Service(recommender, dataset, info, say, runs, turnstile, meter)
