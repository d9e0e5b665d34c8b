"""Branches in one row say what a dense mask says, and cost what they hold."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from core import branched_attention, ranking_model
from core.branched_attention import NAME, Branching, attend, can_branch, use_branches
from core.encoder import TorchRouter
from core.ilora import ILoraLinear
from core.packing import Packed, pack_branches
from core.prompt import Wording
from core.ranker import Ranker
from core.ranking_model import RankingModel

HEADS, KEYS, WIDTH = 6, 2, 8
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def packed() -> Packed:
    """Three people with histories and candidates of unlike lengths, one title longer than any problem."""
    titles = [[7] * length for length in (1, 2, 3, 5, 8, 13, 40, 4, 4, 4)]
    candidates = [[0, 1, 2, 3, 4], [6, 5, 0, 9, 8], [7, 7, 1, 4, 5]]
    return pack_branches([1, 2], [[3], [4, 5, 6, 7, 8], []], [9], candidates, titles)


def heads(packed: Packed, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*packed.words.shape, count, WIDTH, generator=generator, requires_grad=True)


def dense(packed: Packed, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[B, S, heads, D] -> [B, S, A, D] with every score made and the mask over it."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=packed.mask, enable_gqa=True).transpose(1, 2)


def branched(packed: Packed, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    branching = Branching.of(packed)
    q, k, v = (branching.row(x).transpose(1, 2) for x in (q, k, v))
    answer, _ = attend(torch.nn.Module(), q, k, v, branching.mask(), branching=branching, scaling=WIDTH**-0.5)
    return branching.rows(answer)


def real(packed: Packed) -> Tensor:
    """[B, S] bool: not padding."""
    return torch.arange(packed.words.shape[1]) <= packed.branch_end[:, -1:]


@pytest.mark.parametrize("together", [1, 6, 32, 1000])
def test_the_same_numbers_as_with_a_dense_mask(
    packed: Packed, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(branched_attention, "TOGETHER", together)
    q, k, v = heads(packed, HEADS, 1), heads(packed, KEYS, 2), heads(packed, KEYS, 3)
    weights = torch.randn(*packed.words.shape, HEADS, WIDTH) * real(packed)[..., None, None]
    expected, found = dense(packed, q, k, v), branched(packed, q, k, v)
    assert (found - expected)[real(packed)].abs().max() < 1e-6
    for one in (q, k, v):
        [wanted] = torch.autograd.grad((expected * weights).sum(), one, retain_graph=True)
        [got] = torch.autograd.grad((found * weights).sum(), one, retain_graph=True)
        assert wanted.abs().max() > 0.1 and (got - wanted).abs().max() < 1e-5


def test_a_row_holds_every_position_once_and_no_padding(
    packed: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    branching = Branching.of(packed)
    row = branching.row(packed.words)
    assert row.shape == (1, sum(branching.lengths)) and sum(branching.lengths) == int(real(packed).sum())
    assert torch.equal(branching.rows(row)[real(packed)], packed.words[real(packed)])
    places = []
    for place in branching.people:
        places += [*range(place.shared.start, place.shared.stop)]
        at = place.branches.at.flatten()
        places += (at if place.branches.back is None else at[place.branches.back]).tolist()
    assert places == list(range(sum(branching.lengths))), "every position once, in order"
    monkeypatch.setattr(branched_attention, "TOGETHER", 8)
    widths = [place.branches.at.shape[1] for place in Branching.of(packed).people]
    assert max(widths) == 41, "a branch is never cut"


def test_neighbours_share_a_group(packed: Packed) -> None:
    groups = [place.branches.at.shape for place in Branching.of(packed).people]
    assert sum(count for count, _ in groups) < packed.branch_end.numel() / 2
    assert sorted(size for _, size in groups)[0] <= branched_attention.TOGETHER


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_person_is_attended_to_alike_alone_and_in_company(packed: Packed, dtype: torch.dtype) -> None:
    q, k, v = (heads(packed, n, n).detach().to(dtype) for n in (HEADS, KEYS, KEYS))
    together = branched(packed, q, k, v)
    for person, length in enumerate((packed.branch_end[:, -1] + 1).tolist()):
        one = Packed(*(getattr(packed, f.name)[person : person + 1] for f in fields(Packed)))
        alone = branched(one, *(x[person : person + 1] for x in (q, k, v)))
        assert torch.equal(alone[0, :length], together[person, :length])


@pytest.mark.parametrize("masked", ["causal", "bool", "added"])
def test_short_rows_train_as_with_a_flash_kernel(packed: Packed, masked: str) -> None:
    q, k, v = (heads(packed, n, n).detach().bfloat16() for n in (HEADS, KEYS, KEYS))
    mask = {"causal": None, "bool": packed.mask, "added": None}[masked]
    if masked == "added":
        mask = torch.zeros(packed.mask.shape, dtype=q.dtype).masked_fill(~packed.mask, -1e4)
    weights = torch.randn(*packed.words.shape, HEADS, WIDTH).bfloat16() * real(packed)[..., None, None]
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = HEADS // KEYS, True

    def asked(with_products: bool) -> list[Tensor]:
        rows = [x.clone().transpose(1, 2).requires_grad_() for x in (q, k, v)]
        assert branched_attention._trains_short(rows[0], rows[1])
        if with_products:
            answer, _ = attend(module, *rows, mask, scaling=WIDTH**-0.5)
        else:
            answer = scaled_dot_product_attention(
                *(x.float() for x in rows),
                attn_mask=mask.float() if masked == "added" else mask,
                is_causal=mask is None,
                enable_gqa=True,
            ).transpose(1, 2)
        (answer * weights).sum().backward()
        return [answer.float()[real(packed)], *(x.grad.float() for x in rows)]

    for found, expected in zip(asked(True), asked(False), strict=True):
        assert expected.abs().max() > 0.1
        assert (found - expected).norm() < 0.01 * expected.norm()


def test_long_rows_and_those_that_do_not_train_are_left_to_the_library() -> None:
    trains = torch.zeros(1, HEADS, branched_attention.LONGEST, WIDTH, dtype=torch.bfloat16).requires_grad_()
    longer = torch.zeros(1, HEADS, branched_attention.LONGEST + 1, WIDTH, dtype=torch.bfloat16)
    assert branched_attention._trains_short(trains, trains)
    assert not branched_attention._trains_short(longer.requires_grad_(), longer)
    assert not branched_attention._trains_short(trains.detach(), trains.detach())
    assert not branched_attention._trains_short(trains.float(), trains.float())
    with torch.no_grad():
        assert not branched_attention._trains_short(trains, trains)


@pytest.fixture
def dense_masks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ranking_model, "can_branch", lambda model: False)
    yield


ASKED = np.array([[5, 900, 41, 7, 1300], [3, 4, 900, 2, 1], [11, 12, 1300, 14, 15]])


def scores(ranker: Ranker, router: TorchRouter, histories: Sequence[tuple[int, ...]]) -> list[Tensor]:
    some = [h for h in histories if len(h) in (0, 1, 20)][:3]
    assert len({len(h) for h in some}) == 3
    routing = router.route(some)
    titles = ranker.score(routing, some, ASKED, adapter="base", mode="title")
    return [ranker.score(routing, some, ASKED, mode="branch"), titles]


def test_people_are_ranked_as_with_dense_masks(
    ranker: Ranker,
    router: TorchRouter,
    histories: Sequence[tuple[int, ...]],
    request: pytest.FixtureRequest,
    model: RankingModel,
) -> None:
    linear = next(module for module in model.modules() if isinstance(module, ILoraLinear))
    seen: list[torch.Size] = []
    hook = linear.register_forward_hook(lambda module, args, answer: seen.append(args[0].shape))
    rows = scores(ranker, router, histories)
    request.getfixturevalue("dense_masks")
    masked = scores(ranker, router, histories)
    hook.remove()
    for found, expected in zip(rows, masked, strict=True):
        assert (found - expected).abs().max() < TOLERANCE < expected.std(1).min() / 10
    in_rows, padded = seen[:2], seen[2:]
    for one, many in zip(in_rows, padded, strict=True):
        assert one[0] == 1 and many[0] == 3 and one[1] < 3 * many[1], "padding was not computed"


def test_training_gives_the_same_gradients(
    model: RankingModel, wording: Wording, router: TorchRouter, request: pytest.FixtureRequest
) -> None:
    histories = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10]]
    packed = pack_branches(wording.instruction, histories, wording.question, ASKED.tolist(), wording.titles)
    sequence = torch.from_numpy(router.route(histories).sequence)

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        asked = ranking_model.Mixture(sequence=sequence)
        found = model.branch_scores(packed, torch.from_numpy(ASKED), "ilora", asked)
        found.log_softmax(-1)[:, 0].sum().backward()
        named = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        return named

    rows = gradients()
    request.getfixturevalue("dense_masks")
    masked = gradients()
    assert rows.keys() == masked.keys() and any("experts_gate" in name for name in rows)
    for name, gradient in masked.items():
        assert (rows[name] - gradient).abs().max() <= 1e-3 * gradient.abs().max() + 1e-7, name


def test_only_attention_that_can_takes_branches() -> None:
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    attention = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    llama, gemma = (
        LlamaForCausalLM(LlamaConfig(**sizes, **attention)),
        Gemma2ForCausalLM(Gemma2Config(**sizes, **attention, attn_implementation="eager")),
    )
    for model in (llama, gemma):
        use_branches(model)
    assert can_branch(llama) and llama.model.config._attn_implementation == NAME
    assert not can_branch(gemma), "its scores are capped, which no kernel of ours does"
    words = torch.tensor([[1, 2, 3, 4]])
    with torch.inference_mode():
        with_branches = llama(words).logits
        llama.set_attn_implementation("sdpa")
        assert torch.equal(llama(words).logits, with_branches), "without branches nothing changes"
