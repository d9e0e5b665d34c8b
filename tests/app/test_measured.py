"""The page claims about the evaluation what the numbers carry, and not more."""

from collections.abc import Sequence

from app.web import measured
from app.web.measured import verdict
from core.domain import MOVIES
from exports.bundle_info import MetricRow, Metrics, PairedRow


def _row(method: str, hr1: float, half: float, split: str = "loo") -> MetricRow:
    return MetricRow(method=method, split=split, n=943, hr1=hr1, hr1_low=hr1 - half, hr1_high=hr1 + half)


def _metrics(*rows: MetricRow, pairs: Sequence[PairedRow] = ()) -> Metrics:
    return Metrics(rows=rows, pairs=tuple(pairs))


def evaluation(metrics: Metrics) -> str:
    return measured.evaluation(metrics, MOVIES)


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
    assert "carries no evaluation" in evaluation(Metrics())
    assert "NDCG" not in evaluation(_metrics(_row("ilora", 0.45, 0.03)))


def test_the_split_that_decides_comes_first() -> None:
    html = evaluation(_metrics(_row("ilora", 0.4, 0.1, "paper"), _row("ilora", 0.4, 0.03, "loo")))
    assert html.index("loo") < html.index("paper")


def test_the_rows_that_lists_are_made_by_get_a_sentence_of_their_own() -> None:
    rows = [_row("iLoRA", 0.55, 0.01), _row("LoRA", 0.44, 0.01)]
    blended = [_row("iLoRA + SASRec", 0.52, 0.03), _row("LoRA + SASRec", 0.51, 0.03)]
    assert "iLoRA is right more often" in verdict([*rows, *blended])
    assert "no difference" in verdict([*rows, *blended], "SASRec")
    assert "with SASRec’s own scores mixed in" in evaluation(_metrics(*rows, *blended))
    assert "mixed in" not in evaluation(_metrics(*rows))


def _pair(difference: float, half: float, p: float, winner: str | None = None) -> PairedRow:
    return PairedRow(
        a="LoRA", b="iLoRA", split="loo", n=943, difference=difference, low=difference - half,
        high=difference + half, p=p, detectable=0.03, winner=winner,
    )  # fmt: skip


def test_where_people_were_compared_one_by_one_that_decides() -> None:
    rows = [_row("iLoRA", 0.46, 0.03), _row("LoRA", 0.44, 0.03)]  # intervals that overlap
    told = verdict(rows, pairs=[_pair(0.023, 0.018, 0.02, "iLoRA")])
    assert "difference +2.3 points [+0.5, +4.1], p = 0.020, over 943 people: iLoRA is right more" in told
    unsure = verdict(rows, pairs=[_pair(0.01, 0.02, 0.4)])
    assert "no difference that this many people can show (the smallest would be 3.0 points)" in unsure
    assert "p = 0.400" in evaluation(_metrics(*rows, pairs=[_pair(0.01, 0.02, 0.4)]))
