"""`ilora doctor` tells the truth about this machine, and its exit code says whether the product can run."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def _doctor(repository: Path, cache: Path | None = None) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and findings by name."""
    surroundings = {**os.environ, **({"ILORA_CACHE": str(cache)} if cache else {})}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.main", "doctor", "--json"],
        cwd=repository,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.returncode, {finding["name"]: finding for finding in json.loads(done.stdout)}


def test_it_reports_the_versions_that_are_installed(repository: Path) -> None:
    _, findings = _doctor(repository)
    for name in ("torch", "transformers", "peft", "bitsandbytes", "onnxruntime", "gradio"):
        assert findings[name]["found"] == version(name)


def test_it_exits_with_2_exactly_when_something_needed_is_missing(repository: Path) -> None:
    code, findings = _doctor(repository)
    failed = [finding for finding in findings.values() if finding["status"] == "fail"]
    assert code == (2 if failed else 0)


def test_whatever_is_not_in_order_says_what_to_do(repository: Path, tmp_path: Path) -> None:
    _, findings = _doctor(repository, cache=tmp_path)
    troubled = [finding for finding in findings.values() if finding["status"] != "ok"]
    assert troubled
    assert all(finding["advice"] for finding in troubled)


def test_an_empty_cache_is_reported_with_the_command_that_fills_it(repository: Path, tmp_path: Path) -> None:
    _, findings = _doctor(repository, cache=tmp_path / "not" / "there" / "yet")
    backbone = findings["backbone smollm2-135m"]
    assert backbone["status"] == "warn"
    assert "ilora data fetch smollm2-135m" in backbone["advice"]
    assert not (tmp_path / "not").exists(), "looking must not create anything"


def test_a_cache_that_cannot_be_written_is_a_failure(repository: Path, tmp_path: Path) -> None:
    a_file = tmp_path / "file"
    a_file.touch()
    code, findings = _doctor(repository, cache=a_file / "cache")
    assert findings["cache"]["status"] == "fail" and code == 2


def test_the_table_for_people_shows_every_finding(repository: Path) -> None:
    _, findings = _doctor(repository)
    table = subprocess.run(
        [sys.executable, "-m", "app.cli.main", "doctor"],
        cwd=repository,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    for name, finding in findings.items():
        assert name in table and finding["status"] in table
