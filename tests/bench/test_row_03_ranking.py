"""Rows 3 and 3b: people ranked per second, against how twenty candidates are ranked elsewhere."""

from collections.abc import Callable, Sequence

import torch

from core.recommender import Recommender
from quant.backbone import Backbone
from tests.bench.conftest import Bench
from tests.bench.generating_opponent import PUBLISHED_TOKENS, generate, longest_answer, prompts
from tests.bench.people import People
from tests.bench.ranking_opponents import Asked, asked_of, ours, repeated_cache, separate
from tests.bench.timing import InTurns, in_turns

TOLERANCE = {torch.float32: (1e-3, 1e-3), torch.bfloat16: (1.5, 0.5)}
"""Of summed log-likelihoods and of scores, the largest difference and the mean (rms): sums run in another
order, and those in bf16 over twenty tokens of a long title. Against fp32, ours and each opponent's are off by
0.7 to 1.2 at most and by 0.21 to 0.26 in the mean, over 160 titles. Candidates lie ten and more apart."""
OPPONENTS = ("separate", "kv", "newline", "64")


def agree(product: Recommender, asked: Asked, dtype: torch.dtype) -> None:
    """The opponents that see the same tokens must find the same scores."""
    found = ours(product.ranker, asked)
    assert found.std(1).min() > 10 * TOLERANCE[torch.float32][0], "the candidates must differ"
    for opponent in (separate, repeated_cache):
        theirs = opponent(product.ranker, asked)
        largest, mean = (theirs - found).abs().max(), (theirs - found).square().mean().sqrt()
        assert largest <= TOLERANCE[dtype][0] and mean <= TOLERANCE[dtype][1], opponent.__name__
        for one, other in zip(theirs, found, strict=True):
            assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.99, opponent.__name__


def opponents(product: Recommender, asked: Asked, suffix: str = "") -> dict[str, Callable[[], object]]:
    """What runs in turns: ours, and those that read the same tokens."""
    return {
        f"ours{suffix}": lambda: ours(product.ranker, asked),
        f"separate{suffix}": lambda: separate(product.ranker, asked),
        f"kv{suffix}": lambda: repeated_cache(product.ranker, asked),
    }


def generators(bare: Backbone, people: People, quick: bool) -> dict[str, Callable[[], object]]:
    words, mask = prompts(people)
    published = 16 if quick else PUBLISHED_TOKENS
    return {
        "newline": lambda: generate(bare.model, words, mask, longest_answer(people)),
        "64": lambda: generate(bare.model, words, mask, published),
    }


def record(
    bench: Bench, took: InTurns, people: int, mode: str, data: str, names: Sequence[str] = OPPONENTS
) -> None:
    """One row per opponent; `mode` and `data` are the suffixes of the names of runs and of rows."""
    for name in names:
        theirs = name if name in took.seconds else f"{name}{mode}"
        details = {
            "users/s, ours": people / took.median(f"ours{mode}"),
            "users/s, theirs": people / took.median(theirs),
        }
        bench.record(
            f"3-{name}{mode}{data}",
            took.ratio(theirs, over=f"ours{mode}"),
            f"{people} users a batch",
            details,
        )


def test_twenty_candidates_of_viewers(
    bench: Bench, product: Recommender, bare: Backbone, viewers: People
) -> None:
    people = viewers.first(bench.of(4, 1))
    text = asked_of(people, "base")
    items = asked_of(people, "ilora", product.router.route(people.histories).gate)
    for asked in (text, items):
        agree(product, asked, bare.compute_dtype)
    runs = {
        **opponents(product, text),
        **opponents(product, items, "-items"),
        **generators(bare, people, bench.quick),
    }
    took = in_turns(runs, bench.of(3), warm_up=0 if bench.quick else 1)
    record(bench, took, len(people.histories), "", "")
    record(bench, took, len(people.histories), "-items", "")


def test_twenty_candidates_of_listeners(
    bench: Bench, product: Recommender, bare: Backbone, listeners: People
) -> None:
    people = listeners.first(bench.of(4, 1))
    asked = asked_of(people, "base")
    agree(product, asked, bare.compute_dtype)
    runs = {**opponents(product, asked), **generators(bare, people, bench.quick)}
    took = in_turns(runs, bench.of(3), warm_up=0)  # `agree` was the first time
    record(bench, took, len(people.histories), "", "-lastfm")


def test_the_whole_catalogue(bench: Bench, product: Recommender, bare: Backbone, viewers: People) -> None:
    """Each at the batch that the product gives it: 64 people in catalogue mode, 16 where titles are read."""
    many, some, few = (
        viewers.first(bench.of(64, 8)),
        viewers.first(bench.of(16, 2)),
        viewers.first(bench.of(4, 1)),
    )
    routing = product.router.route(many.histories)
    items = asked_of(some, "ilora", product.router.route(some.histories).gate)
    text = asked_of(some, "base")
    words, mask = prompts(few)
    published = 16 if bench.quick else PUBLISHED_TOKENS
    runs = {
        "catalogue": lambda: product.ranker.score(routing, many.histories),
        "branch": lambda: ours(product.ranker, items),
        "text": lambda: ours(product.ranker, text),
        "64": lambda: generate(bare.model, words, mask, published),
    }
    took = in_turns(runs, bench.of(3), warm_up=0 if bench.quick else 1)
    people = {"catalogue": many, "branch": some, "text": some, "64": few}
    rates = {name: len(who.histories) / took.median(name) for name, who in people.items()}
    mine = len(many.histories)
    for name in ("branch", "text", "64"):
        theirs = len(people[name].histories)
        ratio = took.ratio(name, over="catalogue")
        bench.record(
            f"3b-{name}",
            ratio,
            f"{mine} users a batch against {theirs}",
            {"users/s, ours": rates["catalogue"], "users/s, theirs": rates[name]},
            scale=mine / theirs,
        )
