"""The recommender on the product's own trained bundle: what it ranks, what it says, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.errors import DataError, UnknownItem
from core.recommendation import AdapterName, Recommendation
from core.recommender import RETRIEVED, Choices, Recommender
from exports.bundle import load_bundle
from tests.rounding import either, in_bf16

HISTORY = [
    "Toy Story (1995)",
    "Fargo (1996)",
    "Star Wars (1977)",
    "Twelve Monkeys (1995)",
    "Pulp Fiction (1994)",
]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return load_bundle()


@pytest.fixture(scope="module")
def done(recommender: Recommender) -> Recommendation:
    return recommender.recommend(HISTORY)


def choosing(recommender: Recommender, choices: Choices) -> Recommender:
    """The same recommender after other decisions on validation users."""
    return Recommender(
        recommender.catalog,
        recommender.router,
        recommender.ranker,
        recommender.popularity,
        {"ilora": choices, "lora": choices},
    )


def rising(recommender: Recommender) -> list[float]:
    """A mixture of weights 1, 2, ..., K, scaled to sum to 1."""
    weights = range(1, recommender.num_experts + 1)
    return [weight / sum(weights) for weight in weights]


def order(recommendation: Recommendation) -> list[int]:
    return [item.index for item in recommendation.items]


def test_a_list_is_ranked_and_its_probabilities_fall(done: Recommendation) -> None:
    assert [item.rank for item in done.items] == list(range(1, 11))
    probabilities = [item.probability for item in done.items]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(set(order(done))) == 10
    assert done.stage == "catalogue" and done.adapter == "ilora"


def test_every_line_names_its_item_as_the_catalogue_does(
    recommender: Recommender, done: Recommendation
) -> None:
    for line in done.items:
        item = recommender.catalog[line.index]
        assert (line.item_id, line.title) == (item.item_id, item.title)


@pytest.mark.parametrize("adapter", ["ilora", "lora"])
def test_probabilities_of_all_that_was_ranked_sum_to_one(
    recommender: Recommender, adapter: AdapterName
) -> None:
    everything = recommender.recommend(HISTORY, k=2000, adapter=adapter)
    assert everything.ranked == len(everything.items) == len(recommender.catalog) - len(HISTORY)
    assert sum(item.probability for item in everything.items) == pytest.approx(1)
    few = recommender.recommend(HISTORY, k=3, adapter=adapter, candidates=["1", "2", "3", "4"])
    assert few.ranked == 3  # "1" is Toy Story, seen
    assert sum(item.probability for item in few.items) == pytest.approx(1)


def test_what_was_seen_is_not_recommended_unless_asked(recommender: Recommender) -> None:
    seen = set(recommender.catalog.resolve(HISTORY))
    assert not seen & set(order(recommender.recommend(HISTORY, k=2000)))
    assert seen < set(order(recommender.recommend(HISTORY, k=2000, exclude_seen=False)))


def test_asking_twice_gives_the_same_list(recommender: Recommender, done: Recommendation) -> None:
    recommender.recommend(HISTORY[:2], adapter="lora")
    recommender.recommend(HISTORY[:2], adapter="base")
    assert recommender.recommend(HISTORY).items == done.items


def test_titles_ids_and_indices_mean_the_same(recommender: Recommender, done: Recommendation) -> None:
    indices = recommender.catalog.resolve(HISTORY)
    ids = [recommender.catalog[index].item_id for index in indices]
    assert recommender.recommend(indices).items == done.items
    assert recommender.recommend(ids).items == done.items
    assert recommender.recommend(np.array(indices)).items == done.items  # type: ignore[arg-type]


def test_the_order_of_the_history_matters(recommender: Recommender, done: Recommendation) -> None:
    assert recommender.recommend(HISTORY[::-1]).items != done.items


def test_a_repeated_item_is_kept_once_and_said(recommender: Recommender, done: Recommendation) -> None:
    repeated = recommender.recommend([*HISTORY, "1"])
    assert repeated.items == done.items
    assert any(note.startswith("Kept once: Toy Story (1995)") for note in repeated.notes)


def test_no_history_gives_the_most_watched_titles(recommender: Recommender) -> None:
    popular = recommender.recommend([], k=5)
    assert popular.stage == "popular" and popular.gate == ()
    counts = recommender.popularity[order(popular)]
    assert counts.tolist() == sorted(recommender.popularity.tolist(), reverse=True)[:5]
    assert any("most watched" in note for note in popular.notes)


def test_one_item_works_and_says_that_it_says_little(recommender: Recommender) -> None:
    alone = recommender.recommend(["Fargo (1996)"])
    assert alone.stage == "catalogue" and len(alone.items) == 10
    assert any("One item says little" in note for note in alone.notes)


def test_a_long_history_is_read_from_its_end_and_said(recommender: Recommender) -> None:
    long, candidates = list(range(100, 200)), list(range(300, 320))
    limit = recommender.history_length
    read = recommender.recommend(long, candidates=candidates)
    assert any(f"reads the last {limit}" in note for note in read.notes)
    # Both readers, language model and router, end before the first forty items.
    assert recommender.recommend(long[40:], candidates=candidates).items == read.items
    assert recommender.recommend(long[:-40], candidates=candidates).items != read.items


def test_the_lists_scores_are_the_language_models_and_the_routers(recommender: Recommender) -> None:
    weight = 0.7
    blended = choosing(recommender, Choices(blend_weight=weight)).recommend(HISTORY, k=2000)
    known = recommender.catalog.resolve(HISTORY)
    routing = recommender.router.route([known])
    language_model = recommender.ranker.score(routing, [known])[0].double().numpy()
    collaborative = _log_softmax(routing.scores[0].astype(np.float64))
    total = (_log_softmax(language_model) + weight * collaborative) / (1 + weight)
    total[known] = -np.inf
    expected = np.exp(_log_softmax(total))
    found = {item.index: item.probability for item in blended.items}
    assert max(abs(found[index] - expected[index]) for index in found) <= 1e-6
    assert order(blended)[:10] == np.argsort(-total)[:10].tolist()
    assert order(blended)[:50] != order(choosing(recommender, Choices()).recommend(HISTORY, k=2000))[:50]


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    finite = scores[np.isfinite(scores)]
    return scores - finite.max() - np.log(np.exp(finite - finite.max()).sum())


def test_candidates_are_ranked_as_they_stand_in_the_whole_catalogue(recommender: Recommender) -> None:
    candidates = list(range(400, 430))
    whole = order(recommender.recommend(HISTORY, k=2000))
    few = order(recommender.recommend(HISTORY, k=30, candidates=candidates))
    assert few == [index for index in whole if index in candidates]
    assert few == order(recommender.recommend(HISTORY, k=30, candidates=candidates[::-1]))


def test_seen_candidates_are_left_out_and_said(recommender: Recommender) -> None:
    few = recommender.recommend(HISTORY, candidates=["Toy Story (1995)", "Heat (1995)"])
    assert [item.title for item in few.items] == ["Heat (1995)"]
    assert any("1 of the candidates" in note for note in few.notes)


def test_the_routers_own_mixture_changes_nothing_and_another_does(
    recommender: Recommender, done: Recommendation
) -> None:
    assert sum(done.gate) == pytest.approx(1) and len(done.gate) == recommender.num_experts
    same = recommender.recommend(HISTORY, gate=done.gate)
    assert [item.score for item in same.items] == pytest.approx([item.score for item in done.items], abs=0.05)
    mixture = rising(recommender)
    other = recommender.recommend(HISTORY, gate=mixture)
    assert other.gate == pytest.approx(mixture)
    assert [item.score for item in other.items] != [item.score for item in done.items]


def test_a_given_mixture_is_scaled_to_sum_to_one(recommender: Recommender) -> None:
    mixture = rising(recommender)
    scaled = recommender.recommend(HISTORY, gate=[10 * weight for weight in mixture])
    assert scaled.gate == pytest.approx(mixture)
    assert scaled.items == recommender.recommend(HISTORY, gate=mixture).items


@pytest.mark.parametrize("first", [0.0, -0.1, float("nan"), float("inf")])
def test_a_mixture_without_meaning_is_refused(recommender: Recommender, first: float) -> None:
    rest = 0.0 if first == 0 else 1.0
    gate = [first, *[rest] * (recommender.num_experts - 1)]
    with pytest.raises(DataError, match="Gate weights must be numbers of 0 and more, and not all 0"):
        recommender.recommend(HISTORY, gate=gate)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_mixture_of_another_number_of_experts_is_refused(recommender: Recommender, more: int) -> None:
    count = recommender.num_experts + more
    with pytest.raises(DataError, match=f"needs {recommender.num_experts} weights.*{count} were given"):
        recommender.recommend(HISTORY, gate=[1.0] * count)


@pytest.mark.parametrize("adapter", ["lora", "base"])
def test_a_mixture_for_an_adapter_without_experts_is_refused(
    recommender: Recommender, adapter: AdapterName
) -> None:
    with pytest.raises(DataError, match="has no experts to mix"):
        recommender.recommend(HISTORY, adapter=adapter, gate=rising(recommender))


def test_lora_ranks_the_catalogue_without_experts(recommender: Recommender, done: Recommendation) -> None:
    plain = recommender.recommend(HISTORY, adapter="lora")
    assert plain.stage == "catalogue" and plain.gate == ()
    assert [item.score for item in plain.items] != [item.score for item in done.items]


def test_the_untrained_model_orders_retrieved_titles_and_says_so(recommender: Recommender) -> None:
    base = recommender.recommend(HISTORY, adapter="base")
    known = recommender.catalog.resolve(HISTORY)
    scores = recommender.router.route([known]).scores[0]
    scores[known] = -np.inf
    assert base.stage == "title" and base.ranked == RETRIEVED and base.gate == ()
    assert set(order(base)) <= set(np.argsort(-scores)[:RETRIEVED].tolist())
    assert any("untrained language model" in note for note in base.notes)


def test_the_untrained_model_orders_named_candidates(recommender: Recommender) -> None:
    base = recommender.recommend(HISTORY, adapter="base", candidates=[10, 11, 12])
    assert sorted(order(base)) == [10, 11, 12] and base.ranked == 3


def test_the_second_stage_orders_the_first_ones_best_20(recommender: Recommender) -> None:
    willing = choosing(recommender, Choices(rerank=True))
    first, second = willing.recommend(HISTORY, k=20), willing.recommend(HISTORY, k=20, rerank=True)
    assert (first.stage, second.stage) == ("catalogue", "branch")
    assert sorted(order(second)) == sorted(order(first)) and second.ranked == RETRIEVED
    assert sum(item.probability for item in second.items) == pytest.approx(1)


def test_a_second_stage_that_validation_rejected_is_not_used_and_that_is_said(
    recommender: Recommender,
) -> None:
    unwilling = choosing(recommender, Choices(rerank=False))
    kept = unwilling.recommend(HISTORY, rerank=True)
    assert kept.stage == "catalogue" and kept.items == unwilling.recommend(HISTORY).items
    assert any("Not re-ranked" in note for note in kept.notes)


def test_a_misspelt_title_comes_back_with_suggestions(recommender: Recommender) -> None:
    with pytest.raises(UnknownItem) as caught:
        recommender.recommend(["Toy Storry 1995"])
    assert "Toy Story (1995)" in caught.value.suggestions


@pytest.mark.parametrize("index", [-1, 1682])
def test_an_index_outside_the_catalogue_is_unknown(recommender: Recommender, index: int) -> None:
    with pytest.raises(UnknownItem):
        recommender.recommend([index])


def test_requests_without_meaning_are_refused(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="k is 0"):
        recommender.recommend(HISTORY, k=0)
    with pytest.raises(DataError, match="there is: base, lora, ilora"):
        recommender.recommend(HISTORY, adapter="qlora")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="No item is left to rank"):
        recommender.recommend(HISTORY, candidates=HISTORY)
    with pytest.raises(DataError, match="No item is left to rank"):
        recommender.recommend(HISTORY, candidates=[])
    with pytest.raises(DataError, match="not one text"):
        recommender.recommend("Fargo (1996)")
    with pytest.raises(DataError, match="at most 100"):
        recommender.recommend(HISTORY, adapter="base", candidates=list(range(200, 301)))


def test_a_list_longer_than_the_candidates_says_so(recommender: Recommender) -> None:
    assert any("shorter than 10" in note for note in recommender.recommend(HISTORY, candidates=[10]).notes)


def test_timings_name_every_step_and_add_up(done: Recommendation) -> None:
    steps = dict(done.timings_ms)
    total = steps.pop("total")
    assert set(steps) == {"routing", "retrieval", "ranking"}
    assert all(ms > 0 for ms in steps.values()) and total >= sum(steps.values())


def test_threads_that_ask_different_adapters_get_their_own_answers(recommender: Recommender) -> None:
    wanted: list[AdapterName] = ["ilora", "lora", "base"]
    candidates = list(range(500, 505))
    alone = {a: recommender.recommend(HISTORY, adapter=a, candidates=candidates).items for a in wanted}

    def ask(adapter: AdapterName) -> bool:
        return recommender.recommend(HISTORY, adapter=adapter, candidates=candidates).items == alone[adapter]

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, wanted * 4))


def test_a_comparison_orders_the_same_candidates_three_ways(recommender: Recommender) -> None:
    compared = recommender.compare(HISTORY)
    assert list(compared.lists) == ["base", "lora", "ilora"] and len(compared.candidates) == RETRIEVED
    # One pass for all sums in another order than a pass for each; titles add up some ten words.
    coarse = in_bf16(recommender)
    for adapter, ranked in compared.lists.items():
        rounding = either(coarse, fp32=1e-3, bf16=1.0 if adapter == "base" else 0.1)
        assert sorted(order(ranked)) == list(compared.candidates) and ranked.ranked == RETRIEVED
        alone = recommender.recommend(HISTORY, k=20, adapter=adapter, candidates=compared.candidates)
        found = {item.index: item.score for item in alone.items}
        assert coarse or order(alone) == order(ranked)  # else neighbours may change places
        assert list(map(found.get, order(ranked))) == pytest.approx(
            [item.score for item in ranked.items], abs=rounding
        )


def test_named_candidates_of_a_comparison_are_all_ranked(recommender: Recommender) -> None:
    compared = recommender.compare(
        HISTORY, candidates=["Toy Story (1995)", "Heat (1995)", "Titanic (1997)"], k=3
    )
    assert len(compared.candidates) == 3
    assert all("Toy Story (1995)" in [item.title for item in r.items] for r in compared.lists.values())


def test_a_comparison_without_history_is_by_popularity(recommender: Recommender) -> None:
    compared = recommender.compare([], candidates=[0, 1, 2])
    assert {ranked.stage for ranked in compared.lists.values()} == {"popular"}
    assert len({tuple(order(ranked)) for ranked in compared.lists.values()}) == 1
