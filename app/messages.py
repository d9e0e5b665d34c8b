"""What programs send and get: the questions and answers of the HTTP interface, and of Gradio's client.

A question knows how to ask the service, so that both ways in do the same.
"""

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.web.service import Service
from app.web.shelf import Offer, Shelf
from app.web.visit import MAX_HISTORY
from core.catalog import Item
from core.explanation import Explanation, Omission
from core.recommendation import AdapterName, Comparison, RankedItem, Recommendation, Stage
from core.recommender import MOST_CANDIDATES

Title = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Weights = Annotated[list[float], Field(max_length=64)]


class Question(BaseModel, ABC):
    """What every question holds."""

    model_config = ConfigDict(extra="forbid")

    history: list[Title] = Field(
        max_length=MAX_HISTORY, description="item ids or titles, oldest first; may be empty"
    )

    dataset: Name | None = Field(
        None, description="which data set or bundle answers (GET /api/datasets); none: the server's first"
    )

    @abstractmethod
    def answer(self, service: Service) -> BaseModel:
        """Ask. Raises IloraError."""


class Line(BaseModel):
    """One item of a list, best first."""

    rank: int
    id: str
    title: str
    score: float
    probability: float = Field(description="among the items that were ranked")

    @classmethod
    def of(cls, item: RankedItem) -> "Line":
        """A ranked item as JSON."""
        return cls(
            rank=item.rank,
            id=item.item_id,
            title=item.title,
            score=item.score,
            probability=item.probability,
        )


class TitleInfo(BaseModel):
    """One title of the catalogue."""

    id: str
    title: str
    year: int | None
    genres: list[str]

    @classmethod
    def of(cls, item: Item) -> "TitleInfo":
        """An item as JSON."""
        return cls(id=item.item_id, title=item.title, year=item.year, genres=list(item.genres))


class Answer(BaseModel):
    """A finished list with its reasons."""

    items: list[Line]
    gate: list[float] = Field(description="K expert weights, empty without experts")
    adapter: AdapterName
    stage: Stage
    ranked: int = Field(description="how many items the probabilities are among")
    timings_ms: dict[str, float]
    notes: list[str]

    @classmethod
    def of(cls, done: Recommendation) -> "Answer":
        """The record of a recommendation as JSON."""
        return cls(
            items=[Line.of(item) for item in done.items],
            gate=list(done.gate),
            adapter=done.adapter,
            stage=done.stage,
            ranked=done.ranked,
            timings_ms=done.timings_ms,
            notes=list(done.notes),
        )


class AskRecommend(Question):
    """What to recommend for."""

    k: int = Field(10, ge=1, le=100, description="length of the list")
    adapter: AdapterName = Field("ilora", description="ilora, lora or base")
    gate: Weights | None = Field(
        None, description="K weights >= 0 in place of the router's mixture (what-if)"
    )
    rerank: bool = Field(
        False, description="read the best 20 once more, where validation found that it helps"
    )
    exclude_seen: bool = Field(True, description="leave out what is in the history")

    def answer(self, service: Service) -> Answer:
        """Ask. Raises IloraError."""
        done = service.recommend(
            self.history, self.k, self.adapter, self.rerank, self.exclude_seen, gate=self.gate
        )
        return Answer.of(done)


class Compared(BaseModel):
    """The same titles in every adapter's order."""

    candidates: list[str] = Field(description="item ids")
    lists: dict[AdapterName, Answer]

    @classmethod
    def of(cls, done: Comparison, service: Service) -> "Compared":
        """The record of a comparison as JSON."""
        return cls(
            candidates=[service.catalog[index].item_id for index in done.candidates],
            lists={name: Answer.of(listed) for name, listed in done.lists.items()},
        )


class AskCompare(Question):
    """What to compare the adapters on."""

    candidates: list[Title] | None = Field(
        None,
        min_length=1,
        max_length=MOST_CANDIDATES,
        description="item ids or titles that all adapters rank; none: the 20 that routing retrieves",
    )
    k: int = Field(20, ge=1, le=MOST_CANDIDATES, description="length of each list")
    gate: Weights | None = Field(None, description="K weights >= 0 for adapters with experts (what-if)")

    def answer(self, service: Service) -> Compared:
        """Ask. Raises IloraError."""
        done = service.compare(self.history, candidates=self.candidates, gate=self.gate, k=self.k)
        return Compared.of(done, service)


