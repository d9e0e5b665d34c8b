"""Recipes: every field of a training run, documented, with its default; YAML in, resolved YAML out."""

import os
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import RecipeError

Method = Literal["ilora", "lora"]
Draw = Literal["every_position", "user_sqrt", "user_uniform", "late_positions"]
Tracker = Literal["wandb", "mlflow"]
GateReads = Literal["history", "static", "random", "shuffled", "tokens"]
Targets = Annotated[Literal["all-linear"] | tuple[str, ...], Field(union_mode="left_to_right")]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EncoderRecipe(_Fields):
    """SASRec, trained with full-softmax cross-entropy on every position of the training sequences."""

    width: int = Field(64, ge=4, description="D, width of item vectors and states")
    layers: int = Field(2, ge=1, description="transformer blocks")
    heads: int = Field(2, ge=1, description="attention heads; must divide width")
    max_length: int = Field(50, ge=2, description="longest history the encoder reads, in items")
    dropout: float = Field(0.3, ge=0, lt=1, description="on tokens, attention and residuals")
    batch_size: int = Field(64, ge=1, description="windows of max_length + 1 items per step")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's")
    weight_decay: float = Field(0.0, ge=0, description="decoupled (AdamW)")
    max_epochs: int = Field(200, ge=1, description="an epoch covers every position of every user once")
    patience: int = Field(12, ge=1, description="epochs without a better validation score before stopping")


class RowsRecipe(_Fields):
    """How training rows are drawn; the same for every method of a comparison."""

    draw: Draw = Field(
        "user_sqrt",
        description="chance of a user: by interactions (every_position), their root, equal, or equal with "
        "only his last positions (late_positions)",
    )
    late: int = Field(
        8, ge=1, description="late_positions: the row ends within the last so many training positions"
    )
    history_length: int = Field(20, ge=1, le=50, description="L, items read per row")
    gate_prefix: int = Field(
        8,
        ge=0,
        description="catalogue mode: a random 0..so many first positions are not supervised; the gate reads "
        "only what lies before the first supervised one",
    )
    candidates: int = Field(
        20, ge=2, le=100, description="branch and generate modes: candidates per row, target included"
    )
    retrieved_share: float = Field(
        0.5, ge=0, le=1, description="branch mode: share of negatives that are retrieved"
    )
    curriculum: float = Field(
        0.0,
        ge=0,
        le=1,
        description="generate mode: over this share of the run the chance of a prompt with item tokens rises "
        "from 0 to 1 (LLaRA); 0 = item tokens from the start",
    )


class AdapterRecipe(_Fields):
    """The experts."""

    r: int = Field(8, ge=1, description="R, total rank")
    alpha: int = Field(32, ge=1, description="LoRA's alpha; the scale of a uniform mixture is alpha / r")
    num_experts: int = Field(4, ge=1, description="K for --method ilora; must divide r (lora is K = 1)")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the input of each adapted linear")
    target_modules: Targets = Field(
        "all-linear",
        description="linears to adapt: every one of the decoder's layers, whatever its architecture names "
        "them, or a list of names such as [q_proj, v_proj]",
    )
    adapt_output: bool = Field(
        False,
        description="ilora: the projection from the last state to the user vector has experts too, of the "
        "same number and rank, mixed by the same gate (lora trains that projection whole, as ilora does)",
    )
    gate: Literal["shared", "per_layer"] = Field(
        "shared", description="one mixture per person, or one per layer"
    )
    gate_hidden: int | None = Field(
        None, description="hidden width of an MLP gate; none is the paper's linear gate"
    )
    gate_temperature: float = Field(1.0, gt=0, description="divides the gate's logits")
    gate_init: Literal["random", "zero"] = Field(
        "random",
        description="random, as a linear layer is drawn; zero begins as LoRA, all experts alike for all",
    )
    gate_cross_fitted: bool = Field(
        False,
        description="while training the gate reads people through encoders that never saw them, mapped into "
        "the space of the run's own: it learns nothing from that one's memory of its training rows",
    )
    gate_reads: GateReads = Field(
        "history",
        description="what the gate sees of a person: history (iLoRA); or a control in its place: static "
        "(zeros: one learned mixture for everybody), random (a fixed random vector per user), shuffled "
        "(another user's history, drawn anew for every row), tokens (what the language model reads in the "
        "history's titles, without order)",
    )


