"""The map and heat maps: numbers are a naive twin’s, the drawing a seed’s, and colour never stands alone."""

import numpy as np
import pytest

from app.web import experts
from app.web.atlas import MOST_POINTS, Atlas, draw_atlas
from app.web.service import Service

NAMES = ["Crime", "Drama", "Rare"]


def _atlas(people: int = 60, seed: int = 3) -> tuple[Atlas, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    sequence = random.normal(size=(people, 6)).astype(np.float32)
    gate = random.dirichlet([1, 1, 1], people).astype(np.float32)
    traits = np.stack([random.random(people), random.random(people), np.full(people, 0.01)], axis=1)
    return draw_atlas(sequence, gate, NAMES, traits), gate, traits


def test_genre_lifts_are_weighted_shares_over_the_shares_of_all() -> None:
    atlas, gate, traits = _atlas()
    for name, column in zip(atlas.genres, atlas.by_genre.T, strict=True):
        own = traits[:, NAMES.index(name)]
        for expert, lift in enumerate(column):
            inside = sum(w * s for w, s in zip(gate[:, expert], own, strict=True)) / sum(gate[:, expert])
            assert lift == pytest.approx(inside / own.mean(), rel=1e-5)
    assert "Rare" not in atlas.genres


def test_clusters_part_all_people_and_their_mean_weights_average_to_one() -> None:
    atlas, gate, _ = _atlas()
    sizes = np.array([cluster.people for cluster in atlas.clusters])
    assert sizes.sum() == atlas.people == 60 and list(sizes) == sorted(sizes, reverse=True)
    assert atlas.by_cluster @ (sizes / sizes.sum()) == pytest.approx(np.ones(gate.shape[1]), rel=1e-5)


def test_entropy_counts_equal_experts() -> None:
    people = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    traits = np.full((20, 1), 0.5)
    even = draw_atlas(people, np.full((20, 4), 0.25, np.float32), ["Crime"], traits)
    alone = draw_atlas(people, np.eye(4, dtype=np.float32)[np.zeros(20, int)], ["Crime"], traits)
    assert even.equal_experts == pytest.approx(4) and alone.equal_experts == pytest.approx(1)
    assert "worth 4.0 equal experts" in experts.sentence(even)
    assert "Only expert A leads anybody" in experts.sentence(alone)


def test_the_map_is_the_same_every_time_fits_its_frame_and_draws_so_many_at_most() -> None:
    first, again = _atlas(MOST_POINTS + 20)[0], _atlas(MOST_POINTS + 20)[0]
    assert len(first.cases) == MOST_POINTS == len(set(first.cases.tolist()))
    assert (first.points == again.points).all() and (first.cases == again.cases).all()
    assert first.points.min() >= 0 and first.points.max() <= 1 + 1e-9
    assert "drawn at random" in experts.picture(first)


def test_every_mark_is_a_person_with_a_shape_and_the_tables_hold_the_numbers(service: Service) -> None:
    drawn = experts.picture(service.atlas)
    assert drawn.count("<use ") == len(service.atlas.cases)
    for expert, count in enumerate(np.bincount(service.atlas.leaders, minlength=4)):
        assert drawn.count(f'href="#mark-{expert}"') == count
    tables = experts.board(service)
    for value in service.atlas.by_cluster.ravel():
        assert f">{value:.2f}</td>" in tables
    told = experts.person(service, "0")
    assert service.user_of(0) in told and service.catalog[service.cases[0].history[0]].title in told
    assert experts.person(service, "x") == experts.person(service, "99999999") == "There is no such person."
