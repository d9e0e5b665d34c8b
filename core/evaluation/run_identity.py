"""Which row of a table a run is, what it may be asked, and the hashes that tell two trainings apart."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.registry import name_of
from core.errors import RunError
from core.evaluation.methods import Identity
from core.evaluation.questions import Questions
from core.titles import fold
from core.training.finished import ADAPTER, RECIPE, SPACE, FinishedRun
from core.training.prepare import WEIGHTS
from core.training.recipe import Recipe

METHODS = {
    "lora": "LoRA",
    "ilora": "iLoRA",
    "static": "Static gate",
    "random": "Random gate",
    "shuffled": "Shuffled gate",
    "tokens": "Token gate",
}
"""Labels of runs; the next three are the controls; the last reads titles."""
SASREC, STACK, TITLE = "SASRec", "Stack", "Title likelihood (zero-shot)"
"""The stack is SASRec, EASE, item-kNN and popularity, summed (`core.collaborative`)."""


def label_of(recipe: Recipe) -> str:
    """What a run is called in tables: its method or control, and its mode when that is not the default."""
    own = METHODS[recipe.label]
    return own if recipe.mode == "catalogue" else f"{own} ({recipe.mode})"


def run_identity(run: FinishedRun) -> Identity:
    """The run itself."""
    folder, recipe = run.folder, run.recipe
    seconds = run.summary.get("training_seconds")
    return Identity(
        label=label_of(recipe),
        run=folder.resolve().name,
        seed=recipe.run.seed,
        recipe=_sha256(folder / RECIPE),
        weights=_sha256(*sorted((folder / ADAPTER).rglob("*.safetensors")), folder / SPACE, folder / WEIGHTS),
        train_samples=run.summary["steps"] * recipe.optimizer.batch_size,
        train_minutes=None if seconds is None else round(seconds / 60, 2),
    )


def blends(own: Identity) -> bool:
    """Whether a run has a blend beside it: controls have none, nor has what ranks nothing."""
    return own.label.removesuffix(" (branch)") in (METHODS["lora"], METHODS["ilora"])


def blend_identity(own: Identity, beside: str = SASREC) -> Identity:
    """The run with its encoder's scores blended in, or the stack's."""
    return replace(own, label=f"{own.label} + {beside}")


def encoder_identity(run: FinishedRun) -> Identity:
    """The run's encoder; runs of one recipe and seed share it, and then its row."""
    digest = hashlib.sha256()
    for name, tensor in sorted(run.prepared.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    seconds = run.prepared.encoder_seconds
    return Identity(
        label=SASREC,
        run=f"encoder {digest.hexdigest()[:12]}",
        seed=run.recipe.run.seed,
        recipe=_of(run.recipe.encoder.model_dump(), run.recipe.run.seed),
        weights=digest.hexdigest(),
        train_minutes=round(seconds / 60, 2) if seconds else None,  # a bundle does not keep it
    )


def stack_identity(run: FinishedRun) -> Identity:
    """The stack over the run's encoder, without any language model."""
    encoder = encoder_identity(run)
    return replace(encoder, label=STACK, run=f"stack on {encoder.run}", recipe=_of(STACK, encoder.recipe))


def title_identity(run: FinishedRun) -> Identity:
    """The run's backbone before any training."""
    model = run.recipe.model
    return Identity(
        label=TITLE,
        run=fold(f"{Path(model.backbone).name} {model.quantization} {model.compute}"),
        recipe=_of([model.backbone, model.revision, model.quantization, model.compute]),
    )


def fits(run: FinishedRun, questions: Questions) -> None:
    """Raises RunError when the run was trained on other data or another split than it is asked about."""
    recipe, dataset = run.recipe, questions.dataset
    if (name_of(recipe.dataset), recipe.split) != (dataset.name, questions.split.name):
        raise RunError(
            f"{run.folder} was trained on {recipe.dataset} {recipe.split} and cannot be asked about "
            f"{dataset.name} {questions.split.name}: its training has seen those answers, or other items."
        )
    if len(run.prepared.title_prior) != dataset.num_items:
        raise RunError(
            f"{run.folder} knows {len(run.prepared.title_prior)} items and {dataset.name} has "
            f"{dataset.num_items}: the data have changed, train it again."
        )


def _of(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _sha256(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
