"""The one sentence of a comparison that an analyst can quote, and what stands behind it."""

from collections.abc import Iterator

from app.report.words import points
from core.evaluation.run_comparison import RunComparison


def verdict(comparison: RunComparison) -> str:
    """Where, how many, both rates with intervals, the difference, p, the smallest detectable difference.

    A lead over LoRA comes with the protocol's ruling.
    """
    pooled, header = comparison.main.pooled, comparison.rows[0].header
    seeds = ", ".join(map(str, comparison.main.by_seed))
    trained = f"training seed{'s' * (len(comparison.main.by_seed) > 1)} {seeds}"
    told = (
        f"{header.dataset} {header.split}, {pooled.n} {header.part} users, HR@1 among {header.width} "
        f"candidates ({header.candidates} negatives), {trained}: {pooled.verdict_sentence.removesuffix('.')}"
    )
    if aside := "; ".join(_asides(comparison)):
        told += f" ({aside})"
    if pooled.winner == comparison.judged:
        # Beating LoRA alone proves nothing: the sentence must not be quotable without the ruling.
        reason = comparison.ruling.reason.split(". ")[0].removesuffix(".")
        told += f"; {'' if comparison.ruling.better else 'yet '}{reason[0].lower()}{reason[1:]}"
    return f"{told}."


def _asides(comparison: RunComparison) -> Iterator[str]:
    pooled, beyond = comparison.main.pooled, comparison.main.beyond_seeds
    if beyond is not None:
        yield f"over users and seeds [{points(beyond.low)}, {points(beyond.high)}]"
    if pooled.winner is not None:  # without a winner the sentence says it already
        yield f"the smallest difference this n would show is {points(pooled.detectable)[1:]} points"


def full_sentence(comparison: RunComparison) -> str:
    """The difference on the full catalogue, in words; "" where it was not ranked."""
    full = comparison.main.full
    if full is None:
        return ""
    return (
        f"NDCG@10 on the full catalogue, {comparison.judged} against {comparison.lora}: difference "
        f"{signed(full.mean)} [{signed(full.low)}, {signed(full.high)}], n = {full.n}. This is another "
        "question than HR@1 among candidates."
    )


def signed(value: float) -> str:
    """A difference of a metric in [0, 1]: +0.012."""
    return f"{value:+.3f}".replace("-", "−")
