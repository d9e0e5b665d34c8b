"""Training on from the product's own bundle, whose gate was cross-fitted."""

from pathlib import Path

from app.cli.train import _from_bundle
from core.training.recipe import Recipe
from exports.bundle import DEFAULT_BUNDLE, verify_bundle


def test_what_goes_on_from_a_bundle_asks_for_no_encoders_that_it_lacks(tmp_path: Path) -> None:
    info = verify_bundle(DEFAULT_BUNDLE)
    was = Recipe.model_validate(info.metrics.training["ilora"].recipe)
    assert was.cross_fits, "its gate was trained through encoders that no bundle keeps"
    recipe, folder = _from_bundle(DEFAULT_BUNDLE, None, None, None, ["run.max_steps=1"], tmp_path / "on")
    assert not recipe.cross_fits and recipe.run.max_steps == 1 and recipe.adapter.gate_reads == "history"
    assert folder == tmp_path / "on" and Path(str(recipe.start_from)).is_dir()
