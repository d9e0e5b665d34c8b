"""Item tokens: a few of them are placed as the whole table would place them."""

import copy

import torch

from core.item_space import ItemFeatures, ItemSpace
from core.ranking_model import RankingModel

ROUNDING = 1e-6


def test_a_few_tokens_are_rows_of_the_whole_table(model: RankingModel) -> None:
    space = model.space("ilora").eval()
    last = len(space.known) - 1
    items = torch.tensor([[0, 7, last], [7, 900, 3]])  # the last item is unknown to the encoder
    with torch.inference_mode():
        table = space.token_table()
        few, all_of_them = space.tokens(items), space.tokens(torch.arange(len(space.known)))
    assert (few - table[items]).abs().max() <= ROUNDING * table.abs().max()
    assert torch.equal(all_of_them, table)


def test_in_training_a_dropped_item_is_dropped_wherever_it_occurs() -> None:
    features = ItemFeatures(torch.randn(50, 8), torch.randn(50, 4), torch.ones(50, dtype=torch.bool))
    space = ItemSpace(features, hidden=16, embedding_norm=1.0, dropout=0.0, item_dropout=0.5).train()
    few = space.tokens(torch.tensor([3, 4, 5, 3, 4, 5]))
    assert torch.equal(few[:3], few[3:])
    torch.manual_seed(1)
    drawn = space.tokens(torch.tensor([3, 4]))
    torch.manual_seed(1)
    assert torch.equal(drawn, space.token_table()[[3, 4]]), (
        "the same draws as before, for the whole catalogue"
    )


def test_scores_follow_every_change_of_the_weights(model: RankingModel) -> None:
    space = copy.deepcopy(model.space("ilora")).eval()
    state = torch.randn(1, space.user.in_features)

    def naive() -> torch.Tensor:
        vectors = space.vectors * space.known.unsqueeze(-1) + space.vector_text(space.text)
        return space.user(state) @ vectors.T + space.bias

    def served() -> torch.Tensor:
        with torch.inference_mode():
            return space.scores(state).clone()

    assert torch.equal(served(), naive().detach()) and torch.equal(served(), served())
    optimizer = torch.optim.AdamW([space.vectors, space.vector_text.weight], lr=0.1)
    naive().square().sum().backward()
    optimizer.step()
    assert torch.equal(served(), naive().detach()), "a training step"
    space.load_state_dict({name: tensor + 0.5 for name, tensor in space.state_dict().items()})
    assert torch.equal(served(), naive().detach()), "loaded weights"
