"""Made-up people are what they are said to be, and their best answer is the best."""

import numpy as np
import pytest

from core.data.candidates import draw_candidates
from core.data.leakage import check_no_leak
from core.data.registry import domain_named, load_dataset
from core.data.ring import COLOURS, PLACES, SHARED, STEPS, World, expected_hits
from core.errors import DataError
from core.evaluation.asking import targets_of


@pytest.fixture(scope="module", params=["0", "50", "100", "50-shown", "100-shown"])
def world(request: pytest.FixtureRequest) -> World:
    found = World.named(f"ring-{request.param}")
    assert found is not None
    return found


def test_a_world_is_a_data_set_like_any_other(world: World) -> None:
    dataset = load_dataset(world.name)
    check_no_leak(dataset)
    assert dataset.sha256 == world.dataset().sha256 and dataset.domain == domain_named(world.name)
    assert len(dataset.users) == 800 and dataset.num_items == PLACES * world.per_place
    assert all(len(set(sequence)) == len(sequence) >= 16 for sequence in dataset.sequences)


def test_other_names_are_no_worlds() -> None:
    others = ("ring-101", "ring-", "ring-5x", "ring-50-hidden", "movielens")
    assert [World.named(name) for name in others] == [None] * 5
    with pytest.raises(DataError, match="no data set"):
        load_dataset("ring-101")


def test_steps_are_those_of_the_types_as_often_as_people_differ(world: World) -> None:
    own = shared = total = 0
    for person, sequence in enumerate(world.dataset().sequences):
        places = np.array(sequence) // world.per_place
        moves = (places[1:] - places[:-1]) % PLACES
        own += int((moves == STEPS[world.types[person]] % PLACES).sum())
        shared += int((moves == SHARED).sum())
        total += len(moves)
    h = world.heterogeneity
    assert own / total == pytest.approx(0.8 * h + 0.2 / PLACES, abs=0.04)
    assert shared / total == pytest.approx(0.8 * (1 - h) + 0.2 / PLACES, abs=0.04)


def test_hidden_worlds_are_what_they_were() -> None:
    """Findings of earlier versions name them: the same people, item by item."""
    assert load_dataset("ring-50").sha256.startswith("68c9088c")


def test_what_people_take_shows_their_type_or_does_not() -> None:
    for h in (0, 50, 100):
        world = World.named(f"ring-{h}-shown")
        assert world is not None
        dataset = world.dataset()
        taken = [world.colours(np.array(sequence)) for sequence in dataset.sequences]
        own = np.mean([np.mean(colours == kind) for colours, kind in zip(taken, world.types, strict=True)])
        assert own == pytest.approx(h / 100 + (1 - h / 100) / len(COLOURS), abs=0.04), (
            "h, and by chance besides; what is used up moves it a little"
        )
        item = dataset.catalog.items[world.per_place + 3]
        assert item.genres == (COLOURS[1],) and item.title == "Stop 4 of line 2"
    hidden = World.named("ring-100")
    assert hidden is not None and not hidden.dataset().catalog.items[0].genres


def test_nothing_beats_who_knows_types_and_chances(world: World) -> None:
    dataset = world.dataset()
    cases = dataset.split("loo").test
    candidates = draw_candidates(dataset, cases)
    columns = (candidates == targets_of(cases)[:, None]).argmax(1)
    best = expected_hits(world.best_scores(cases, candidates), columns).mean()
    unknowing = world.chances.mean(0)  # knows the world, and not who is of which type
    last = np.array([case.history[-1] for case in cases]) // world.per_place
    mean = np.take_along_axis(unknowing[last], candidates // world.per_place, axis=1)
    without_types = expected_hits(mean, columns).mean()
    assert best > 0.5
    if world.heterogeneity == 0:
        assert best == pytest.approx(without_types)
    else:
        assert best > without_types + 0.1


def test_equal_scores_share_a_hit() -> None:
    scores = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 2.0, 0.0]], dtype=np.float32)
    assert expected_hits(scores, np.array([0, 2, 1])).tolist() == [0.5, 0.0, 1.0]
