"""The HTTP interface for programs: titles or ids in, the same JSON as `ilora recommend --json` out."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse

from app.messages import (
    Answer,
    AskCompare,
    AskExplain,
    AskRecommend,
    AskRoute,
    Compared,
    Explained,
    Mistake,
    Offered,
    Routed,
    TitleInfo,
)
from app.web.shelf import Shelf, UnknownDataset
from app.web.turnstile import Busy
from core.errors import UnknownItem
from quant.errors import IloraError

MISTAKES: dict[int | str, dict[str, Any]] = {
    422: {"model": Mistake, "description": "Something in the question makes no sense, or is not known here."},
    503: {"model": Mistake, "description": "The line is full; Retry-After says for about how long."},
}
Typed = Annotated[str, Query(min_length=1, max_length=200, description="the beginning of a title")]
Dataset = Annotated[str | None, Query(min_length=1, max_length=300, description="as in a question")]
Limit = Annotated[int, Query(ge=1, le=30, description="most titles to answer with")]


def add_api(app: FastAPI, shelf: Shelf) -> None:
    """Routes for programs and for the house; errors are one sentence each."""
    router, started = APIRouter(), datetime.now(UTC).isoformat()

    @router.post("/api/recommend", responses=MISTAKES, summary="The best titles for a history")
    def recommend(question: AskRecommend) -> Answer:
        return question.answer(shelf.service(question.dataset))

    @router.post("/api/compare", responses=MISTAKES, summary="Every adapter's order of the same titles")
    def compare(question: AskCompare) -> Compared:
        return question.answer(shelf.service(question.dataset))

    @router.post("/api/explain", responses=MISTAKES, summary="What each title of a history does to the list")
    def explain(question: AskExplain) -> Explained:
        return question.answer(shelf.service(question.dataset))

    @router.post("/api/route", responses=MISTAKES, summary="Expert weights and retrieval, without the model")
    def route(question: AskRoute) -> Routed:
        return question.answer(shelf.service(question.dataset))

    @router.get("/api/search", responses={422: MISTAKES[422]}, summary="Titles for a few typed letters")
    def search(q: Typed, limit: Limit = 30, dataset: Dataset = None) -> list[TitleInfo]:
        return [TitleInfo.of(item) for item in shelf.service(dataset).search(q, limit).items]

    @router.get("/api/datasets", summary="What the field `dataset` may be")
    def datasets() -> list[Offered]:
        return [Offered.of(offer, shelf) for offer in shelf.offers]

    @router.get("/health", summary="Answers once everything is loaded")
    def health() -> dict[str, str | int | list[str]]:
        # The port answers only once everything is loaded, so an answer at all means ready.
        service = shelf.service()
        return {
            "status": "ok",
            "started": started,  # another one tells an open page that the server has forgotten it
            "bundle": service.info.name,
            "bundles": [offer.name for offer in shelf.offers],
            "items": len(service.catalog),
            "experts": service.recommender.num_experts,
            "adapters": list(service.recommender.adapters),
        }

    @router.get("/metrics", response_class=PlainTextResponse, summary="Counters for Prometheus")
    def metrics() -> PlainTextResponse:
        return PlainTextResponse(shelf.meter.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.include_router(router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(IloraError, _mistake)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    told = Mistake(kind="Invalid", detail=f"{where}: {first['msg']}.")
    return JSONResponse(told.model_dump(), status_code=422)


def _mistake(_: Request, error: Exception) -> JSONResponse:
    """A person's mistake is 422, a full line 503; both with the sentence that the page would show."""
    told = Mistake(
        kind=type(error).__name__,
        detail=str(error),
        suggestions=_instead(error),
    )
    if isinstance(error, Busy):
        return JSONResponse(told.model_dump(), 503, headers={"Retry-After": str(error.seconds)})
    return JSONResponse(told.model_dump(), 422)


def _instead(error: Exception) -> list[str]:
    """What could have been asked for."""
    if isinstance(error, UnknownItem):
        return list(error.suggestions)
    return list(error.known) if isinstance(error, UnknownDataset) else []
