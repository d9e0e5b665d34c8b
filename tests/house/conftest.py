"""Reading the repository as a repository: its files, its requirements, its Python sources."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOMS = ("app", "exports", "core", "quant")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.]+)$")


@pytest.fixture(scope="session")
def files(repository: Path) -> list[Path]:
    """Every file that is or would be committed, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout")
    return [Path(name) for name in listed.split("\0") if name and (repository / name).is_file()]


@pytest.fixture(scope="session")
def sources(repository: Path) -> dict[Path, ast.Module]:
    """Every Python file of the four rooms, parsed, by its path relative to the root."""
    paths = sorted(path for room in ROOMS for path in (repository / room).rglob("*.py"))
    assert len(paths) > 10
    return {path.relative_to(repository): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _pins(path: Path) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pins = {}
    for line in filter(None, lines):
        if line.startswith("-r "):
            continue
        match = _PIN.match(line)
        assert match, f"{path.name}: {line!r} is not an exact pin (name==version)"
        pins[match["name"]] = match["version"]
    return pins


@pytest.fixture(scope="session")
def requirements(repository: Path) -> dict[str, str]:
    """requirements.txt: name -> version."""
    return _pins(repository / "requirements.txt")


@pytest.fixture(scope="session")
def extras(repository: Path) -> dict[str, str]:
    """What is installed on demand, for one part of the product: name -> version."""
    told = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    matches = [_PIN.match(pin) for pins in told["project"]["optional-dependencies"].values() for pin in pins]
    assert matches and all(matches)
    return {match["name"]: match["version"] for match in matches if match}


@pytest.fixture(scope="session")
def dev_requirements(repository: Path) -> dict[str, str]:
    """requirements-dev.txt without what it includes: name -> version."""
    return _pins(repository / "requirements-dev.txt")
