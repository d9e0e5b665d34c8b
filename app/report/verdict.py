"""The one sentence of a comparison that an analyst can quote, and what stands behind it."""

from app.report.words import points
from core.evaluation.run_comparison import RunComparison


def verdict(comparison: RunComparison) -> str:
    """Where, how many, both rates with intervals, the difference, p, the smallest detectable difference."""
    pooled, header = comparison.main.pooled, comparison.rows[0].header
    seeds = ", ".join(map(str, comparison.main.by_seed))
    trained = f"training seed{'s' * (len(comparison.main.by_seed) > 1)} {seeds}"
    told = (
        f"{header.dataset} {header.split}, {pooled.n} {header.part} users, HR@1 among {header.width} "
        f"candidates ({header.candidates} negatives), {trained}: "
        f"{pooled.verdict_sentence.removesuffix('.')}"
    )
    if pooled.winner is not None:  # without a winner the sentence says it already
        told += f" (the smallest difference this n would show is {points(pooled.detectable)[1:]} points)"
    return f"{told}."


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
