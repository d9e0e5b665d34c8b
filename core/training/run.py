"""One training run from a recipe: prepare, train, keep the best, leave a folder that is whole by itself."""

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import TrainerCallback

from core.assembly import new_model
from core.assets import ASSETS, fetch
from core.data.candidates import draw_candidates
from core.data.dataset import Case, Dataset
from core.data.registry import load_dataset
from core.encoder import SASRec, TorchRouter
from core.errors import RecipeError, RunStopped
from core.evaluation.answering import answer_ranks, generate_answers
from core.evaluation.asking import ask, route_cases, sampled_ranks
from core.evaluation.blending import beside_encoder
from core.evaluation.metrics import hit_rate_at_1, ndcg_at
from core.gate_reading import GateReading, gate_reading
from core.ilora import count_parameters
from core.prompt import Wording
from core.ranker import Ranker
from core.ranking_model import RankingModel
from core.training.alarms import gate_alarms, overfitting_alarm
from core.training.checkpoint import load_trainable
from core.training.continuing import Start, grown, lay_in, open_start
from core.training.cross_fitting import alignments
from core.training.encoder_training import EncoderEpoch
from core.training.finished import ADAPTER, SPACE, SUMMARY
from core.training.interrupt import StopWhenAsked
from core.training.machine import check_machine
from core.training.objective import Objective
from core.training.prepare import RECORD, WEIGHTS, Prepared, load_prepared, prepare, save_prepared
from core.training.processes import Team, joined, started
from core.training.recipe import Recipe
from core.training.rows import BranchRows, CatalogueRows, Collator, GenerateRows, check_rows
from core.training.run_folder import held, open_folder, wanted_in
from core.training.trainer import BEST, RankingTrainer, steps_done
from quant.backbone import Backbone, load_backbone
from quant.sharding import share_out

VALIDATED = ("step", "eval_hr1", "eval_ndcg10", "eval_valid_ratio")
"""What the summary keeps of each validation."""

Step = Callable[[str, int, int], None]
"""Told (what is being done, done so far, in all; all = 0 when unknown)."""
Say = Callable[[str], None]
"""Told one sentence when something is not as planned."""


@dataclass(frozen=True)
class Watch:
    """Who is told what while a run goes on; the CLI draws it."""

    step: Step = lambda what, done, total: None
    encoder: Callable[[EncoderEpoch], None] = lambda epoch: None
    callbacks: tuple[TrainerCallback, ...] = ()
    say: Say = logging.getLogger("ilora").warning


def backbone_source(name: str, step: Step) -> str | Path:
    """An asset's GGUF file when `name` is an asset, else the name itself (hub id, folder, file)."""
    if name not in ASSETS:
        return name
    step("Fetching the backbone", 0, 0)
    folder = fetch(name)
    return next(folder.glob("*.gguf"))


def open_backbone(recipe: Recipe, step: Step = lambda what, done, total: None) -> Backbone:
    """The recipe's backbone, loaded."""
    source = backbone_source(recipe.model.backbone, step)
    step("Loading the backbone", 0, 0)
    model = recipe.model
    return load_backbone(
        source,
        model.quantization,
        revision=model.revision,
        compute=model.compute,
        storage=torch.bfloat16 if model.storage == "bf16" else torch.uint8,
    )


def train(recipe: Recipe, folder: Path, resume: bool = False, watch: Watch | None = None) -> dict[str, Any]:
    """Run a recipe in `folder`; returns the summary that is also written there.

    Called by each of the processes that train together (`core.training.launch`): the first writes and speaks.

    Raises:
        RunError: the folder holds another run, there is nothing to resume, or the run cannot go on.
        RunStopped: it was asked to stop (Ctrl-C) and did after its step, with a checkpoint.
        RecipeError: the recipe asks for what this machine does not have.
    """
    recipe = wanted_in(recipe, folder, resume)
    check_machine(recipe, started=started())
    with joined() as team:
        if not team.first:
            return _train(team.told(recipe), folder, resume, Watch(say=lambda sentence: None), team)
        with held(folder):
            recipe = open_folder(recipe, folder, resume)
            return _train(team.told(recipe), folder, resume, watch or Watch(), team)


