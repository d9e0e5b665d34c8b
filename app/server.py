"""The server: the page and the HTTP interface on one port, which answers only when everything is ready."""

import socket
import time
from collections.abc import Callable

import gradio as gr
import uvicorn
from fastapi import FastAPI

from app.api import add_api
from app.guard import Guard
from app.web.page import build_page
from app.web.service import Service
from app.web.theme import css, theme
from quant.errors import IloraError

LEAVING = 3
"""Seconds that open pages get when the server stops; their live connections would hold it up for ever."""


class ServeError(IloraError):
    """The server cannot listen where it was asked to."""


def create_app(service: Service) -> FastAPI:
    """Page, HTTP interface, health and metrics over one service."""
    # No /docs: its page fetches scripts from another host, and nothing may leave this one.
    app = FastAPI(title="ilora", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    add_api(app, service)
    gr.mount_gradio_app(
        app,
        build_page(service),
        path="/",
        theme=theme(),
        css=css(),
        footer_links=[],
        run_history=False,  # would keep every visitor's calls in the browser
        allowed_paths=[],
        max_file_size="1mb",
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        app_kwargs={"docs_url": None, "redoc_url": None},
    )
    app.add_middleware(Guard)
    return app


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: a taken port is told before minutes of loading, not after.

    Raises:
        ServeError: the address is taken, not this machine's, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ServeError(
            f'"{host}" is no address of this machine: use --host 127.0.0.1 or 0.0.0.0.'
        ) from error
    reserved = socket.socket(family, kind, protocol)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind(address)
    except OSError as error:
        reserved.close()
        raise _not_free(host, port, error) from error
    return reserved


def _not_free(host: str, port: int, error: OSError) -> ServeError:
    return ServeError(
        f"Cannot listen on {host}:{port} ({error.strerror}): stop what does, or choose another --port."
    )


def serve(host: str, port: int, opened: Callable[[], Service], say: Callable[[str], None]) -> None:
    """Open the service, then answer until stopped.

    Raises:
        ServeError: see :func:`reserve`.
        BundleError, AssetError: what `opened` raises.
    """
    began = time.perf_counter()
    with reserve(host, port) as reserved:
        service = opened()
        say("Computing the example that the page opens with.")
        app = create_app(service)
        try:
            reserved.listen(128)
        except OSError as error:  # somebody else was loading for the same port, and was faster
            raise _not_free(host, port, error) from error
        shown = f"[{host}]" if ":" in host else host
        say(f"Ready after {time.perf_counter() - began:.0f} s: http://{shown}:{reserved.getsockname()[1]}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=LEAVING)
        uvicorn.Server(config).run(sockets=[reserved])
