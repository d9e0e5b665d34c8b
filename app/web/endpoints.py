"""The same questions for Gradio's own client: `Client(url).predict([title], api_name="/recommend")`."""

from typing import Any

import gradio as gr
from pydantic import ValidationError

from app.messages import AskCompare, AskExplain, AskRecommend, AskRoute, Question, TitleInfo
from app.web.service import Service
from quant.errors import IloraError


def add_endpoints(service: Service) -> None:
    """Named endpoints of the page; each has the fields of its HTTP route, and its errors in one sentence."""

    def recommend(
        history: list[str],
        k: int = 10,
        adapter: str = "ilora",
        gate: list[float] | None = None,
        rerank: bool = False,
        exclude_seen: bool = True,
    ) -> dict[str, Any]:
        """The best titles for a history of ids or titles, oldest first."""
        fields = {"k": k, "adapter": adapter, "gate": gate, "rerank": rerank, "exclude_seen": exclude_seen}
        return _ask(service, AskRecommend, history=history, **fields)

    def compare(
        history: list[str], candidates: list[str] | None = None, k: int = 20, gate: list[float] | None = None
    ) -> dict[str, Any]:
        """Every adapter's order of the same titles."""
        fields = {"history": history, "candidates": candidates, "k": k, "gate": gate}
        return _ask(service, AskCompare, **fields)

    def explain(
        history: list[str], k: int = 10, adapter: str = "ilora", exclude_seen: bool = True
    ) -> dict[str, Any]:
        """What each title of a history does to the list, the strongest first."""
        fields = {"history": history, "k": k, "adapter": adapter, "exclude_seen": exclude_seen}
        return _ask(service, AskExplain, **fields)

    def route(history: list[str]) -> dict[str, Any]:
        """Expert weights and retrieved titles, without the language model."""
        return _ask(service, AskRoute, history=history)

    def search(query: str, limit: int = 30) -> list[dict[str, Any]]:
        """Titles for a few typed letters."""
        found = service.search(str(query), min(max(int(limit), 1), 30)).items
        return [TitleInfo.of(item).model_dump() for item in found]

    for endpoint in (recommend, compare, explain):
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_id="model", concurrency_limit=1)
    gr.api(route, api_name="route", concurrency_limit=4)
    gr.api(search, api_name="search", concurrency_limit=4)


def _ask(service: Service, kind: type[Question], **fields: object) -> dict[str, Any]:
    try:
        return kind.model_validate(fields).answer(service).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "question"
        raise gr.Error(f"{where}: {first['msg']}.") from None
    except IloraError as error:
        raise gr.Error(str(error)) from None
