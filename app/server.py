"""The server: the page and the HTTP interface on one port, which answers only when everything is ready."""

import socket
from collections.abc import Callable

import gradio as gr
import uvicorn
from fastapi import FastAPI

from app.api import add_api
from app.guard import Guard
from app.listening import listen
from app.web.page import build_page
from app.web.service import Service
from app.web.theme import css, theme

LEAVING = 3
"""Seconds that open pages get when the server stops; their live connections would hold it up for ever."""


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


def serve(reserved: socket.socket, opened: Callable[[], Service], say: Callable[[str], None]) -> None:
    """Open the service, then answer on a reserved port until stopped.

    Raises:
        ServeError: somebody else has begun to listen there meanwhile.
        BundleError, AssetError: what `opened` raises.
    """
    service = opened()
    say("Computing the example that the page opens with.")
    app = create_app(service)
    address = listen(reserved)
    say(f"Ready: {address}")
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=LEAVING)
    uvicorn.Server(config).run(sockets=[reserved])
