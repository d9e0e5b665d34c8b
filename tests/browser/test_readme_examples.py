"""What the README says a program can ask, run as it stands there against a running server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.people import Server


def _blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## Ask it from a program") : text.index("## Train it yourself")]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.S)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_gradios_client_gets_the_list_and_the_reasons(repository: Path, server: Server) -> None:
    [program] = _blocks(repository, "python")
    said = _run([sys.executable, "-c", program.replace("http://127.0.0.1:7860", server.address)]).splitlines()
    assert said[0].startswith("[") and said[-1] in ("Toy Story (1995)", "Fargo (1996)")


def test_plain_http_gets_the_list_and_titles(repository: Path, server: Server) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not on this machine")
    commands = _blocks(repository, "bash")[0].replace("http://127.0.0.1:7860", server.address)
    said = _run(["bash", "-ec", commands])
    assert said.count('"rank":') == 3 and "Fargo (1996)" in said
