"""The README shows what the bundle measured, to the digit."""

from pathlib import Path

from exports.bundle import DEFAULT_BUNDLE, verify_bundle
from exports.model_card import results_table


def test_the_readme_shows_the_bundle_s_own_numbers(repository: Path) -> None:
    rows = verify_bundle(DEFAULT_BUNDLE).metrics.rows
    assert results_table(rows) in (repository / "README.md").read_text(encoding="utf-8")