class ModelRecipe(_Fields):
    """The backbone and the item space."""

    backbone: str = Field("smollm2-135m", description="asset name, hub id, folder or GGUF file")
    revision: str | None = Field(None, description="branch, tag or commit of a hub id")
    quantization: Literal["nf4", "bf16", "fp32"] = Field("nf4", description="of the frozen backbone")
    compute: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="what nf4 computes with: bf16 where hardware has it, else fp32; a run keeps its choice",
    )
    storage: Literal["uint8", "bf16"] = Field(
        "uint8",
        description="what nf4 words are stored as, changing no value: bf16 where FSDP shares them out",
    )
    text_components: int = Field(192, ge=1, description="P, principal components of the item text vectors")
    residual: float = Field(
        0.0,
        ge=0,
        description="catalogue mode: weight of an encoder's log-probabilities that are added to the scores, "
        "so that the language model learns what the encoder does not know; while training those of encoders "
        "that never saw the user (cross-fitting), afterwards the run's own; such a run is evaluated, not "
        "bundled",
    )
    folds: int = Field(
        2,
        ge=2,
        description="cross-fitting (model.residual, adapter.gate_cross_fitted): users are shared out among "
        "so many folds, and as many encoders are trained, each without one of them; more know more, and take "
        "longer to train",
    )
    token_dropout: float = Field(0.2, ge=0, lt=1, description="on item tokens and user vectors")
    item_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="chance that an item shows only its text, as a token and, drawn anew, as an answer",
    )


class OptimizerRecipe(_Fields):
    """AdamW with warm-up and cosine decay; one learning rate per kind of parameter."""

    kind: Literal["adamw", "paged_adamw_8bit"] = Field(
        "adamw",
        description="adamw: 8 bytes of state per trained number; paged_adamw_8bit: 2 bytes, moved to the "
        "host's memory under pressure (bitsandbytes, CUDA only)",
    )
    adapter_lr: float = Field(5e-4, gt=0, description="LoRA matrices")
    gate_lr: float = Field(1e-3, gt=0, description="the gate")
    projection_lr: float = Field(1e-3, gt=0, description="projections in and out, branch head")
    item_lr: float = Field(3e-4, gt=0, description="item vectors and biases")
    weight_decay: float = Field(0.0, ge=0, description="decoupled")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps")
    max_grad_norm: float = Field(1.0, gt=0, description="gradient clipping")
    batch_size: int = Field(32, ge=1, description="rows per optimizer step")
    micro_batch: int = Field(32, ge=1, description="rows per forward pass; must divide batch_size")
    gradient_checkpointing: bool = Field(False, description="recompute activations: less memory, more time")


