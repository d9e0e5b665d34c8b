"""LoRA, iLoRA and controls on users whose hits are known: who wins, by how much, what is not decided."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import RunError
from core.evaluation.run_comparison import RunComparison, compare_runs
from core.evaluation.summary import Row, summarise
from core.evaluation.where_gains import expert_use, gains_by_bucket
from tests.core.evaluation.toy import USERS, results_of, toy_questions

pytestmark = pytest.mark.usefixtures("own_candidates")

ILORA, LORA = {"iLoRA": 2}, {"LoRA": 3}
Make = Callable[..., list[Row]]


@pytest.fixture
def rows_of(tmp_path: Path) -> Callable[..., list[Row]]:
    """Rows of methods that hit every m-th user: label -> m, seed by seed."""
    asked = toy_questions()

    def make(every: dict[str, int], seed: int = 1, users: int | None = None, shift: int = 0) -> list[Row]:
        return [
            summarise(
                results_of(
                    asked, tmp_path, label, lambda i, m=m: (i + shift) % m == 0, seed, GATES, users=users
                )
            )
            for label, m in every.items()
        ]

    return make


GATES = np.tile(np.array([[0.7, 0.1, 0.1, 0.1], [0.25] * 4], dtype=np.float32), (USERS // 2, 1))


def test_the_difference_is_that_of_the_hits(rows_of: Make) -> None:
    comparison: RunComparison = compare_runs(rows_of(LORA | ILORA), "uniform")
    pooled = comparison.main.pooled
    assert (pooled.a, pooled.b, pooled.n) == ("LoRA", "iLoRA", USERS)
    assert pooled.rate_a.mean == pytest.approx(1 / 3) and pooled.rate_b.mean == pytest.approx(1 / 2)
    assert pooled.difference.mean == pytest.approx(1 / 6)
    # multiples of 2 and not 3, multiples of 3 and not 2
    assert (pooled.mcnemar.only_b, pooled.mcnemar.only_a) == (50, 25)
    assert comparison.main.full is not None
    assert comparison.main.full.mean == pytest.approx(1 / 6)  # hits are first everywhere, misses last
    assert comparison.main.beyond_seeds is None


def test_without_controls_nothing_counts_as_better(rows_of: Make) -> None:
    comparison = compare_runs(rows_of({"LoRA": 50, "iLoRA": 2}), "uniform")
    assert comparison.main.pooled.winner == "iLoRA"
    assert (
        not comparison.ruling.better and "no comparison with static and shuffled" in comparison.ruling.reason
    )


def test_ilora_counts_as_better_when_it_beats_lora_and_both_gates(rows_of: Make) -> None:
    every = {"LoRA": 50, "Static gate": 50, "Random gate": 2, "Shuffled gate": 30, "iLoRA": 2}
    comparison = compare_runs(rows_of(every), "uniform")
    assert comparison.ruling.better
    assert list(comparison.against) == ["LoRA", "Static gate", "Random gate", "Shuffled gate"]


def test_ilora_does_not_count_as_better_when_a_shuffled_gate_does_as_well(rows_of: Make) -> None:
    every = {"LoRA": 50, "Static gate": 50, "Shuffled gate": 2, "iLoRA": 2}
    comparison = compare_runs(rows_of(every), "uniform")
    assert not comparison.ruling.better and "Shuffled gate" in comparison.ruling.reason


def test_seeds_are_averaged_per_user_and_shown_one_by_one(rows_of: Make) -> None:
    rows = [*rows_of(LORA | ILORA), *rows_of({"LoRA": 3, "iLoRA": 3}, seed=2, shift=1)]
    comparison = compare_runs(rows, "uniform")
    main = comparison.main
    assert list(main.by_seed) == [1, 2] and main.pooled.n == USERS
    assert main.by_seed[1].difference.mean == pytest.approx(1 / 6)
    assert main.by_seed[2].difference.mean == 0
    assert main.pooled.difference.mean == pytest.approx(1 / 12)
    assert main.beyond_seeds is not None and main.beyond_seeds.low <= 1 / 12 <= main.beyond_seeds.high
    assert comparison.spread["iLoRA"].seeds == 2
    assert comparison.spread["iLoRA"].mean == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_a_seed_without_a_partner_is_left_out_and_said(rows_of: Make) -> None:
    rows = [*rows_of(LORA | ILORA), *rows_of({"iLoRA": 2}, seed=2)]
    comparison = compare_runs(rows, "uniform")
    assert list(comparison.main.by_seed) == [1]
    assert comparison.notes == ("iLoRA, seed 2: no partner among the runs of LoRA, left out against it.",)


def test_what_cannot_be_compared_is_refused_in_one_sentence(rows_of: Make) -> None:
    with pytest.raises(
        RunError, match="at least one LoRA and one iLoRA run of the same mode; these are: LoRA"
    ):
        compare_runs(rows_of({"LoRA": 3, "iLoRA (branch)": 2, "Popularity": 9}), "uniform")
    with pytest.raises(RunError, match="LoRA has the seeds 1 and iLoRA 2"):
        compare_runs([*rows_of(LORA), *rows_of(ILORA, seed=2)], "uniform")
    few = rows_of(LORA, users=20)
    with pytest.raises(RunError, match="not asked about the same users"):
        compare_runs([*few, *rows_of(ILORA)], "uniform")
    with pytest.raises(RunError, match="both LoRA with seed 1"):
        compare_runs([*rows_of(LORA), *rows_of(LORA | ILORA)], "uniform")


def test_branch_runs_are_compared_when_they_alone_are_there(rows_of: Make) -> None:
    comparison = compare_runs(rows_of({"LoRA (branch)": 3, "iLoRA (branch)": 2}), "uniform")
    assert (comparison.judged, comparison.lora) == ("iLoRA (branch)", "LoRA (branch)")


def test_buckets_hold_every_user_once_and_their_gains_add_up(rows_of: Make) -> None:
    comparison = compare_runs(rows_of(LORA | ILORA), "uniform")
    a, b = comparison.runs_of("LoRA"), comparison.runs_of("iLoRA")
    for column in ("history_bucket", "popularity_decile", "density", "cluster"):
        gains = gains_by_bucket(a, b, column)
        assert sum(gain.difference.n for gain in gains) == USERS
        total = sum(gain.difference.n * gain.difference.mean for gain in gains)
        assert total == pytest.approx(USERS / 6)


def test_buckets_stand_in_an_order_that_people_expect(rows_of: Make) -> None:
    comparison = compare_runs(rows_of(LORA | ILORA), "uniform")
    a, b = comparison.runs_of("LoRA"), comparison.runs_of("iLoRA")
    table = b[1].files[0].table
    labels = ["dense", "sparse", "medium"] * (USERS // 3)
    changed = table.set_column(table.schema.get_field_index("density"), "density", [labels])
    told = {1: replace(b[1], files=(replace(b[1].files[0], table=changed),))}
    assert [gain.label for gain in gains_by_bucket(a, told, "density")] == ["sparse", "medium", "dense"]
    deciles = [gain.label for gain in gains_by_bucket(a, b, "popularity_decile")]
    assert deciles == sorted(deciles) and len(deciles) > 3


def test_gains_of_a_bucket_are_those_of_its_own_users(rows_of: Make) -> None:
    comparison = compare_runs(rows_of(LORA | ILORA), "uniform")
    odd, even = gains_by_bucket(comparison.runs_of("LoRA"), comparison.runs_of("iLoRA"), "cluster")
    # Even positions are cluster 1: iLoRA hits all of them, LoRA a third; odd ones iLoRA never.
    assert (odd.label, odd.b.mean, even.b.mean) == ("cluster 1", 1.0, 0.0)
    assert odd.difference.mean == pytest.approx(2 / 3) and even.difference.mean == pytest.approx(-1 / 3)


def test_expert_use_is_counted_from_the_mixtures(rows_of: Make) -> None:
    [row] = rows_of(ILORA)
    use = expert_use(row)
    assert use is not None
    assert use.shares == pytest.approx([0.475, 0.175, 0.175, 0.175])
    assert use.leads == (1.0, 0.0, 0.0, 0.0)  # of equal weights the first leads
    one = -(0.7 * np.log(0.7) + 0.3 * np.log(0.1)) / np.log(4)
    assert use.entropy == pytest.approx((one + 1) / 2, abs=1e-6)
    assert use.between[0] == pytest.approx(0.225, abs=1e-6)
    n, shares = use.clusters["cluster 2"]
    assert n == USERS // 2 and shares == pytest.approx([0.25] * 4)


def test_a_method_without_experts_has_no_use_of_them(tmp_path: Path) -> None:
    row = summarise(results_of(toy_questions(), tmp_path, "LoRA", lambda i: True))
    assert expert_use(row) is None