def _train(recipe: Recipe, folder: Path, resume: bool, watch: Watch, team: Team) -> dict[str, Any]:
    torch.set_num_threads(recipe.run.threads)
    watch.step(_who_trains(recipe), 0, 0)
    with team.first_ahead():
        watch.step("Loading the data set", 0, 0)
        dataset = load_dataset(recipe.dataset)
        draw_candidates(dataset, validation_cases(dataset, recipe))  # too few items are told before all else
        check_rows(recipe, dataset.split(recipe.split), dataset.num_items)
        backbone = open_backbone(recipe, step=watch.step)
        wording = Wording.of(backbone.tokenizer, dataset.catalog, dataset.domain)
        start = None if recipe.start_from is None else open_start(Path(recipe.start_from), dataset, recipe)
        prepared = _prepared(dataset, recipe, backbone, wording, folder, watch, start)
    if recipe.run.sharding == "fsdp":
        share_out(backbone.model, team.count)

    model = new_model(backbone, prepared.features, recipe)
    if recipe.cross_fits and not prepared.folds:
        raise RecipeError(
            "model.residual and adapter.gate_cross_fitted need encoders of other users, which the run or "
            "bundle that this one starts from does not have: leave them out, or train anew."
        )
    split = dataset.split(recipe.split)
    reading = gate_reading(recipe, prepared.encoder, split, prepared.features.text)
    objective = Objective(
        model,
        prepared.encoder,
        recipe.method,
        reading,
        prepared.folds,
        recipe.model.residual,
        alignments(prepared.folds, prepared.encoder, split) if recipe.cross_fits_gate else (),
    )
    if start is not None:
        lay_in(start, model, prepared, recipe.method)
    choose_trained(objective, recipe)
    trainer = RankingTrainer(
        objective,
        recipe,
        folder,
        rows=reading.rows(training_rows(dataset, recipe, prepared.encoder)),
        collator=Collator(wording, len(dataset.catalog)),
        validate=Validation(dataset, recipe, prepared, model, wording, reading),
        callbacks=[*watch.callbacks, interrupt := StopWhenAsked(team)],
        say=watch.say,
        team=team,
    )
    checkpoint = trainer.newest_checkpoint() if resume else None
    done_before, began = steps_done(checkpoint), time.perf_counter()
    with interrupt:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if interrupt.asked and trainer.state.global_step < recipe.run.max_steps:
        raise RunStopped(
            f"Stopped as asked after step {trainer.state.global_step} of {recipe.run.max_steps}; {folder} "
            "goes on with --resume."
        )
    seconds = time.perf_counter() - began
    if not team.first:
        return team.told({})
    told = _finish(trainer, recipe, folder, model, objective, dataset.sha256, seconds, done_before)
    return team.told(told)


def _who_trains(recipe: Recipe) -> str:
    """One line: how many processes, where, and how they hold the backbone."""
    count, cards = recipe.run.processes, torch.cuda.device_count()
    where = "on a GPU each" if cards else "on the CPU"
    if count == 1:
        spare = (
            f"; {cards - 1} more GPUs are idle (--launch --set run.processes={cards})" if cards > 1 else ""
        )
        return f"Training in one process (WORLD_SIZE=1) {where.removesuffix(' each')}{spare}"
    share = "each holding a share" if recipe.run.sharding == "fsdp" else "each holding the whole"
    return f"Training in {count} processes (WORLD_SIZE={started()}) {where}, {share} of the backbone"


def _prepared(
    dataset: Dataset,
    recipe: Recipe,
    backbone: Backbone,
    wording: Wording,
    folder: Path,
    watch: Watch,
    start: Start | None,
) -> Prepared:
    """The run's encoder and item features, kept in its folder.

    Those of the run it starts from, if any: its weights mean nothing over another encoder. For a data set
    that has grown since, these grow too.
    """
    if not (folder / RECORD).is_file():
        if start is not None and start.place is not None:
            watch.step(f"Reading {start.new_items} new items", 0, 0)
            save_prepared(grown(start, dataset, recipe, backbone, wording), folder)
            return load_prepared(folder)
        if start is not None:
            shared = start.run.folder
        else:
            _, shared = prepare(dataset, recipe, backbone, wording, watch.step, watch.encoder)
        for name in (WEIGHTS, RECORD):
            shutil.copyfile(shared / name, folder / name)
    return load_prepared(folder)


def choose_trained(objective: Objective, recipe: Recipe) -> None:
    """Which parameters train: all of the mode's, or the head alone."""
    model = objective.model
    head = model.branches[recipe.method]
    if recipe.trained == "head":
        objective.requires_grad_(False)
    head.requires_grad_(recipe.mode == "branch")
    if recipe.mode == "generate":
        model.space(recipe.method).freeze_scores()


def training_rows(
    dataset: Dataset, recipe: Recipe, encoder: SASRec
) -> CatalogueRows | BranchRows | GenerateRows:
    """The rows of a whole run; branch mode's harder negatives are what the encoder retrieves."""
    split = dataset.split(recipe.split)
    count = recipe.run.max_steps * recipe.optimizer.batch_size
    seed, gate_length = recipe.run.seed, recipe.encoder.max_length
    if recipe.mode == "catalogue":
        return CatalogueRows(split, recipe.rows, count, seed, gate_length)
    if recipe.mode == "generate":
        return GenerateRows(split, recipe.rows, count, seed, len(dataset.catalog), gate_length)
    router = TorchRouter(encoder, None)
    return BranchRows(
        split,
        recipe.rows,
        count,
        seed,
        len(dataset.catalog),
        lambda histories: router.route(histories).retrieved,
        gate_length,
    )


