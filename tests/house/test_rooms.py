"""The rooms' rules: app -> exports -> core -> quant, never back; and a breach is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_no_room_imports_from_a_room_above_it(repository: Path) -> None:
    done = _lint_imports(repository)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("quant/nosy.py", "import core.errors"),
        ("core/nosy.py", "import exports"),
        ("exports/nosy.py", "import app"),
        ("core/nosy.py", "import onnxruntime"),
        ("core/nosy.py", "def later():\n    import gradio"),
        ("quant/nosy.py", "import rich"),
        ("exports/nosy.py", "import typer"),
    ],
)
def test_an_import_that_breaks_the_rules_is_noticed(
    file: str, line: str, repository: Path, tmp_path: Path
) -> None:
    for room in ("app", "exports", "core", "quant"):
        shutil.copytree(
            repository / room,
            tmp_path / room,
            ignore=shutil.ignore_patterns("__pycache__", "bundles", "recipes"),
        )
    shutil.copy(repository / "pyproject.toml", tmp_path)
    (tmp_path / file).write_text(line + "\n")
    done = _lint_imports(tmp_path)
    assert done.returncode == 1
    assert file.removesuffix(".py").replace("/", ".") in done.stdout


def test_every_folder_with_code_is_a_package(repository: Path) -> None:
    """Without __init__.py a folder works in a checkout and is left out of the wheel."""
    for room in ("app", "exports", "core", "quant"):
        for path in (repository / room).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path.parent.relative_to(repository)
