"""The same questions for Gradio's own client: `Client(url).predict([title], api_name="/recommend")`."""

from typing import Any

import gradio as gr
from pydantic import ValidationError

from app.messages import AskCompare, AskExplain, AskRecommend, AskRoute, Question, TitleInfo
from app.web.shelf import Shelf
from quant.errors import IloraError


def add_endpoints(shelf: Shelf, here: str) -> None:
    """Named endpoints of a page; each has the fields of its HTTP route, and its errors in one sentence.

    Args:
        here: the bundle of the page, meant where a question names none.
    """

    def ask(kind: type[Question], dataset: str | None, **fields: object) -> dict[str, Any]:
        return _ask(shelf, kind, dataset=dataset or here, **fields)

    def recommend(
        history: list[str],
        k: int = 10,
        adapter: str = "ilora",
        gate: list[float] | None = None,
        rerank: bool = False,
        exclude_seen: bool = True,
        dataset: str | None = None,
    ) -> dict[str, Any]:
        """The best titles for a history of ids or titles, oldest first."""
        fields = {"k": k, "adapter": adapter, "gate": gate, "rerank": rerank, "exclude_seen": exclude_seen}
        return ask(AskRecommend, dataset, history=history, **fields)

    def compare(
        history: list[str],
        candidates: list[str] | None = None,
        k: int = 20,
        gate: list[float] | None = None,
        dataset: str | None = None,
    ) -> dict[str, Any]:
        """Every adapter's order of the same titles."""
        fields = {"history": history, "candidates": candidates, "k": k, "gate": gate}
        return ask(AskCompare, dataset, **fields)

    def explain(
        history: list[str],
        k: int = 10,
        adapter: str = "ilora",
        exclude_seen: bool = True,
        dataset: str | None = None,
    ) -> dict[str, Any]:
        """What each title of a history does to the list, the strongest first."""
        fields = {"history": history, "k": k, "adapter": adapter, "exclude_seen": exclude_seen}
        return ask(AskExplain, dataset, **fields)

    def route(history: list[str], dataset: str | None = None) -> dict[str, Any]:
        """Expert weights and retrieved titles, without the language model."""
        return ask(AskRoute, dataset, history=history)

    def search(query: str, limit: int = 30, dataset: str | None = None) -> list[dict[str, Any]]:
        """Titles for a few typed letters."""
        try:
            service = shelf.service(dataset or here)
        except IloraError as error:
            raise gr.Error(str(error)) from None
        found = service.search(str(query), min(max(int(limit), 1), 30)).items
        return [TitleInfo.of(item).model_dump() for item in found]

    for endpoint in (recommend, compare, explain):
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_id="model", concurrency_limit=1)
    gr.api(route, api_name="route", concurrency_limit=4)
    gr.api(search, api_name="search", concurrency_limit=4)


def _ask(shelf: Shelf, kind: type[Question], **fields: object) -> dict[str, Any]:
    try:
        question = kind.model_validate(fields)
        return question.answer(shelf.service(question.dataset)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "question"
        raise gr.Error(f"{where}: {first['msg']}.") from None
    except IloraError as error:
        raise gr.Error(str(error)) from None
