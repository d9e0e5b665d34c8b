"""The model card shows what was measured, and only that."""

from typing import Any

import numpy as np
import pytest

from exports.bundle_info import BundleInfo
from exports.measure import paired_row
from exports.model_card import render_card


def info(**metrics: Any) -> BundleInfo:
    return BundleInfo.model_validate(
        {
            "name": "movielens",
            "created_by": "make bundle",
            "dataset": {"name": "movielens", "sha256": "a" * 64},
            "backbone": {"asset": "small", "version": "0.1", "sha256": "b" * 64, "quantization": "nf4"},
            "adapters": {
                "ilora": {
                    "rank": 8,
                    "num_experts": 4,
                    "lora_alpha": 32,
                    "blend_weight": 0.25,
                    "trainable_parameters": {"lora": 2442240, "gate": 260},
                },
                "lora": {"rank": 8, "num_experts": 1, "lora_alpha": 32},
            },
            "encoder_width": 64,
            "history_length": 20,
            "licences": {"code": "Apache-2.0", "data": "research use only"},
            "metrics": metrics,
        }
    )


def row(method: str, low: float, rate: float, high: float, split: str = "loo", **more: Any) -> dict[str, Any]:
    return {
        "method": method,
        "split": split,
        "n": 1943,
        "hr1": rate,
        "hr1_low": low,
        "hr1_high": high,
        **more,
    }


def test_every_row_has_its_n_interval_and_both_metrics() -> None:
    card = render_card(info(rows=[row("SASRec", 0.459, 0.491, 0.523, ndcg10=0.0871)]))
    assert "| method | split | n | HR@1 among 20 [95 %] | NDCG@10, full catalogue |" in card
    assert "| SASRec | loo | 1,943 | 0.491 [0.459, 0.523] | 0.087 |" in card


def test_what_was_not_measured_is_not_shown() -> None:
    assert "Results" not in render_card(info()) and "Training" not in render_card(info())
    assert "What is weak" not in render_card(info())
    card = render_card(info(rows=[row("popularity", 0.1, 0.2, 0.3)]))
    assert "NDCG" not in card and "SASRec" not in card and "HR@1 among 20" in card


def test_overlapping_intervals_are_called_indistinguishable() -> None:
    card = render_card(info(rows=[row("LoRA", 0.41, 0.44, 0.47), row("iLoRA", 0.43, 0.46, 0.49)]))
    assert "- On `loo` the intervals of iLoRA and LoRA overlap: 1,943 people are too few" in card


def test_a_method_that_loses_is_shown_losing() -> None:
    card = render_card(info(rows=[row("iLoRA", 0.41, 0.44, 0.47), row("SASRec", 0.46, 0.49, 0.52)]))
    assert "- On `loo` iLoRA does not rank better than SASRec (n = 1,943)." in card
    served = [row("iLoRA + Stack", 0.46, 0.49, 0.52), row("Stack", 0.47, 0.50, 0.53)]
    assert "- On `loo` iLoRA + Stack does not rank better than Stack (n = 1,943)." in render_card(
        info(rows=served)
    )


def test_a_clear_win_is_no_weakness_and_splits_are_not_mixed() -> None:
    rows = [
        row("LoRA", 0.1, 0.2, 0.3),
        row("iLoRA", 0.4, 0.5, 0.6),
        row("SASRec", 0.5, 0.6, 0.7, split="paper"),
    ]
    assert "What is weak" not in render_card(info(rows=rows))


def test_weaknesses_notes_and_training_come_from_the_metrics() -> None:
    recipe = {"mode": "catalogue", "split": "loo", "optimizer": {"batch_size": 32}, "run": {"seed": 7}}
    card = render_card(
        info(
            rows=[row("iLoRA", 0.4, 0.5, 0.6, note="weight 0.25 from validation")],
            training={"ilora": {"recipe": recipe, "steps": 1800, "best_step": 1500, "minutes": 31.4}},
            weaknesses=["New titles were not tested."],
        )
    )
    assert "- iLoRA, loo: weight 0.25 from validation" in card
    assert "| ilora | catalogue | loo | 32 | 7 | 1,800 | 1,500 | 31 |  |" in card
    assert "- New titles were not tested." in card


def test_parameters_terms_and_the_command_are_there() -> None:
    card = render_card(info())
    assert "| ilora | 8 | 4 | 32 | 0.25 | catalogue | lora 2,442,240, gate 260 |" in card
    assert "- **data**: research use only" in card
    assert "```\nmake bundle\n```" in card
    assert "4 LoRA experts" in card


def test_a_title_with_a_bar_cannot_break_the_table() -> None:
    assert "| a\\|b |" in render_card(info(rows=[row("a|b", 0.1, 0.2, 0.3)]))


def test_people_compared_one_by_one_stand_in_the_card_with_what_they_show() -> None:
    """From hits to the sentence: 30 people only iLoRA serves, 5 only LoRA, 65 who make no difference."""
    hits = {"LoRA": np.array([0] * 30 + [1] * 5 + [1] * 65)[:, None] == 1}
    hits["iLoRA"] = np.array([1] * 30 + [0] * 5 + [1] * 65)[:, None] == 1
    pair = paired_row(hits, "LoRA", "iLoRA", "loo")
    assert (pair.n, pair.winner) == (100, "iLoRA") and pair.difference == pytest.approx(0.25)
    assert pair.low <= 0.25 <= pair.high and pair.p == pytest.approx(2.22e-5, rel=0.01)
    card = render_card(info(rows=[row("LoRA", 0.6, 0.7, 0.8)], pairs=[pair.model_dump()]))
    assert "- iLoRA against LoRA, loo, person by person: HR@1 +0.250 [" in card
    assert "n = 100: iLoRA is better." in card
    same = paired_row({"a": hits["LoRA"], "b": hits["LoRA"]}, "a", "b", "loo")
    assert same.winner is None and same.p == 1
    assert "no difference that this many people can show" in render_card(
        info(rows=[row("LoRA", 0.6, 0.7, 0.8)], pairs=[same.model_dump()])
    )
