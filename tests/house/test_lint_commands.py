"""One list of checks: a commit, `make lint` and continuous integration run the same commands."""

import re
from pathlib import Path

import yaml


def _recipe(makefile: str, target: str) -> list[str]:
    """The command lines of a target, as a shell sees them."""
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert lines, f"the Makefile has no target {target}"
    return [line.strip().lstrip("@").replace("$(BIN)", ".venv/bin") for line in lines[1].splitlines()]


def test_pre_commit_runs_exactly_what_make_lint_runs(repository: Path) -> None:
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == _recipe((repository / "Makefile").read_text(), "lint")


def test_pre_commit_needs_no_network(repository: Path) -> None:
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {hook["language"] for repo in config["repos"] for hook in repo["hooks"]} == {"system"}
