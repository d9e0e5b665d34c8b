"""Pages of further data sets, under /data/NAME/: each is made when somebody first comes, before his eyes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import escape

from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from app.web.service import Service
from app.web.shelf import Offer, Shelf, UnknownDataset
from app.web.theme import script
from quant.errors import IloraError

PREFIX = "/data"
FAILED = "It could not be opened; the server’s log says why."
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70ch;margin:12vh auto;padding:0 16px}"
    "li:not(:last-child){opacity:.6}@media(prefers-color-scheme:dark){body{background:#0b0f19;color:#eee}a{color:#9bf}}"
)


class OtherPages:
    """An application for every bundle of a shelf but the first, whose page stands at the root.

    Args:
        shelf: what there is.
        made: a service -> an application with its page at "/".
    """

    def __init__(self, shelf: Shelf, made: Callable[[Service], FastAPI]) -> None:
        self._shelf, self._made = shelf, made
        self._apps: dict[str, FastAPI] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, str] = {}
        self._leaving = asyncio.Event()

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Ends every page that was made meanwhile."""
        yield
        self._leaving.set()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mounted at `PREFIX`: passes on to a page, or answers in its place."""
        name, slash, rest = scope["path"].removeprefix(scope["root_path"]).lstrip("/").partition("/")
        try:
            offer = self._shelf.find(name)
        except UnknownDataset as error:
            await _refused(error, 404)(scope, receive, send)
            return
        if slash and offer.name in self._apps and rest != "opening":
            inner = dict(scope) | {"root_path": f"{scope['root_path']}/{name}"}
            await self._apps[offer.name](inner, receive, send)
            return
        if scope["type"] == "http":
            await self._meanwhile(offer, scope, name, slash, rest)(scope, receive, send)

    def _meanwhile(self, offer: Offer, scope: Scope, name: str, slash: str, rest: str) -> Response:
        """The answer to somebody who comes before the page is there."""
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        if offer == self._shelf.offers[0]:
            return RedirectResponse(f"{'../' * (1 + len(slash) + rest.count('/'))}{query}")
        if not slash:
            return RedirectResponse(f"{name}/{query}")
        if rest == "":
            self._begin(offer)
            return HTMLResponse(_waiting(offer))
        if rest == "opening":
            steps, problem = self._shelf.steps(offer.name), self._problems.get(offer.name)
            done = offer.name in self._apps
            return JSONResponse({"open": done, "steps": steps, "problem": problem})
        return JSONResponse({"kind": "Opening", "detail": f"{name} is not open: see ./ first."}, 503)

    def _begin(self, offer: Offer) -> None:
        running = self._opening.get(offer.name)
        if running is None or running.done():
            self._problems.pop(offer.name, None)
            task = self._opening[offer.name] = asyncio.create_task(self._live(offer))
            task.add_done_callback(lambda done: self._ended(offer, done))

    async def _live(self, offer: Offer) -> None:
        """Make a page, and keep it until the server leaves; a task of its own, as it begins and ends both."""
        service = await asyncio.to_thread(self._shelf.service, offer.name)
        self._shelf.tell(offer, "Computing the example that the page opens with.")
        app = await asyncio.to_thread(self._made, service)
        async with app.router.lifespan_context(app):
            self._apps[offer.name] = app
            await self._leaving.wait()

    def _ended(self, offer: Offer, done: asyncio.Task[None]) -> None:
        """Tell those who wait why there will be no page; a mistake of ours goes to the log as well."""
        error = None if done.cancelled() else done.exception()
        if error is None:
            return
        self._problems[offer.name] = str(error) if isinstance(error, IloraError) else FAILED
        if not isinstance(error, IloraError):
            logging.getLogger("uvicorn.error").error("%s could not be opened", offer.name, exc_info=error)


def _refused(error: UnknownDataset, status: int) -> JSONResponse:
    told = {"kind": type(error).__name__, "detail": str(error), "suggestions": list(error.known)}
    return JSONResponse(told, status)


def _waiting(offer: Offer) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>Opening {escape(offer.kinds)}</title><style>{STYLE}</style>'
        f"<main><h1>Opening {escape(offer.kinds)}</h1><p>The first who comes waits while the bundle "
        f"“{escape(offer.name)}” is loaded; everybody after that does not.</p>"
        '<div role="status"><ol id="steps"></ol></div><p id="problem" role="alert" hidden></p>'
        '<p><a href="../../">Back</a></p></main><noscript><meta http-equiv="refresh" content="3"></noscript>'
        f"<script>{script('opening.js')}</script></html>"
    )