class RunRecipe(_Fields):
    """How long, how often looked at."""

    max_steps: int = Field(1000, ge=1, description="optimizer steps")
    evaluate_every: int = Field(100, ge=1, description="steps between validations (HR@1 among 20)")
    save_every: int = Field(50, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints kept beside the best")
    patience: int = Field(5, ge=1, description="validations without a better HR@1 before stopping")
    validation_users: int = Field(1000, ge=1, description="at most so many validation users while training")
    threads: int = Field(2, ge=1, description="CPU threads of torch")
    processes: int = Field(1, ge=1, description="processes that train together, one per GPU")
    sharding: Literal["none", "fsdp"] = Field(
        "none", description="how several processes hold the backbone: each the whole, or each a share (fsdp)"
    )
    report_to: tuple[Tracker, ...] = Field(
        (),
        description="trackers told beside TensorBoard, each installed by hand: wandb (offline unless "
        "WANDB_MODE says otherwise), mlflow (a local file unless MLFLOW_TRACKING_URI says otherwise)",
    )
    seed: int = Field(1, ge=0, description="of everything random")


class Recipe(_Fields):
    """One training run, whole. Every field can be set on the command line: --set section.field=value."""

    dataset: str = Field(
        "movielens", description="a data set's name; an imported one by its name or its folder (./my-data)"
    )
    split: Literal["loo", "paper"] = Field(
        "loo", description="loo decides; paper is comparable with the papers"
    )
    mode: Literal["catalogue", "branch", "generate"] = Field(
        "catalogue", description="how the backbone is asked; generate is the papers' way, for comparison"
    )
    method: Method = Field("ilora", description="ilora: K experts and a gate; lora: one for all")
    start_from: str | None = Field(
        None, description="a finished run folder whose weights this run starts from"
    )
    trained: Literal["all", "head"] = Field(
        "all",
        description="head: only branch mode's head trains, on frozen adapters and items (cheap)",
    )
    encoder: EncoderRecipe = EncoderRecipe()  # type: ignore[call-arg]
    rows: RowsRecipe = RowsRecipe()  # type: ignore[call-arg]
    adapter: AdapterRecipe = AdapterRecipe()  # type: ignore[call-arg]
    model: ModelRecipe = ModelRecipe()  # type: ignore[call-arg]
    optimizer: OptimizerRecipe = OptimizerRecipe()  # type: ignore[call-arg]
    run: RunRecipe = RunRecipe()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        if self.adapter.r % self.adapter.num_experts:
            raise ValueError(
                f"adapter.num_experts={self.adapter.num_experts} must divide adapter.r={self.adapter.r}"
            )
        if self.control and self.experts == 1:
            raise ValueError(
                f'adapter.gate_reads="{self.control}" needs method="ilora" and adapter.num_experts above 1: '
                "plain LoRA has no gate that could read something else"
            )
        if self.model.residual and self.mode != "catalogue":
            raise ValueError(
                f'model.residual={self.model.residual:g} needs mode="catalogue": only there is an encoder '
                "added to the scores; leave it out (0)"
            )
        if self.trained == "head" and (self.mode != "branch" or self.start_from is None):
            raise ValueError(
                'trained="head" needs mode="branch" and start_from=RUN: a head alone has nothing to read'
            )
        if self.encoder.width % self.encoder.heads:
            raise ValueError(
                f"encoder.heads={self.encoder.heads} must divide encoder.width={self.encoder.width}"
            )
        together = self.optimizer.micro_batch * self.run.processes
        if self.optimizer.batch_size % together:
            by = "" if self.run.processes == 1 else f" times run.processes={self.run.processes}"
            raise ValueError(
                f"optimizer.micro_batch={self.optimizer.micro_batch}{by} must divide "
                f"optimizer.batch_size={self.optimizer.batch_size}"
            )
        if self.run.sharding == "fsdp" and self.run.processes == 1:
            raise ValueError('run.sharding="fsdp" needs run.processes above 1: one process has no shares')
        if self.run.sharding == "fsdp" and self.model.quantization == "nf4" and self.model.storage != "bf16":
            raise ValueError(
                'run.sharding="fsdp" needs model.storage="bf16": it shares out weights of one float dtype'
            )
        return self

    @property
    def experts(self) -> int:
        """K of this run: 1 for plain LoRA."""
        return self.adapter.num_experts if self.method == "ilora" else 1

    @property
    def cross_fits(self) -> bool:
        """Whether encoders of other users are needed."""
        return self.model.residual > 0 or self.cross_fits_gate

    @property
    def cross_fits_gate(self) -> bool:
        """Whether a gate reads training rows through encoders of other users: one that reads histories."""
        reads = self.adapter.gate_reads in ("history", "shuffled")
        return self.adapter.gate_cross_fitted and reads and self.method == "ilora"

    @property
    def control(self) -> str | None:
        """What the gate reads in place of the history: static, random, shuffled or tokens; None for iLoRA and
        LoRA."""
        reads = self.adapter.gate_reads
        return None if reads == "history" else reads

    @property
    def label(self) -> str:
        """What this run is called in tables and folders: lora, ilora, static, random, shuffled or tokens."""
        return self.control or self.method

    def flat(self) -> dict[str, Any]:
        """Every field by the name that `--set` gives it: {"run.seed": 1, ...}."""
        return dict(_flattened(self.model_dump(mode="json")))

    def save(self, path: Path) -> None:
        """Write every field, defaults included: the run can be repeated from this file alone.

        In one step: whoever reads a run folder meanwhile sees no recipe or the whole one, never half of it.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        temporary.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))
        temporary.replace(path)


def _flattened(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def recipe_names() -> list[str]:
    """Names of the recipes that come with the product."""
    folder = resources.files("core") / "recipes"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_recipe(name_or_path: str, settings: Sequence[str] = (), **fields: Any) -> Recipe:
    """A recipe by name or path, with `section.field=value` settings and top-level fields laid over it.

    Raises:
        RecipeError: no such recipe, unreadable YAML, an unknown field or a value that is not allowed.
    """
    path = Path(name_or_path)
    if not path.suffix and name_or_path in recipe_names():
        text = (resources.files("core") / "recipes" / f"{name_or_path}.yaml").read_text()
    elif path.is_file():
        text = path.read_text()
    else:
        raise RecipeError(
            f'"{name_or_path}" is neither a recipe of the product ({", ".join(recipe_names())}) '
            "nor a YAML file."
        )
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise RecipeError(f"{name_or_path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise RecipeError(
            f"{name_or_path} must hold fields (section: field: value), not a {type(values).__name__}."
        )
    for setting in settings:
        _lay_over(values, setting)
    values.update({name: value for name, value in fields.items() if value is not None})
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # fields that do not fit together: the reason names them with their values
            raise RecipeError(f"The recipe does not fit together: {reason}.") from error
        place = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{place}: {reason} (given: {first.get('input')!r}).") from error


def _lay_over(values: dict[str, Any], setting: str) -> None:
    name, equals, value = setting.partition("=")
    if not equals or not name:
        raise RecipeError(f'--set {setting}: write section.field=value, for example "run.max_steps=200".')
    *sections, field = name.split(".")
    place = values
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {setting}: {section} is a field, not a section.")
        place = inner
    place[field] = yaml.safe_load(value)
