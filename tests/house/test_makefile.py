"""The Makefile's promises that can be checked without installing anything: order, stamps, clear refusals."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest


def _make(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # A make that runs these tests hands its own flags down; they are not part of what is tested.
    surroundings = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=surroundings | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A fresh checkout as far as make is concerned: no .venv."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(repository / name, tmp_path)
    shutil.copytree(repository / ".ci", tmp_path / ".ci")
    return tmp_path


def _in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


def test_demo_creates_the_environment_installs_fetches_and_serves(checkout: Path) -> None:
    planned = _make("-n", "demo", folder=checkout).stdout
    assert _in_order(
        planned,
        "/dev/tcp",
        ".ci/venv",
        "torch==",
        "-r requirements.txt",
        "-e .",
        "ilora data fetch",
        "ilora serve",
    )
    assert "requirements-dev" not in planned, "the demo needs no test tools"


def test_test_ends_with_pytest_after_browser_lint_and_data(checkout: Path) -> None:
    planned = _make("-n", "test", folder=checkout).stdout
    assert _in_order(
        planned,
        "requirements-dev.txt",
        ".ci/chromium",
        ".ci/axe",
        "ruff check",
        "mypy",
        "ilora data fetch",
        "pytest",
    )
    assert planned.rstrip().splitlines()[-1] == ".venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder"


def test_what_is_installed_is_not_installed_again_until_a_pin_changes(checkout: Path) -> None:
    planned = _make("-n", "install-dev", folder=checkout).stdout
    stamps = [line.split()[1] for line in planned.splitlines() if line.startswith("touch ")]
    assert len(stamps) == 2
    (checkout / ".venv").mkdir()
    for stamp in stamps:
        (checkout / stamp).touch()
    assert "pip" not in _make("-n", "install-dev", folder=checkout).stdout
    with (checkout / "requirements.txt").open("a") as requirements:
        requirements.write("# changed\n")
    assert "pip" in _make("-n", "install-dev", folder=checkout).stdout


def test_the_torch_index_is_used_for_torch_alone(checkout: Path) -> None:
    planned = _make("-n", "install", "TORCH_INDEX=file:///wheels", folder=checkout).stdout
    [line] = [line for line in planned.splitlines() if "file:///wheels" in line]
    assert line.endswith('"torch==2.13.0"')
    assert "--index-url" not in _make("-n", "install", folder=checkout).stdout


def test_a_taken_port_is_refused_before_anything_is_installed(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _make("demo", f"PORT={port}", folder=checkout)
    assert done.returncode != 0
    assert f"Port {port} is taken" in done.stderr
    assert not (checkout / ".venv").exists()


def test_without_a_fitting_python_one_sentence_says_so(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    old = tools / "python3"
    old.write_text("#!/bin/bash\nexit 1\n")  # answers the version question as any other version does
    old.chmod(0o755)
    done = subprocess.run([checkout / ".ci/venv"], env={"PATH": str(tools)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("ilora needs Python 3.11 or 3.12") and done.stderr.count("\n") == 1


def test_without_chromium_and_without_apt_one_sentence_says_so(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "bash").symlink_to(str(shutil.which("bash")))
    done = subprocess.run(
        [checkout / ".ci/chromium"], env={"PATH": str(tools)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The browser tests need Chromium: ") and done.stderr.count("\n") == 1


def test_help_lists_the_habits(checkout: Path) -> None:
    listed = _make("help", folder=checkout).stdout
    for target in ("demo", "test", "lint", "bench", "format"):
        assert f"make {target} " in listed
