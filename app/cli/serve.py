"""`ilora serve`: the page and the HTTP interface."""

import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.download_bar import DownloadBar
from app.cli.new_items import ItemsFile, new_items
from app.listening import ServeError, reserve


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)
    ] = 7860,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a trained bundle. Can be repeated: the page switches between them; the first is "
            "opened at once, the others when somebody comes.",
            envvar="ILORA_BUNDLE",
            show_default="the one that comes with ilora",
        ),
    ] = None,
    items: ItemsFile = None,
    runs: Annotated[
        Path, typer.Option(help="Folder of training runs that the tab Runs shows.", envvar="ILORA_RUNS")
    ] = Path("runs"),
    weights: Annotated[
        Literal["nf4", "cached"],
        typer.Option(
            help="How the backbone's 4-bit weights are read: nf4 decodes them in every product; cached once, "
            "when starting: sooner answers for 4 bytes a weight (2 where the processor multiplies bf16).",
            envvar="ILORA_WEIGHTS",
        ),
    ] = "nf4",
    auth: Annotated[
        str | None,
        typer.Option(
            help="NAME:PASSWORD that everybody needs (HTTP Basic); behind TLS only. Safer in the variable.",
            envvar="ILORA_AUTH",
            show_default="open to all",
        ),
    ] = None,
    max_queue: Annotated[
        int,
        typer.Option(help="How many may wait for the model; the next one is told when to come back.", min=0),
    ] = 16,
    rate: Annotated[
        int, typer.Option(help="Questions a minute that one address may ask; 0 is no limit.", min=0)
    ] = 0,
    mcp: Annotated[
        bool,
        typer.Option(
            "--mcp",
            help="Answer assistants too (Model Context Protocol), at /mcp; needs the extra: "
            "pip install '.[mcp]' in ilora's folder.",
        ),
    ] = False,
) -> None:
    """Open the page: recommendations, experts, and the comparison with plain LoRA."""
    began = time.perf_counter()

    def say(sentence: str) -> None:
        typer.echo(f"[{time.perf_counter() - began:5.1f} s] {sentence}", err=True)

    from app.access import Login
    from core.errors import BundleError
    from exports.bundle_check import read_info
    from exports.bundle_info import DEFAULT_BUNDLE

    if mcp and find_spec("mcp") is None:
        raise ServeError(
            "--mcp needs the package mcp, which is not here: pip install '.[mcp]' in ilora's folder."
        )
    login = None if auth is None else Login.parse(auth)
    folders = bundle or [DEFAULT_BUNDLE]
    brought = new_items(items)
    if brought and len(folders) > 1:
        raise BundleError(f"--items {items} belongs to one bundle, and {len(folders)} are named: serve one.")
    for folder in folders:
        read_info(folder)  # a missing bundle is told at once, before the slow imports
    # Read once, when torch is loaded: idle threads sleep rather than spin. Spinning ones take the cores from
    # whatever else runs on the machine, and from each other: lists then took 20 times as long (measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with reserve(host, port) as reserved:
        say("Starting.")
        from app.server import Limits
        from app.server import serve as run
        from app.web.shelf import Shelf, open_shelf

        def opened() -> Shelf:
            with DownloadBar(folders[0].name) as bar:
                return open_shelf(folders, say, bar, runs, brought, weights)

        run(reserved, opened, say, Limits(max_queue, rate, login), mcp)
