"""What is foretold of items nobody had, against naive twins."""

from collections.abc import Sequence

import numpy as np
import torch

from core.growth import STRETCHES, GrownRouter, behind, fair_stretch, foretold, grown_features, stretched
from core.item_space import ItemFeatures, ItemSpace
from core.routing import History, Routing

N, D, P, HIDDEN = 60, 8, 5, 12


def _features(seed: int = 3) -> ItemFeatures:
    torch.manual_seed(seed)
    text = torch.randn(N, P)
    known = torch.arange(N) % 7 != 0
    collaborative = (text @ torch.randn(P, D) + 0.3 * torch.randn(N, D)) * known.unsqueeze(1)
    return ItemFeatures(collaborative, text, known)


def _space(features: ItemFeatures) -> ItemSpace:
    torch.manual_seed(4)
    space = ItemSpace(features, HIDDEN, embedding_norm=1.0).eval()
    for parameter in space.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return space


def test_vectors_are_foretold_by_ridge_regression_with_a_penalty_per_known_item() -> None:
    features, text = _features(), torch.randn(4, P)
    x, y = features.text[features.known].numpy(), features.collaborative[features.known].numpy()
    # Ridge as plain least squares: one more row per column, with the root of the penalty.
    rows = np.vstack([x - x.mean(0), np.sqrt(len(x)) * np.eye(P)])
    weights = np.linalg.lstsq(rows, np.vstack([y - y.mean(0), np.zeros((P, D))]), rcond=None)[0]
    expected = (text.numpy() - x.mean(0)) @ weights + y.mean(0)
    np.testing.assert_allclose(foretold(features, text).numpy(), expected, atol=1e-5)


def test_old_items_keep_every_feature_wherever_they_stand_in_the_grown_catalogue() -> None:
    features, text = _features(), torch.randn(2, P)
    place = torch.tensor([-1, *range(N), -1]).roll(1)  # [-1, -1, 0, 1, ...]
    grown = grown_features(features, place, text)
    assert torch.equal(grown.text, torch.cat([text, features.text]))
    assert torch.equal(grown.collaborative[2:], features.collaborative) and not grown.known[:2].any()
    assert torch.equal(grown.known[2:], features.known)
    before, after = _space(features), ItemSpace(grown, HIDDEN, 1.0).eval()
    state = before.state_dict()
    state |= {name: torch.cat([state[name][:2], state[name]]) for name in ("vectors", "bias")}
    after.load_state_dict(state)
    old = torch.arange(N)
    torch.testing.assert_close(after.tokens(old + 2), before.tokens(old), rtol=0, atol=0)


def test_a_stretch_of_one_adds_nothing_and_of_two_doubles_the_distance_from_the_mean_text() -> None:
    features, text = _features(), torch.randn(4, P)
    state = _space(features).state_dict()
    assert not stretched(state, features, text, 1.0).any()
    mean = features.text[features.known].mean(0)
    away = (text - mean) @ state["vector_text.weight"].T
    torch.testing.assert_close(stretched(state, features, text, 2.0), away)


def test_the_stretch_is_the_first_at_which_known_items_as_new_ones_come_as_often_as_chance() -> None:
    features = _features()
    space = _space(features)
    torch.manual_seed(5)
    users = torch.randn(40, D)
    with torch.no_grad():
        by_text = space.vector_text(space.text)
        vectors = space.vectors * space.known.unsqueeze(1) + by_text
        scores = users @ vectors.T + space.bias
    seen = [[row % N, (row * 3 + 1) % N] for row in range(40)]
    found = fair_stretch(scores, space, seen, first=10)

    def share(stretch: float) -> float:
        """How often a known item, were it new, is above a person's tenth unseen one."""
        known = [i for i in range(N) if space.known[i]]
        mean, bias = by_text[known].mean(0), space.bias[known].mean()
        above = 0
        for user, own, history in zip(users, scores, seen, strict=True):
            tenth = sorted((float(own[i]) for i in range(N) if i not in history), reverse=True)[9]
            for item in known:
                above += float((user @ (mean + stretch * (by_text[item] - mean)) + bias).detach()) > tenth
        return above / (len(known) * len(users))

    assert share(found) >= 10 / N or found == STRETCHES[-1]
    assert found == STRETCHES[0] or share(found - 1 / 8) < 10 / N


def test_a_catalogue_shorter_than_two_lists_is_not_stretched() -> None:
    features = _features()
    assert fair_stretch(torch.randn(3, N), _space(features), [[], [], []], first=30) == 1.0


class _Router:
    num_experts = 2

    def route(self, histories: Sequence[History]) -> Routing:
        rows = len(histories)
        sequence = np.array([[len(history), *[1.0] * (D - 1)] for history in histories], np.float32)
        scores = np.tile(np.linspace(1, 0, N, dtype=np.float32), (rows, 1))
        best = np.tile(np.arange(5), (rows, 1))
        return Routing(sequence, np.full((rows, 2), 0.5, np.float32), scores, best)


def test_the_grown_router_passes_over_new_items_in_histories_and_scores_them_as_candidates() -> None:
    vectors = np.stack([np.full(D, 0.5, np.float32), np.full(D, -0.5, np.float32)])
    router = GrownRouter(_Router(), N, vectors)
    done = router.route([(3, N, 5), (N + 1,), ()])
    assert done.sequence[:, 0].tolist() == [2, 0, 0]
    assert done.scores.shape == (3, N + 2) and router.num_experts == 2
    np.testing.assert_allclose(done.scores[:, N:], done.sequence @ vectors.T)
    assert done.retrieved.tolist() == [[N, 0, 1, 2, 3]] * 3
    assert behind(2, 4).tolist() == [0, 1, -1, -1]
