"""What a bundle says about itself: the schema of bundle.json, and the names and kinds of its files.

The one place where a bundle meets the outside, hence pydantic; between rooms it travels as a frozen record.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SCHEMA_VERSION: Final = 2
"""2: bundles may hold a stack, and experts on the output."""
INFO = "bundle.json"
ROUTER = "gate.onnx"
PROJECTOR = "projector.safetensors"
CARD = "README.md"
ADAPTERS: tuple["Adapter", ...] = ("ilora", "lora")
SUFFIXES = frozenset({".json", ".onnx", ".safetensors", ".md"})
"""The only kinds of file in a bundle: none of them can run code when it is read."""
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "movielens"
"""The trained bundle that comes with the product."""

USUAL_STRETCH: Final = 1.875
"""Of bundles from before it was measured: what MovieLens gives both methods (`core.growth.fair_stretch`)."""

Adapter = Literal["ilora", "lora"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Frozen, and strict about unknown fields: a misspelt one is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileInfo(Record):
    """One file of the bundle."""

    sha256: Sha256
    size: int = Field(ge=0, description="bytes")


class DatasetInfo(Record):
    """What the bundle was trained on; loading refuses any other content under the same name."""

    name: str
    sha256: Sha256


class BackboneInfo(Record):
    """The frozen language model that the adapters belong to."""

    asset: str = Field(description="name in core.assets, a hub id or a folder's name")
    version: str = Field(description="package version or hub revision; empty for a folder")
    sha256: Sha256 = Field(description="of the weights")
    quantization: Literal["nf4", "bf16", "fp32"] = Field(description="how it was held while training")


class AdapterInfo(Record):
    """One trained adapter."""

    rank: int = Field(ge=1, description="R, over all experts together")
    num_experts: int = Field(ge=1, description="K; 1 is plain LoRA")
    lora_alpha: float = Field(
        gt=0, description="plain LoRA's alpha; the scale is alpha / R for a uniform gate"
    )
    trainable_parameters: dict[str, int] = Field(
        default={}, description='by part: "adapter", "gate", "projector"'
    )
    blend_weight: float = Field(
        default=0.0, ge=0, description="weight of the router's log-probabilities, chosen on validation users"
    )
    new_item_stretch: float = Field(
        default=USUAL_STRETCH,
        ge=1,
        description="how far new items' texts are drawn apart, so that they lead lists as often as others",
    )
    second_stage: Literal["catalogue", "branch"] = Field(
        default="catalogue", description="whose order of the best 20 was better on validation users"
    )


class MetricRow(Record):
    """One method on one split. HR@1 is among `candidates` items, NDCG@10 on the full catalogue."""

    method: str
    split: str
    n: int = Field(ge=1, description="test users")
    candidates: int = Field(default=20, ge=2)
    hr1: Share
    hr1_low: Share = Field(description="lower end of the 95 % Wilson interval")
    hr1_high: Share
    ndcg10: Share | None = None
    note: str = ""


class PairedRow(Record):
    """Two of the methods on the same people: HR@1 of b minus HR@1 of a (`core.evaluation.comparison`)."""

    a: str
    b: str
    split: str
    n: int = Field(ge=1, description="test users")
    difference: float = Field(ge=-1, le=1)
    low: float = Field(ge=-1, le=1, description="lower end of the 95 % interval, paired bootstrap over users")
    high: float = Field(ge=-1, le=1)
    p: Share = Field(description="McNemar's exact test, two-sided")
    detectable: Share = Field(
        description="the smallest difference that this n shows in four of five repetitions"
    )
    winner: str | None = Field(
        default=None, description="whose lead is shown; none where chance may explain it"
    )


class TrainingInfo(Record):
    """How one adapter was trained."""

    recipe: dict[str, Any] = Field(description="every field, resolved: the run can be repeated from it")
    steps: int = Field(ge=0)
    best_step: int = Field(ge=0, description="the step whose weights were kept, by validation")
    minutes: float | None = Field(default=None, ge=0)
    machine: str = ""


class Metrics(Record):
    """Everything measured that the model card shows."""

    rows: tuple[MetricRow, ...] = ()
    pairs: tuple[PairedRow, ...] = Field(default=(), description="iLoRA against LoRA; none in older bundles")
    training: dict[str, TrainingInfo] = Field(default={}, description="by adapter")
    weaknesses: tuple[str, ...] = Field(default=(), description="plain sentences, from the evaluation")


class BundleInfo(Record):
    """bundle.json."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    name: str
    created_by: str = Field(description="the command that reproduces it")
    dataset: DatasetInfo
    backbone: BackboneInfo
    adapters: dict[Adapter, AdapterInfo]
    mode: Literal["catalogue", "branch"] = "catalogue"
    encoder_width: int = Field(ge=1, description="D")
    history_length: int = Field(ge=1, description="the last items of a history that the language model reads")
    licences: dict[str, str] = Field(description="by part: code, weights, data")
    metrics: Metrics = Metrics()
    files: dict[str, FileInfo] = Field(default={}, description="every file but bundle.json, by relative path")

    def with_(self, **changes: Any) -> "BundleInfo":
        """A copy with some fields replaced, validated again."""
        return BundleInfo.model_validate(self.model_dump() | changes)


def is_inside(name: str) -> bool:
    """Whether a file name in bundle.json is a plain relative path that cannot leave the folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name and "\\" not in name
