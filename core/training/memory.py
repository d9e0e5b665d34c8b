"""A recipe's memory before it runs: its rows, item space and scores put into the planner's terms.

Shapes: B rows of a micro-batch, S positions of a row, L history length, C candidates, N items, D encoder
width, H backbone width, P text components.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from core.branched_attention import LONGEST
from core.data.dataset import Dataset
from core.ilora import ALL_LINEAR
from core.prompt import CHOICES, MAX_TITLE_TOKENS, Wording
from core.training.recipe import Recipe
from quant.planner import AdapterShape, Architecture, Beside, Holding, MemoryPlan, Place, Rows, Scores, plan

CHARACTERS = 2
"""Characters a token where no tokenizer is at hand: few, so that lengths are over- and not underestimated (a
year alone may be four tokens)."""
HEAD_WIDTH = 64
"""Of branch mode's head (`core.ranking_model.BranchHead`)."""


@dataclass(frozen=True)
class CatalogueShape:
    """What of a data set memory depends on; lengths in tokens.

    Attributes:
        items: N.
        title: of a title, the mean over the catalogue rounded up.
        longest_title: of the longest.
        instruction, question, choices: of the fixed wording.
    """

    items: int
    title: int = 12
    longest_title: int = MAX_TITLE_TOKENS
    instruction: int = 10
    question: int = 6
    choices: int = 8


@dataclass(frozen=True)
class Batch:
    """The shape of one micro-batch.

    Attributes:
        rows: B.
        length: S, positions of the longest row, padding included.
        masked: whether attention gets a mask of its own: branches, or rows of different lengths.
        asked: states that are scored against the catalogue or the vocabulary.
        supervised: those of them that have a target.
    """

    rows: int
    length: int
    masked: bool
    asked: int
    supervised: int


def catalogue_shape(dataset: Dataset, tokenizer: PreTrainedTokenizerBase | None = None) -> CatalogueShape:
    """By the backbone's tokenizer where it is at hand, else from characters (`CHARACTERS`)."""
    titles = [item.title for item in dataset.catalog.items]
    if tokenizer is not None:
        wording = Wording.of(tokenizer, dataset.catalog, dataset.domain)
        lengths = [len(title) for title in wording.titles]
        fixed = tuple(map(len, (wording.instruction, wording.question, wording.choices)))
    else:
        lengths = [min(MAX_TITLE_TOKENS, -(-len(title) // CHARACTERS)) for title in titles]
        spoken = (dataset.domain.instruction, dataset.domain.question, CHOICES)
        fixed = tuple(1 + -(-len(text) // CHARACTERS) for text in spoken)
    return CatalogueShape(len(titles), -(-sum(lengths) // len(lengths)), max(lengths), *fixed)


def largest_batch(recipe: Recipe, shape: CatalogueShape) -> Batch:
    """The micro-batch of full rows: what a run must have room for."""
    b, length = recipe.optimizer.micro_batch, recipe.rows.history_length
    candidates = recipe.rows.candidates
    if recipe.mode == "catalogue":
        asked = b * (length + 1)
        return Batch(b, shape.instruction + length, b > 1, asked, asked)
    if recipe.mode == "branch":
        s = shape.instruction + length + shape.question + candidates * (shape.title + 1)
        return Batch(b, s, True, b, b)
    listed = (length + candidates) * (shape.title + 2)  # title, item token, separator
    answer = shape.longest_title + 1
    s = shape.instruction + listed + shape.choices + shape.question + answer
    return Batch(b, s, b > 1, b * answer, b * answer)


def memory_of(
    recipe: Recipe,
    model: Architecture,
    shape: CatalogueShape,
    place: Place,
    compute: int,
    batch: Batch | None = None,
) -> MemoryPlan:
    """The plan of one training step of a recipe on one device.

    Args:
        model: the recipe's backbone.
        compute: bytes of a number in the compute dtype, 2 or 4.
        batch: another micro-batch than the largest one.
    """
    batch = batch or largest_batch(recipe, shape)
    targets = recipe.adapter.target_modules
    adapter = AdapterShape(
        recipe.adapter.r,
        gated=recipe.experts > 1,
        dropout=recipe.adapter.dropout > 0,
        targets=None if targets == ALL_LINEAR else frozenset(targets),
    )
    holding = Holding(
        recipe.model.quantization,
        compute,
        recipe.optimizer.gradient_checkpointing,
        recipe.run.processes if recipe.run.sharding == "fsdp" else 1,
        together=recipe.run.processes > 1,
    )
    width = model.vocabulary if recipe.mode == "generate" else shape.items
    return plan(
        model,
        holding,
        adapter,
        Rows(batch.rows, batch.length, batch.masked, _by_products(recipe, batch, place, compute)),
        Scores(batch.asked, batch.supervised, width),
        place,
        _beside(recipe, model, shape, place),
        recipe.optimizer.kind,
        trains_decoder=recipe.trained == "all",
        threads=recipe.run.threads,
    )


def _by_products(recipe: Recipe, batch: Batch, place: Place, compute: int) -> bool:
    """Whether attention keeps its probabilities (`core.branched_attention`)."""
    return place == "cpu" and compute == 2 and recipe.mode != "branch" and batch.length <= LONGEST


def _beside(recipe: Recipe, model: Architecture, shape: CatalogueShape, place: Place) -> Beside:
    """The item space, the gate, the head and the frozen encoder (`core.item_space`, `core.encoder`)."""
    n, d, h = shape.items, recipe.encoder.width, model.hidden
    p = min(recipe.model.text_components, n - 1, h)
    tokens = [h * d, h * p, h, 1]
    scoring = [d * h, d, d * p, n * d, n]
    head = [h, h, HEAD_WIDTH * h, HEAD_WIDTH, HEAD_WIDTH, 1]
    gate = _gate(recipe, model)
    trained, still = [*gate, *tokens], []
    if recipe.trained == "head":
        trained, still = head, [*gate, *tokens, *scoring]
    elif recipe.mode == "catalogue":
        trained, still = [*trained, *scoring], head
    elif recipe.mode == "branch":
        trained = [*trained, *scoring, *head]
    else:
        still = [*scoring, *head]
    encoder = (n + 1 + recipe.encoder.max_length) * d + recipe.encoder.layers * 7 * d * d
    frozen = 4 * (sum(still) + n * (d + p) + encoder)
    if recipe.trained == "head":
        return Beside(tuple(trained), frozen)
    noise = (1 if place == "cuda" else 4) if recipe.model.token_dropout else 0
    # A token before and after it is brought to its length, dropout's noise; collaborative vectors in and out.
    saved = n * h * (8 + noise) + 8 * n * d
    return Beside(tuple(trained), frozen, saved, passing=16 * n * h)


def _gate(recipe: Recipe, model: Architecture) -> Sequence[int]:
    if recipe.experts == 1:
        return []
    d, hidden = recipe.encoder.width, recipe.adapter.gate_hidden
    out = recipe.experts * (model.layers if recipe.adapter.gate == "per_layer" else 1)
    return [d * out, out] if hidden is None else [d * hidden, hidden, hidden * out, out]
