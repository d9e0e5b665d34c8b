"""The server: the page and the HTTP interface on one port, which answers only when everything is ready."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Lifespan

from app.access import Access, Login, Rate
from app.api import add_api
from app.guard import Guard
from app.listening import listen
from app.web.others import PREFIX, OtherPages
from app.web.page import WAITING, build_page
from app.web.service import LINE, Service
from app.web.shelf import Shelf
from app.web.theme import css, theme
from app.web.turnstile import Turnstile

if TYPE_CHECKING:
    from app.tools import Tools

FINISHING = 60.0
"""Seconds that answers under way, and those in line before the stop, get to be finished."""
LEAVING = 3
"""Seconds that open pages get after that; their live connections would hold the server up for ever."""


@dataclass(frozen=True)
class Limits:
    """How much is let in.

    Attributes:
        line: how many may wait for the model; the page's own queue holds twice as many.
        per_minute: questions of one address, 0 for no limit.
        login: name and password for everything but /health, or None.
    """

    line: int = LINE
    per_minute: int = 0
    login: Login | None = None


def create_app(shelf: Shelf, limits: Limits | None = None, tools: "Tools | None" = None) -> FastAPI:
    """Page, HTTP interface, health and metrics over the bundles of a shelf; the first one is at the root.

    Args:
        tools: for assistants, at /mcp; None is without.
    """
    limits = limits or Limits()
    shelf.turnstile.line = limits.line
    waiting = max(WAITING, 2 * limits.line)
    others = OtherPages(shelf, lambda service: _with_page(_bare(), service, shelf, waiting))
    spans = [others.lifespan] if tools is None else [others.lifespan, tools.lifespan]
    app = _bare(lifespan=_all_of(spans), openapi_url="/api/openapi.json")
    add_api(app, shelf)
    if tools is not None:
        app.router.routes.append(Route("/mcp", tools))
    app.mount(PREFIX, others)
    _with_page(app, shelf.service(), shelf, waiting)
    rate = Rate(limits.per_minute) if limits.per_minute else None
    app.add_middleware(Access, login=limits.login, rate=rate)
    app.add_middleware(Guard)
    return app


def _bare(openapi_url: str | None = None, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    # No /docs: its page fetches scripts from another host, and nothing may leave this one.
    return FastAPI(title="ilora", docs_url=None, redoc_url=None, openapi_url=openapi_url, lifespan=lifespan)


def _all_of(spans: Sequence[Lifespan[FastAPI]]) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def together(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for span in spans:
                await stack.enter_async_context(span(app))
            yield

    return together


def _with_page(app: FastAPI, service: Service, shelf: Shelf, waiting: int) -> FastAPI:
    gr.mount_gradio_app(
        app,
        build_page(service, shelf, waiting),
        path="/",
        theme=theme(),
        css=css(),
        footer_links=[],
        run_history=False,  # would keep every visitor's calls in the browser
        allowed_paths=[],
        max_file_size="5mb",
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        app_kwargs={"docs_url": None, "redoc_url": None},
    )
    return app


class GracefulServer(uvicorn.Server):
    """Stops in three steps: nobody new, then what was begun is answered, then open pages are let go."""

    def __init__(self, config: uvicorn.Config, turnstile: Turnstile) -> None:
        super().__init__(config)
        self.turnstile = turnstile

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, after the model has answered everybody in line."""
        for server in self.servers:
            server.close()
        self.turnstile.close()
        waited = 0.0
        while self.turnstile.present and waited < FINISHING and not self.force_exit:
            await asyncio.sleep(0.05)
            waited += 0.05
        await super().shutdown(sockets)


def serve(
    reserved: socket.socket,
    opened: Callable[[], Shelf],
    say: Callable[[str], None],
    limits: Limits | None = None,
    mcp: bool = False,
) -> None:
    """Open the first bundle, then answer on a reserved port until stopped.

    Args:
        mcp: answer assistants too, see `app.tools`.

    Raises:
        ServeError: somebody else has begun to listen there meanwhile.
        BundleError, AssetError: what `opened` raises.
    """
    shelf = opened()
    say("Computing the example that the page opens with.")
    tools = None
    if mcp:
        from app.tools import Tools

        tools = Tools(shelf, loopback=ip_address(reserved.getsockname()[0]).is_loopback)
    app = create_app(shelf, limits, tools)
    address = listen(reserved)
    say(f"Ready: {address}" + (f", for assistants {address}/mcp" if mcp else ""))
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=LEAVING)
    GracefulServer(config, shelf.turnstile).run(sockets=[reserved])
    say("Stopped: everything that was asked is answered.")
