"""The HTTP interface for programs: titles or ids in, the same JSON as `ilora recommend --json` out."""

from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.web.service import Service
from app.web.turnstile import Busy
from app.web.visit import MAX_HISTORY
from core.errors import UnknownItem
from core.recommendation import AdapterName, Recommendation, Stage
from quant.errors import IloraError

Title = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class Question(BaseModel):
    """What to recommend for."""

    model_config = ConfigDict(extra="forbid")

    history: list[Title] = Field(
        max_length=MAX_HISTORY, description="item ids or titles, oldest first; may be empty"
    )
    k: int = Field(10, ge=1, le=100, description="length of the list")
    adapter: AdapterName = Field("ilora", description="ilora, lora or base")
    rerank: bool = Field(
        False, description="read the best 20 once more, where validation found that it helps"
    )
    exclude_seen: bool = Field(True, description="leave out what is in the history")


class Line(BaseModel):
    """One item of the list, best first."""

    rank: int
    id: str
    title: str
    score: float
    probability: float = Field(description="among the items that were ranked")


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
        lines = [
            Line(rank=i.rank, id=i.item_id, title=i.title, score=i.score, probability=i.probability)
            for i in done.items
        ]
        return cls(
            items=lines,
            gate=list(done.gate),
            adapter=done.adapter,
            stage=done.stage,
            ranked=done.ranked,
            timings_ms=done.timings_ms,
            notes=list(done.notes),
        )


class TitleInfo(BaseModel):
    """One title of the catalogue."""

    id: str
    title: str
    year: int | None
    genres: list[str]


def add_api(app: FastAPI, service: Service) -> None:
    """Routes for programs and for the house; errors are one sentence each."""
    router = APIRouter()

    @router.post("/api/recommend")
    def recommend(question: Question) -> Answer:
        done = service.recommend(
            question.history,
            k=question.k,
            adapter=question.adapter,
            rerank=question.rerank,
            exclude_seen=question.exclude_seen,
        )
        return Answer.of(done)

    @router.get("/api/search")
    def search(
        q: Annotated[str, Query(min_length=1, max_length=200)], limit: Annotated[int, Query(ge=1, le=30)] = 30
    ) -> list[TitleInfo]:
        found = service.search(q, limit).items
        return [TitleInfo(id=i.item_id, title=i.title, year=i.year, genres=list(i.genres)) for i in found]

    @router.get("/health")
    def health() -> dict[str, str | int | list[str]]:
        # The port answers only once everything is loaded, so an answer at all means ready.
        return {
            "status": "ok",
            "bundle": service.info.name,
            "items": len(service.catalog),
            "experts": service.recommender.num_experts,
            "adapters": list(service.recommender.adapters),
        }

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.meter.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.include_router(router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(IloraError, _mistake)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return JSONResponse({"detail": f"{where}: {first['msg']}."}, status_code=422)


def _mistake(_: Request, error: Exception) -> JSONResponse:
    """A person's mistake is 422, a full line 503; both with the sentence that the page would show."""
    if isinstance(error, Busy):
        return JSONResponse(
            {"detail": str(error)}, status_code=503, headers={"Retry-After": str(error.seconds)}
        )
    body: dict[str, object] = {"detail": str(error)}
    if isinstance(error, UnknownItem):
        body["suggestions"] = list(error.suggestions)
    return JSONResponse(body, status_code=422)
