"""Row 6: the same people trained on by the product, and as HF's documentation does it.

Run as a script for the memory of one side:

    python -m tests.bench.training_opponents stock|branch|text PEOPLE STEPS
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file
from transformers import (
    DataCollatorForSeq2Seq,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from core.assembly import new_model
from core.data.registry import load_dataset
from core.encoder import EncoderShape, SASRec
from core.item_space import ItemFeatures
from core.packing import pack_prompts
from core.prompt import Wording
from core.training.objective import Objective
from core.training.recipe import Recipe
from core.training.rows import IGNORED, Collator, Row
from core.training.trainer import RankingTrainer
from exports.bundle import DEFAULT_BUNDLE
from exports.bundle_info import PROJECTOR
from quant.backbone import Backbone, load_backbone
from tests.bench.backbone_file import backbone_file
from tests.bench.layer_opponents import ALPHA, NAMES
from tests.bench.people import People, people

Mode = Literal["branch", "text"]
BATCH = 4
RANK = 8


class StepClock(TrainerCallback):
    """Seconds from the first step's begin to the last one's end: training, without setting up and saving."""

    def __init__(self) -> None:
        self.began = self.seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.began = self.began or time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds = time.perf_counter() - self.began


def rows_of(chosen: People, mode: Mode) -> list[Row]:
    """One training row per person, over the same candidates for both modes."""
    rows = []
    for user, (history, listed, target) in enumerate(
        zip(chosen.histories, chosen.candidates.tolist(), chosen.targets, strict=True)
    ):
        first = [target, *(item for item in listed if item != target)]
        text = mode == "text"
        rows.append(
            Row(
                history,
                seen_by_gate=history,
                candidates=tuple(listed if text else first),
                user=user,
                column=listed.index(target) if text else 0,
                hybrid=False if text else None,  # titles alone, as the stock trainer reads them
            )
        )
    return rows


class _Rows(torch.utils.data.Dataset[Any]):
    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def our_trainer(
    backbone: Backbone, chosen: People, mode: Mode, folder: Path, steps: int
) -> tuple[RankingTrainer, StepClock]:
    """The product's own trainer in branch or generate mode."""
    recipe = Recipe.model_validate(
        {
            "mode": "generate" if mode == "text" else "branch",
            "method": "ilora",
            "adapter": {"r": RANK, "alpha": ALPHA},
            "optimizer": {"batch_size": BATCH, "micro_batch": BATCH},
            "run": {"max_steps": steps, "evaluate_every": 10_000, "save_every": 10_000},
        }
    )
    tensors = load_file(DEFAULT_BUNDLE / PROJECTOR)
    features = ItemFeatures(
        tensors["items.collaborative"], tensors["items.text"].float(), tensors["items.known"]
    )
    count = len(features.known)
    objective = Objective(new_model(backbone, features, recipe), SASRec(EncoderShape(count)), "ilora")
    if mode == "text":  # as `core.training.run` does
        objective.model.space("ilora").freeze_scores()
        objective.model.branches.requires_grad_(False)
    clock = StepClock()
    trainer = RankingTrainer(
        objective,
        recipe,
        folder,
        rows=_Rows(rows_of(chosen, mode)),
        collator=Collator(chosen.wording, count),
        validate=lambda: {"hr1": 0.0},  # asked after the last step, when the clock has stopped
        say=print,
        callbacks=[clock],
    )
    trainer.remove_callback(EarlyStoppingCallback)
    return trainer, clock


def stock_examples(chosen: People) -> list[dict[str, list[int]]]:
    """The very prompts and answers of text mode as plain token lists; only the answer is learned."""
    examples = []
    wording = chosen.wording
    for history, listed, target in zip(
        chosen.histories, chosen.candidates.tolist(), chosen.targets, strict=True
    ):
        packed = pack_prompts(wording, [history], [listed], [False])
        prompt, answer = packed.words[0].tolist(), list(wording.answer(target))
        examples.append(
            {
                "input_ids": prompt + answer,
                "attention_mask": [1] * len(prompt + answer),
                "labels": [IGNORED] * len(prompt) + answer,
            }
        )
    return examples


def stock_trainer(backbone: Backbone, chosen: People, folder: Path, steps: int) -> tuple[Trainer, StepClock]:
    """HF's Trainer, PEFT's LoRA, labels in, loss out: logits of the whole prompt, padding to the longest."""
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(NAMES), task_type=TaskType.CAUSAL_LM)
    clock = StepClock()
    trainer = Trainer(
        model=get_peft_model(backbone.model, config),
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=5e-4,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=_Rows(stock_examples(chosen)),
        data_collator=DataCollatorForSeq2Seq(backbone.tokenizer, padding="longest"),
        callbacks=[clock],
    )
    return trainer, clock


def main() -> None:
    side, count, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    dataset = load_dataset("movielens")
    backbone = load_backbone(backbone_file(), "nf4")
    wording = Wording.of(backbone.tokenizer, dataset.catalog, dataset.domain)
    chosen = people(dataset, wording).first(count)
    np.random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        if side == "stock":
            trainer: Trainer = stock_trainer(backbone, chosen, Path(folder), steps)[0]
        else:
            mode: Mode = "text" if side == "text" else "branch"
            trainer = our_trainer(backbone, chosen, mode, Path(folder), steps)[0]
        trainer.train()


if __name__ == "__main__":
    main()
