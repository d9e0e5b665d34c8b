"""Runs in, measured bundle out: what `ilora bundle` does."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from core.data.registry import load_dataset
from exports.bundle import load_bundle
from exports.bundle_from_runs import bundle_from_runs
from exports.bundle_info import Adapter, BundleInfo, MetricRow
from exports.bundle_writer import update_bundle
from exports.measure import Chosen, Measured, Step, measure

PAPER_DRAWS = 5
"""PROTOCOL: candidate draws per user on the small published split."""


def build_bundle(
    path: Path,
    runs: Mapping[Adapter, Path],
    paper_runs: Mapping[Adapter, Path],
    head_runs: Mapping[Adapter, Path],
    created_by: str,
    machine: str,
    step: Step = lambda what, done, total: None,
    small: bool = False,
) -> BundleInfo:
    """A bundle from finished runs, measured as it will be served, with its numbers in its card.

    Args:
        path: the bundle's folder.
        runs: the adapters that are bundled (trained on `loo`).
        paper_runs: runs of the same recipe on the published split, only to be measured; may be empty.
        head_runs: runs that trained the second stage's heads on `runs`; may be empty.
        created_by: the command that reproduces the bundle.
        machine: where it was trained, in words.
        small: see `exports.bundle_writer.save_bundle`.
    """
    info = bundle_from_runs(path, runs, created_by, machine=machine, heads=head_runs, small=small)
    measured = _measure(path, info, next(iter(info.metrics.training.values())).recipe["split"], 1, step)
    rows: list[MetricRow] = list(measured.rows)
    pairs = list(measured.pairs)
    if paper_runs:
        with tempfile.TemporaryDirectory() as temporary:
            paper = Path(temporary) / "paper"
            paper_info = bundle_from_runs(paper, paper_runs, created_by, machine=machine, small=small)
            steps = next(iter(paper_info.metrics.training.values())).steps
            note = f"adapters of a run of their own on this split, {steps:,} steps"
            on_paper = _measure(paper, paper_info, "paper", PAPER_DRAWS, step)
            pairs += on_paper.pairs
            rows += [
                row.model_copy(update={"note": "; ".join(part for part in (row.note, note) if part)})
                if "LoRA" in row.method
                else row
                for row in on_paper.rows
            ]
    adapters = {
        name: adapter.model_copy(
            update={
                "blend_weight": measured.chosen[name].blend_weight,
                "second_stage": "branch" if measured.chosen[name].second_stage_helps else "catalogue",
                "new_item_stretch": measured.chosen[name].new_item_stretch,
            }
        )
        for name, adapter in info.adapters.items()
    }
    weaknesses = tuple(_second_stage_sentence(name, choice) for name, choice in measured.chosen.items())
    metrics = info.metrics.model_copy(
        update={"rows": tuple(rows), "pairs": tuple(pairs), "weaknesses": weaknesses}
    )
    return update_bundle(
        path,
        adapters={name: a.model_dump() for name, a in adapters.items()},
        metrics=metrics.model_dump(),
    )


def _measure(path: Path, info: BundleInfo, split: str, draws: int, step: Step) -> Measured:
    recommender = load_bundle(path)
    return measure(recommender, load_dataset(info.dataset.name), split, tuple(info.adapters), draws, step)


def _second_stage_sentence(adapter: Adapter, choice: Chosen) -> str:
    if choice.second_ndcg is None:
        return f"{adapter}: the second stage (branch mode) is untrained and changes no order."
    verdict = "kept" if choice.second_stage_helps else "not used"
    return (
        f"{adapter}: on validation users the second stage (branch mode) takes full-catalogue NDCG@10 from "
        f"{choice.first_ndcg:.4f} to {choice.second_ndcg:.4f}: {verdict}."
    )
