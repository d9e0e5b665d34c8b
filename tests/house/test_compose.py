"""Compose cannot be run in a test, so everything that its lines name is checked against image and product."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from app.cli.main import cli


@pytest.fixture(scope="module")
def compose(repository: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((repository / "compose.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def dockerfile(repository: Path) -> str:
    return (repository / "Dockerfile").read_text(encoding="utf-8")


def test_there_is_a_service_for_the_cpu_and_one_for_a_card_that_differ_in_nothing_else(
    compose: dict[str, Any],
) -> None:
    cpu, gpu = (dict(compose["services"][name]) for name in ("cpu", "gpu"))
    assert (cpu.pop("profiles"), gpu.pop("profiles")) == (["cpu"], ["gpu"])
    [card] = gpu.pop("deploy")["resources"]["reservations"]["devices"]
    assert card == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert cpu == gpu


def test_build_arguments_port_and_volume_are_the_images_own(compose: dict[str, Any], dockerfile: str) -> None:
    service = compose["services"]["cpu"]
    assert set(service["build"]["args"]) == set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))
    [port] = re.findall(r"^EXPOSE (\d+)", dockerfile, re.MULTILINE)
    assert service["ports"] == [f"127.0.0.1:${{PORT:-{port}}}:{port}"]
    [volume] = re.findall(r"^VOLUME (\S+)", dockerfile, re.MULTILINE)
    assert f"ilora-cache:{volume}" in service["volumes"] and set(compose["volumes"]) == {"ilora-cache"}


def test_every_variable_has_a_default_and_those_of_the_product_are_read_by_serve(
    repository: Path, compose: dict[str, Any]
) -> None:
    text = (repository / "compose.yaml").read_text(encoding="utf-8")
    assert all(default for _, default in re.findall(r"\$\{(\w+)(:-)?", text))
    serve = get_command(cli).commands["serve"]  # type: ignore[attr-defined]
    read = {parameter.envvar for parameter in serve.params if parameter.envvar}
    assert set(compose["services"]["cpu"]["environment"]) <= read


def test_an_empty_variable_is_no_bundle_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILORA_BUNDLE", "")
    monkeypatch.setenv("ILORA_AUTH", "")
    given = get_command(cli).commands["serve"].make_context("serve", []).params  # type: ignore[attr-defined]
    assert not given["bundle"] and given["auth"] is None


def test_it_runs_without_rights_on_a_file_system_that_it_cannot_change(compose: dict[str, Any]) -> None:
    service = compose["services"]["cpu"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"] and service["tmpfs"] == ["/tmp"]
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable == ["ilora-cache:/var/cache/ilora"]
