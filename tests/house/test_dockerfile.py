"""The image cannot be built in a test, so everything that its lines name is checked to exist and to work."""

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.fixture(scope="module")
def instructions(repository: Path) -> list[tuple[str, str]]:
    """(keyword, rest) of every instruction, continued lines joined, comments left out."""
    text = (repository / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(keyword, rest) for keyword, _, rest in (line.partition(" ") for line in joined.splitlines())]


def _all(instructions: list[tuple[str, str]], keyword: str) -> list[str]:
    return [rest for found, rest in instructions if found == keyword]


def _only(instructions: list[tuple[str, str]], keyword: str) -> str:
    [rest] = _all(instructions, keyword)
    return rest


def test_hadolint_finds_nothing(repository: Path) -> None:
    done = subprocess.run(
        [HADOLINT, "Dockerfile"], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_is_awake() -> None:
    done = subprocess.run(
        [HADOLINT, "-"], input="FROM python\nRUN cd /x\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1


def test_it_is_slim_and_runs_as_nobody_special(instructions: list[tuple[str, str]]) -> None:
    assert _only(instructions, "FROM") == "python:3.11-slim"
    assert int(_only(instructions, "USER")) > 0
    keywords = [keyword for keyword, _ in instructions]
    assert keywords.index("USER") > max(place for place, keyword in enumerate(keywords) if keyword == "RUN")


def test_cuda_is_a_build_argument_without_a_default(instructions: list[tuple[str, str]]) -> None:
    assert _only(instructions, "ARG") == 'TORCH_INDEX=""'
    assert any(
        '${TORCH_INDEX:+--index-url "$TORCH_INDEX"}' in command for command in _all(instructions, "RUN")
    )


def test_what_it_copies_exists_and_reaches_the_builder(
    instructions: list[tuple[str, str]], repository: Path
) -> None:
    rules = [
        line for line in (repository / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    ]
    assert rules[0] == "*", "the context starts empty"
    sources = {source for rest in _all(instructions, "COPY") for source in rest.split()[:-1]}
    for source in sorted(sources):
        assert (repository / source).exists(), source
        assert f"!{source}" in rules, f"{source} is ignored"


def test_its_shell_lines_are_valid_shell(instructions: list[tuple[str, str]]) -> None:
    for command in _all(instructions, "RUN"):
        done = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_torch_line_is_found_and_its_index_is_optional(
    instructions: list[tuple[str, str]], repository: Path, tmp_path: Path
) -> None:
    """Runs the line itself, with `pip` replaced by one that only says what it was given."""
    [command] = [command for command in _all(instructions, "RUN") if "TORCH_INDEX" in command]
    shutil.copy(repository / "requirements.txt", tmp_path)
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "$@"\n')
    pip.chmod(0o755)

    def run(index: str) -> list[str]:
        surroundings = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TORCH_INDEX": index}
        done = subprocess.run(
            ["sh", "-euc", command],
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    everything = "install --no-cache-dir -r requirements.txt"
    assert run("") == ["install --no-cache-dir -r torch.txt", everything]
    assert run("file:///x") == ["install --no-cache-dir --index-url file:///x -r torch.txt", everything]
    assert (tmp_path / "torch.txt").read_text() == "torch==2.13.0\n"


def test_its_command_is_one_that_the_product_has(
    instructions: list[tuple[str, str]], repository: Path
) -> None:
    program, subcommand, *options = json.loads(_only(instructions, "CMD"))
    assert program == "ilora"
    helped = subprocess.run(
        [sys.executable, "-m", "app.cli.main", subcommand, "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert helped.returncode == 0, helped.stderr
    for option in options:
        if option.startswith("--"):
            assert option in helped.stdout


def test_command_port_and_health_check_agree(instructions: list[tuple[str, str]]) -> None:
    port = _only(instructions, "EXPOSE")
    assert json.loads(_only(instructions, "CMD"))[-2:] == ["--port", port]
    assert f"127.0.0.1:{port}/health" in _only(instructions, "HEALTHCHECK")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_a_well_server_from_an_ill_one(
    status: int, healthy: bool, instructions: list[tuple[str, str]]
) -> None:
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    python, flag, program = json.loads(_only(instructions, "HEALTHCHECK").partition("CMD ")[2])
    assert (python, flag) == ("python", "-c")
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = program.replace(_only(instructions, "EXPOSE"), str(server.server_port))
        done = subprocess.run([sys.executable, "-c", here], capture_output=True, timeout=60)
        server.shutdown()
    assert asked == ["/health"]
    assert (done.returncode == 0) == healthy


def test_the_health_check_fails_when_nothing_answers(instructions: list[tuple[str, str]]) -> None:
    program = json.loads(_only(instructions, "HEALTHCHECK").partition("CMD ")[2])[2]
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as closed_again:
        port = closed_again.server_port
    here = program.replace(_only(instructions, "EXPOSE"), str(port))
    assert subprocess.run([sys.executable, "-c", here], capture_output=True, timeout=60).returncode != 0