class Without(BaseModel):
    """The list without one title of the history."""

    id: str
    title: str = Field(description="what was left out")
    shift: float = Field(description="share of the probability that goes to other titles (total variation)")
    probability: float = Field(description="what is left for the title that came first")
    rank: int = Field(description="where that title stands now")
    entered: list[str] = Field(description="titles among the first k only now")
    left: list[str] = Field(description="titles no longer among the first k")
    gate: list[float]

    @classmethod
    def of(cls, omission: Omission, service: Service) -> "Without":
        """An omission as JSON."""
        item, titles = service.catalog[omission.index], service.catalog.items
        return cls(
            id=item.item_id,
            title=item.title,
            shift=omission.shift,
            probability=omission.probability,
            rank=omission.rank,
            entered=[titles[index].title for index in omission.entered],
            left=[titles[index].title for index in omission.left],
            gate=list(omission.gate),
        )


class Explained(BaseModel):
    """A list, and what each title of the history does to it, the strongest first (leave-one-out)."""

    items: list[Line]
    gate: list[float]
    adapter: AdapterName
    without: list[Without]
    ranked: int
    milliseconds: float
    notes: list[str]

    @classmethod
    def of(cls, done: Explanation, service: Service) -> "Explained":
        """The record of an explanation as JSON."""
        return cls(
            items=[Line.of(item) for item in done.items],
            gate=list(done.gate),
            adapter=done.adapter,
            without=[Without.of(omission, service) for omission in done.omissions],
            ranked=done.ranked,
            milliseconds=done.milliseconds,
            notes=list(done.notes),
        )


class AskExplain(Question):
    """What to explain."""

    k: int = Field(10, ge=1, le=100, description="how many of the first titles are looked at for moves")
    adapter: AdapterName = Field("ilora", description="ilora or lora")
    exclude_seen: bool = True

    def answer(self, service: Service) -> Explained:
        """Ask. Raises IloraError."""
        return Explained.of(service.explain(self.history, self.k, self.adapter, self.exclude_seen), service)


class Routed(BaseModel):
    """What is known before the language model is asked."""

    gate: list[float] = Field(description="K expert weights; they sum to 1")
    retrieved: list[TitleInfo] = Field(description="the router's own best titles, best first")


class AskRoute(Question):
    """What to route."""

    def answer(self, service: Service) -> Routed:
        """Ask. Raises IloraError."""
        gate, retrieved = service.route(self.history)
        return Routed(gate=list(gate), retrieved=[TitleInfo.of(service.catalog[i]) for i in retrieved])


class Found(BaseModel):
    """Titles for a few typed letters."""

    titles: list[TitleInfo] = Field(description="the closest first")


class AskSearch(BaseModel):
    """What to look for."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="the beginning of a title"
    )
    limit: int = Field(10, ge=1, le=30, description="most titles to answer with")
    dataset: Name | None = Field(None, description="as in a question about a history")

    def answer(self, service: Service) -> Found:
        """Look."""
        return Found(titles=[TitleInfo.of(item) for item in service.search(self.query, self.limit).items])


class Offered(BaseModel):
    """A data set that can be asked about."""

    name: str = Field(description="of the bundle; what `dataset` may be")
    dataset: str = Field(description="the data set's name; may stand for the bundle where only one has it")
    kinds: str = Field(description="what is recommended: Movies, Artists, ...")
    open: bool = Field(description="whether it answers at once; else the first question loads it")

    @classmethod
    def of(cls, offer: Offer, shelf: Shelf) -> "Offered":
        """An offer as JSON."""
        return cls(name=offer.name, dataset=offer.dataset, kinds=offer.kinds, open=shelf.is_open(offer.name))


class Mistake(BaseModel):
    """Why there is no answer."""

    kind: str = Field(description="Invalid, UnknownItem, UnknownDataset, DataError or Busy")
    detail: str = Field(description="one sentence: what was given, what is allowed, what to do")
    suggestions: list[str] = Field(
        default=[], description="what there is instead: the closest titles, or all data sets"
    )
