"""Tools for assistants (MCP): what they are, what they answer, and who is refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

from app.access import Login
from app.cli.serve import serve
from app.listening import ServeError
from app.server import Limits, create_app
from app.tools import TOOLS, Tools
from app.web.service import Service
from app.web.shelf import Shelf

HISTORY = ["Fargo (1996)", "Heat (1995)"]
HEADERS = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def assistant(service: Service) -> Iterator[TestClient]:
    shelf = Shelf.of(service)
    with TestClient(create_app(shelf, tools=Tools(shelf)), base_url="http://127.0.0.1:7860") as client:
        yield client


def call(client: TestClient, tool: str, **arguments: object) -> CallToolResult:
    """One tool called as a program without the SDK would."""
    question = {"name": tool, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": question}
    answer = client.post("/mcp", json=message, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    return CallToolResult.model_validate(answer.json()["result"])


def told(result: CallToolResult) -> str:
    (content,) = result.content
    assert content.type == "text"
    return content.text


def test_the_sdk_s_own_client_finds_the_tools_and_calls_one(service: Service) -> None:
    shelf = Shelf.of(service)
    app = create_app(shelf, tools=Tools(shelf))

    @asynccontextmanager
    async def session() -> AsyncIterator[ClientSession]:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport) as http,
            streamable_http_client("http://127.0.0.1:7860/mcp", http_client=http) as (read, write, _),
            ClientSession(read, write) as opened,
        ):
            yield opened

    async def visit() -> tuple[Any, Any, Any]:
        async with session() as opened:
            greeting = await opened.initialize()
            return greeting, await opened.list_tools(), await opened.call_tool("route", {"history": HISTORY})

    greeting, listed, routed = asyncio.run(visit())
    assert greeting.serverInfo.name == "ilora" and "movielens" in greeting.instructions
    assert {tool.name for tool in listed.tools} == set(TOOLS)
    for tool in listed.tools:
        assert tool.description and tool.annotations.readOnlyHint and tool.outputSchema
        for name, field in tool.inputSchema["properties"].items():
            assert field.get("description") or name == "exclude_seen", f"{tool.name}: {name} is not described"
    assert sum(routed.structuredContent["gate"]) == pytest.approx(1, abs=1e-5)


def test_a_tool_answers_as_the_http_interface_does(assistant: TestClient) -> None:
    asked = {"history": HISTORY, "k": 3}
    for name in ("recommend", "compare", "explain", "route"):
        question = asked if name != "route" else {"history": HISTORY}
        result = call(assistant, name, **question)
        expected = assistant.post(f"/api/{name}", json=question).json()
        found = result.structuredContent
        assert not result.isError and found is not None and json.loads(told(result)) == found
        for timed in (found, expected, *found.get("lists", {}).values(), *expected.get("lists", {}).values()):
            timed.pop("timings_ms", None)
            timed.pop("milliseconds", None)
        assert found == expected, name


def test_titles_are_found_by_their_beginning(assistant: TestClient) -> None:
    found = call(assistant, "search", query="farg", limit=2).structuredContent
    assert found is not None and found["titles"][0]["title"] == "Fargo (1996)" and len(found["titles"]) == 2


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("recommend", {"history": ["Farrgo"]}, "Farrgo"),
        ("recommend", {"history": HISTORY, "k": 0}, "k: Input should be greater than or equal to 1."),
        ("recommend", {}, "history: Field required."),
        ("recommend", {"history": HISTORY, "top": 3}, "top: Extra inputs are not permitted."),
        ("recommend", {"history": HISTORY, "dataset": "books"}, "books"),
        ("search", {"query": ""}, "query: String should have at least 1 character."),
        ("delete", {}, 'There is no tool "delete"; there is recommend, compare, explain, route, search.'),
    ],
)
def test_a_mistake_is_one_sentence(
    assistant: TestClient, tool: str, arguments: dict[str, object], reason: str
) -> None:
    result = call(assistant, tool, **arguments)
    assert result.isError and reason in told(result) and "Traceback" not in told(result)


def test_a_failure_of_ours_says_nothing_of_the_inside(
    assistant: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(service, "route", broken)
    result = call(assistant, "route", history=HISTORY)
    assert result.isError and told(result) == "It could not be answered; the server's log says why."


def test_a_name_that_was_made_to_point_here_is_refused(assistant: TestClient) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for header in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert assistant.post("/mcp", json=message, headers=HEADERS | header).status_code in (403, 421)
    assert assistant.post("/mcp", json=message, headers=HEADERS).status_code == 200


def test_password_rate_and_length_hold_for_assistants_too(service: Service) -> None:
    shelf = Shelf.of(service)
    limits = Limits(per_minute=2, login=Login("team", "secret"))
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with TestClient(create_app(shelf, limits, Tools(shelf)), base_url="http://127.0.0.1:7860") as client:
        assert client.post("/mcp", json=message, headers=HEADERS).status_code == 401
        client.auth = ("team", "secret")
        seen = [client.post("/mcp", json=message, headers=HEADERS).status_code for _ in range(3)]
        assert seen == [200, 200, 429]
    with TestClient(create_app(shelf, tools=Tools(shelf)), base_url="http://127.0.0.1:7860") as client:
        assert client.post("/mcp", content=b"x" * 300_000, headers=HEADERS).status_code == 413


def test_a_missing_extra_is_told_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.serve.find_spec", lambda name: None)
    with pytest.raises(ServeError, match=r"pip install '\.\[mcp\]'"):
        serve(mcp=True)


def test_without_the_flag_there_is_no_such_path(client: TestClient) -> None:
    assert client.post("/mcp", json={}, headers=HEADERS).status_code in (404, 405)