def validation_cases(dataset: Dataset, recipe: Recipe) -> tuple[Case, ...]:
    """Who is asked while a run goes on."""
    return dataset.split(recipe.split).validation[: recipe.run.validation_users]


class Validation:
    """HR@1 among 20 (and NDCG@10 of the same lists) on validation users, through the ranker.

    In generate mode, where nothing is ranked behind the answer: ValidRatio in place of NDCG@10.
    """

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        prepared: Prepared,
        model: RankingModel,
        wording: Wording,
        reading: GateReading,
    ) -> None:
        self.cases = validation_cases(dataset, recipe)
        self.candidates = draw_candidates(dataset, self.cases)
        self.recipe, self.model, self.prepared = recipe, model, prepared
        self.ranker = Ranker(model, wording, recipe.rows.history_length, prepared.title_prior)
        self.reading = reading

    def __call__(self) -> dict[str, float]:
        """{"hr1", "ndcg10"} or {"hr1", "valid_ratio"} at the model's present weights."""
        router = TorchRouter(self.prepared.encoder, self.model.gate_of(self.recipe.method))
        routing = route_cases(router, self.cases)
        users, histories = [case.user for case in self.cases], [case.history for case in self.cases]
        gate = self.reading.mixtures(router.gate, routing, users, histories)
        if self.recipe.mode == "generate":
            answers = generate_answers(
                self.ranker, routing, self.cases, self.candidates, self.recipe.method, gate
            )
            hits = answer_ranks(answers, self.cases, self.candidates)
            return {"hr1": hit_rate_at_1(hits), "valid_ratio": answers.valid_ratio}
        scores = ask(
            self.ranker, routing, self.cases, self.recipe.method, self.recipe.mode, self.candidates, gate
        )
        scores = beside_encoder(scores, routing.scores, self.recipe.model.residual, self.candidates)
        ranks = sampled_ranks(scores, self.cases, self.candidates)
        return {"hr1": hit_rate_at_1(ranks), "ndcg10": ndcg_at(ranks, 10)}


def _finish(
    trainer: RankingTrainer,
    recipe: Recipe,
    folder: Path,
    model: RankingModel,
    objective: Objective,
    dataset_sha256: str,
    seconds: float,
    done_before: int,
) -> dict[str, Any]:
    """Lay the best weights in, write the adapter as PEFT does, and sum the run up."""
    if (folder / BEST).is_dir():
        load_trainable(objective, folder / BEST)
    model.decoder.save_pretrained(folder / ADAPTER, safe_serialization=True)  # type: ignore[operator]
    name = recipe.method
    tensors = {f"space.{k}": v for k, v in model.spaces[name].state_dict().items()}
    tensors |= {f"branch.{k}": v for k, v in model.branches[name].state_dict().items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, folder / SPACE)
    counts = count_parameters(model.decoder, name)
    evaluations = [e for e in trainer.state.log_history if "eval_hr1" in e]
    logged = [e for e in trainer.state.log_history if "accuracy" in e]
    summary: dict[str, Any] = {
        "method": name,
        "control": recipe.control,
        "mode": recipe.mode,
        "split": recipe.split,
        "dataset_sha256": dataset_sha256,
        "steps": trainer.state.global_step,
        "processes": trainer.team.count,
        "micro_batch": trainer.micro_batch,
        "best_step": trainer.state.best_global_step,
        "best_validation_hr1": trainer.state.best_metric,
        "validation_users": len(trainer.validate.cases) if isinstance(trainer.validate, Validation) else None,
        "training_seconds": round(_training_seconds(logged, recipe.optimizer.batch_size), 1),
        "seconds_this_session": round(seconds, 1),
        "steps_this_session": trainer.state.global_step - done_before,
        "alarms": [
            *(gate_alarms(logged[-1], recipe.control) if logged else []),
            *(
                overfitting_alarm(trainer.state.best_metric, evaluations[-1]["eval_hr1"])
                if evaluations
                else []
            ),
        ],
        "parameters": {"lora": counts.lora, "gate": counts.gate},
        "last_log": logged[-1] if logged else None,
        "validations": [{k: e[k] for k in VALIDATED if k in e} for e in evaluations],
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _training_seconds(logged: list[dict[str, Any]], batch_size: int) -> float:
    """Seconds of training steps over all sessions of a run, without validation, loading and lost steps."""
    total, last = 0.0, 0
    for entry in logged:
        total += (entry["step"] - last) * batch_size / entry["rows_per_second"]
        last = entry["step"]
    return total
