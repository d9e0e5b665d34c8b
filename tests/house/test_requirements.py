"""requirements.txt is exactly what the product imports: nothing missing, nothing left over, all pinned."""

import ast
import re
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

ROOMS = {"app", "exports", "core", "quant"}

# Needed while running, but imported by a library instead of by us. Each says by which, and for what.
PLUGINS = {
    "gguf": "transformers reads GGUF files through it",
}


def _imported_packages(sources: dict[Path, ast.Module]) -> set[str]:
    """Top-level names of the third-party packages that the rooms import, inside functions too."""
    names = set()
    for tree in sources.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - ROOMS - set(sys.stdlib_module_names)


def _imported_distributions(sources: dict[Path, ast.Module]) -> set[str]:
    owners = packages_distributions()
    return {_normalized(name) for package in _imported_packages(sources) for name in owners.get(package, ())}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_third_party_import_is_a_requirement(
    sources: dict[Path, ast.Module], requirements: dict[str, str], extras: dict[str, str]
) -> None:
    owners = packages_distributions()
    required = {_normalized(name) for name in requirements | extras}
    for package in sorted(_imported_packages(sources)):
        distributions = {_normalized(name) for name in owners.get(package, [package])}
        assert distributions & required, f"{package} is imported, but {sorted(distributions)} is not required"


def test_every_requirement_is_imported_or_known_as_a_plugin(
    sources: dict[Path, ast.Module], requirements: dict[str, str]
) -> None:
    imported = _imported_distributions(sources)
    unused = {name for name in requirements if _normalized(name) not in imported and name not in PLUGINS}
    assert not unused, (
        "nothing imports these: drop them from requirements.txt, or say in PLUGINS who needs them"
    )


def test_every_exemption_is_required_and_still_needed(
    sources: dict[Path, ast.Module], requirements: dict[str, str]
) -> None:
    imported = _imported_distributions(sources)
    for name in PLUGINS:
        assert name in requirements
        assert _normalized(name) not in imported, f"{name} is imported by now: take it off the list"


def test_the_pins_are_the_versions_that_these_tests_run_with(
    requirements: dict[str, str], dev_requirements: dict[str, str]
) -> None:
    for name, pinned in (requirements | dev_requirements).items():
        # "+cpu" names the index a torch build comes from; the pin leaves that to whoever installs.
        assert version(name).partition("+")[0] == pinned, name


def test_what_only_tests_need_is_not_in_the_product(
    sources: dict[Path, ast.Module],
    requirements: dict[str, str],
    dev_requirements: dict[str, str],
    extras: dict[str, str],
) -> None:
    assert not set(requirements) & set(dev_requirements)
    imported = _imported_distributions(sources)
    assert not imported & {_normalized(name) for name in dev_requirements if name not in extras}


def test_what_is_installed_on_demand_is_tested_as_pinned_and_imported_by_one_file_each(
    sources: dict[Path, ast.Module], dev_requirements: dict[str, str], extras: dict[str, str]
) -> None:
    for name, pinned in extras.items():
        assert dev_requirements[name] == pinned
        importing = [path for path, tree in sources.items() if name in _imported_packages({path: tree})]
        assert len(importing) == 1, f"{name} is an extra: everybody else must do without it"


def test_the_packages_are_pinned_in_alphabetical_order(requirements: dict[str, str]) -> None:
    assert list(requirements) == sorted(requirements, key=str.lower)
