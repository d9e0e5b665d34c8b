"""A message that tells a person to run something names a command that exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from typer.main import get_command

from app.cli.main import cli

# In backticks (or, for make, at the start of a constant): elsewhere the words mean something else.
MAKE = re.compile(r"(?:`|^)make ([a-z-]+)")
ILORA = re.compile(r"`ilora ([a-z-]+)(?: ([a-z-]+))?")


def _texts(repository: Path, sources: dict[Path, ast.Module]) -> Iterator[tuple[str, str]]:
    """Every text that people may read, with its place: strings and docstrings of the rooms, README."""
    for path, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path}:{node.lineno}", node.value
    readme = repository / "README.md"
    if readme.exists():
        yield "README.md", readme.read_text(encoding="utf-8")


def _commands() -> dict[str, set[str]]:
    """The sub-commands of `ilora`, each with its own sub-commands."""
    top = get_command(cli).commands  # type: ignore[attr-defined]
    return {name: set(getattr(command, "commands", {})) for name, command in top.items()}


def test_every_make_target_that_a_message_names_exists(
    repository: Path, sources: dict[Path, ast.Module]
) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    unknown = {
        f"{place}: make {target}"
        for place, text in _texts(repository, sources)
        for target in MAKE.findall(text)
        if target not in targets
    }
    assert unknown == set()


def test_every_ilora_command_that_a_message_names_exists(
    repository: Path, sources: dict[Path, ast.Module]
) -> None:
    commands = _commands()
    unknown = set()
    for place, text in _texts(repository, sources):
        for command, below in ILORA.findall(text):
            if command not in commands or (commands[command] and below and below not in commands[command]):
                unknown.add(f"{place}: ilora {command} {below}".rstrip())
    assert unknown == set()
