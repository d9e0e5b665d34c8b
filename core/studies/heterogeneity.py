"""What mixing experts is worth as people grow different: on made-up people whose types are known.

`core.data.ring` draws them, in the kind of world where what people take shows their type. (Where only the
order of a history tells it, a linear gate cannot know it: a linear probe of what it reads tells types no
better than chance.) At every h one LoRA and one iLoRA are trained equally long over the same encoder; the
best possible answer is known, and so is who is of which type, so it can be asked whether the gate found the
types out (adjusted Rand index, Hubert and Arabie 1985).

Shapes: n cases, K experts, D encoder width.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.data.candidates import draw_candidates
from core.data.ring import STEPS, World, expected_hits
from core.evaluation.asking import ask, route_cases, sampled_ranks, targets_of
from core.evaluation.comparison import compare_paired
from core.evaluation.evaluating import Step
from core.evaluation.intervals import Difference, Rate, rate
from core.routing import Floats, Indices
from core.studies.finding import Finding, gain
from core.studies.grid import RECIPE, Planned
from core.training.finished import FinishedRun, open_ranker
from core.training.run import open_backbone

NAME = "heterogeneity"
QUESTION = (
    "Does mixing experts gain more the more people differ, and does the gate find out who is of which type?"
)
LEVELS = (0, 25, 50, 75, 100)
SEED = 7


@dataclass(frozen=True)
class Level:
    """One degree of heterogeneity, on n test users.

    Attributes:
        heterogeneity: h in [0, 1].
        best: HR@1 among 20 of who knows types and chances.
        encoder, lora, ilora: HR@1 of SASRec, LoRA and iLoRA.
        gain: iLoRA minus LoRA, paired.
        p: McNemar's, exact.
        found_by_gate: adjusted Rand index of people's types and groups of their mixtures (k-means).
        found_by_leader: the same for the leading expert.
        found_by_encoder: the same for groups of what the gate reads.
        told_linearly: share of people whose type a logistic regression tells from what the gate reads,
            five-fold; .25 by chance. The most that a linear gate can know.
    """

    heterogeneity: float
    best: float
    encoder: Rate
    lora: Rate
    ilora: Rate
    gain: Difference
    p: float
    found_by_gate: float
    found_by_leader: float
    found_by_encoder: float
    told_linearly: float


def planned(steps: int, seed: int, levels: Sequence[int] = LEVELS) -> list[Planned]:
    """LoRA and iLoRA at every level."""
    return [
        Planned(
            f"{name}-{method}-{seed}", name, "loo", "catalogue", RECIPE, method,
            (
                f"dataset={name}", "split=loo", f"run.seed={seed}", f"run.max_steps={steps}",
                f"run.evaluate_every={max(1, steps // 2)}", "run.save_every=25",
                "model.text_components=32",
            ),
        )
        for name in (f"ring-{level}-shown" for level in levels)
        for method in ("lora", "ilora")
    ]  # fmt: skip


def measure(lora: FinishedRun, ilora: FinishedRun, step: Step = lambda what, done, total: None) -> Level:
    """Both runs of one level."""
    world = World.named(ilora.recipe.dataset)
    assert world is not None
    dataset = world.dataset()
    cases = dataset.split("loo").test
    candidates = draw_candidates(dataset, cases)
    columns = (candidates == targets_of(cases)[:, None]).argmax(1)
    hits: dict[str, np.ndarray] = {}
    for run in (lora, ilora):
        ranker, router = open_ranker(run, open_backbone(run.recipe, step=step), dataset)
        routing = route_cases(router, cases)
        step(f"Asking {run.recipe.label} at h = {world.heterogeneity:g}", 0, 0)
        scores = ask(ranker, routing, cases, run.recipe.method)
        hits[run.recipe.method] = sampled_ranks(scores, cases, candidates) == 1
    compared = compare_paired(hits["lora"], hits["ilora"], SEED, "LoRA", "iLoRA")
    types = world.types[[case.user for case in cases]]
    return Level(
        heterogeneity=world.heterogeneity,
        best=float(expected_hits(world.best_scores(cases, candidates), columns).mean()),
        encoder=rate(sampled_ranks(routing.scores, cases, candidates) == 1),
        lora=compared.rate_a,
        ilora=compared.rate_b,
        gain=compared.difference,
        p=compared.mcnemar.p,
        found_by_gate=_found(types, routing.gate),
        found_by_leader=float(adjusted_rand_score(types, routing.gate.argmax(1))),
        found_by_encoder=_found(types, routing.sequence),
        told_linearly=_told(types, routing.sequence),
    )


def _found(types: Indices, vectors: Floats) -> float:
    groups = KMeans(len(STEPS), n_init=10, random_state=SEED).fit_predict(vectors.astype(np.float64))
    return float(adjusted_rand_score(types, groups))


def _told(types: Indices, vectors: Floats) -> float:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return float(cross_val_score(probe, vectors.astype(np.float64), types, cv=5).mean())


def heterogeneity(levels: Sequence[Level], steps: int) -> Finding:
    """The finding of levels that were measured, least different first."""
    numbers = {"steps": steps, "n": levels[0].lora.n, "levels": [asdict(level) for level in levels]}
    return Finding(NAME, QUESTION, sentence(levels, steps), numbers)


def sentence(levels: Sequence[Level], steps: int) -> str:
    """What was found, with n."""
    each = "; ".join(
        f"h {level.heterogeneity:g}: {gain(level.gain)} (best {100 * level.best:.0f} %, LoRA "
        f"{100 * level.lora.mean:.0f} %, types found by the gate {round(level.found_by_gate, 2) + 0.0:.2f}, "
        f"told by a linear probe of what it reads {100 * level.told_linearly:.0f} %)"
        for level in levels
    )
    return (
        f"Simulated people of four types, n = {levels[0].lora.n:,}, {steps} steps, iLoRA − LoRA in points of "
        f"HR@1 among 20: {each}. By chance a probe tells 25 %."
    )
