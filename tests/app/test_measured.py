"""The page claims about the evaluation what the numbers carry, and not more."""

from app.web.measured import evaluation, verdict
from exports.bundle_info import MetricRow


def _row(method: str, hr1: float, half: float, split: str = "loo") -> MetricRow:
    return MetricRow(method=method, split=split, n=943, hr1=hr1, hr1_low=hr1 - half, hr1_high=hr1 + half)


def test_overlapping_intervals_are_no_difference() -> None:
    assert "no difference that this many people (943) can show" in verdict(
        [_row("iLoRA", 0.45, 0.03), _row("LoRA", 0.44, 0.03)]
    )


def test_the_better_one_is_named_whichever_it_is() -> None:
    assert "iLoRA is right more often than LoRA" in verdict(
        [_row("ilora", 0.55, 0.03), _row("lora", 0.44, 0.03)]
    )
    assert "LoRA is right more often than iLoRA" in verdict(
        [_row("ilora", 0.35, 0.03), _row("lora", 0.44, 0.03)]
    )


def test_nothing_is_said_about_what_was_not_measured() -> None:
    assert verdict([_row("ilora", 0.45, 0.03)]) == ""
    assert "carries no evaluation" in evaluation([])
    assert "NDCG" not in evaluation([_row("ilora", 0.45, 0.03)])


def test_the_split_that_decides_comes_first() -> None:
    html = evaluation([_row("ilora", 0.4, 0.1, "paper"), _row("ilora", 0.4, 0.03, "loo")])
    assert html.index("loo") < html.index("paper")


def test_the_rows_that_lists_are_made_by_get_a_sentence_of_their_own() -> None:
    rows = [_row("iLoRA", 0.55, 0.01), _row("LoRA", 0.44, 0.01)]
    blended = [_row("iLoRA + SASRec", 0.52, 0.03), _row("LoRA + SASRec", 0.51, 0.03)]
    assert "iLoRA is right more often" in verdict([*rows, *blended])
    assert "no difference" in verdict([*rows, *blended], "SASRec")
    assert "with SASRec’s own scores mixed in" in evaluation([*rows, *blended])
    assert "mixed in" not in evaluation(rows)
