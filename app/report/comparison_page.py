"""The report of `ilora compare`: the verdict first, then what it rests on, then where gains come from."""

from collections.abc import Iterator, Sequence
from html import escape

from app.report import figures
from app.report.html import page, paragraph, plot, table, traced
from app.report.verdict import full_sentence, signed, verdict
from app.report.words import (
    FULL_COLUMNS,
    SAMPLED_COLUMNS,
    full_cells,
    interval,
    p_value,
    points,
    sampled_cells,
    two_questions,
)
from core.evaluation.intervals import Difference
from core.evaluation.records import Results
from core.evaluation.run_comparison import RunComparison
from core.evaluation.summary import Row
from core.evaluation.where_gains import BucketGain, ExpertUse, expert_use, gains_by_bucket

BUCKET_TITLES = {
    "history_bucket": ("By history length", "items read before the target"),
    "popularity_decile": (
        "By popularity of the target",
        "decile by interactions in training, D10 most popular",
    ),
    "density": ("By how much is known of the user", "users by items before the target"),
}


def comparison_page(comparisons: Sequence[RunComparison]) -> str:
    """One comparison per kind of candidates -> a page that stands by itself; the first is the verdict's."""
    first = comparisons[0]
    header = first.rows[0].header
    title = f"{first.judged} against {first.lora} on {header.dataset}, {header.split}"
    return page(title, _body(title, comparisons))


def _body(title: str, comparisons: Sequence[RunComparison]) -> Iterator[str]:
    first = comparisons[0]
    yield f"<h1>{escape(title)}</h1>"
    yield paragraph(verdict(first), "verdict")
    yield paragraph(first.ruling.reason)
    yield paragraph(two_questions(first.rows[0]), "warning")
    for note in first.notes:
        yield paragraph(f"Note: {note}", "warning")
    for comparison in comparisons:
        yield from _sampled(comparison)
    yield from _full(first)
    yield from _buckets(first)
    yield from _experts(first)
    yield from _made(first)


def _sampled(comparison: RunComparison) -> Iterator[str]:
    kind, header = comparison.kind, comparison.rows[0].header
    yield f"<h2>Among {header.width} candidates, {kind} negatives</h2>"
    if comparison.kind == "popularity":
        yield paragraph(f"Harder: what many people had is often among the negatives. {verdict(comparison)}")
    label = f"Differences in HR@1 against each opponent, {kind} negatives, 95 % intervals"
    yield plot(figures.forest(comparison), f"forest-{kind}", label)
    yield paragraph(
        "Diamonds: all seeds together. Within the grey band so many users cannot show a difference to LoRA.",
        "note",
    )
    yield table("Paired differences in HR@1", DIFFERENCE_COLUMNS, _difference_cells(comparison))
    yield traced(
        f"Rows with candidates = {kind}, paired by user; a user's hits (valid and rank = 1) are averaged "
        "over draws and seeds; percentile bootstrap over users, exact McNemar.",
        _files(_judged_rows(comparison)),
    )
    draws = len(comparison.rows[0].files)
    caption = f"HR@1 among {header.width} candidates, {kind} negatives, {draws} draw{'s' * (draws > 1)}"
    yield table(caption, SAMPLED_COLUMNS, map(sampled_cells, comparison.rows))
    yield traced(
        f"Rows with candidates = {kind}: mean of (valid and rank = 1) with Wilson's interval over users, "
        "mean of valid, and hits over valid rows.",
        _files(comparison.rows),
    )
    if any(spread.seeds > 1 for spread in comparison.spread.values()):
        yield table(
            "HR@1 over training seeds",
            ("method", "seeds", "mean", "least", "greatest", "standard deviation"),
            [
                (name, str(s.seeds), f"{s.mean:.3f}", f"{s.low:.3f}", f"{s.high:.3f}", _or_dash(s.sd))
                for name, s in comparison.spread.items()
            ],
        )
        yield traced("The HR@1 of the table above, one number per seed.", _files(_judged_rows(comparison)))


DIFFERENCE_COLUMNS = (
    "against",
    "seeds",
    "n",
    "difference, points [95 %]",
    "p",
    "only it : only the other hits",
    "smallest detectable, points",
)


def _difference_cells(comparison: RunComparison) -> Iterator[Sequence[str]]:
    for opponent, seeded in comparison.against.items():
        lines = [(", ".join(map(str, seeded.by_seed)), seeded.pooled)]
        if len(seeded.by_seed) > 1:
            lines += [(str(seed), one) for seed, one in seeded.by_seed.items()]
        for seeds, one in lines:
            yield (
                opponent,
                seeds,
                str(one.n),
                _difference(one.difference),
                p_value(one.p),
                f"{one.mcnemar.only_b} : {one.mcnemar.only_a}",
                points(one.detectable)[1:],
            )


def _full(comparison: RunComparison) -> Iterator[str]:
    ranked = [(row, row.full) for row in comparison.rows if row.full is not None]
    if not ranked:
        return
    yield "<h2>The full catalogue</h2>"
    yield paragraph(two_questions(comparison.rows[0]), "warning")
    yield paragraph(full_sentence(comparison))
    caption = f"The target among all {ranked[0][0].header.catalogue:,} items, without those the user had seen"
    yield table(caption, FULL_COLUMNS, [full_cells(row, full) for row, full in ranked])
    yield traced(
        "full_rank: share of users with rank at most 5 and 10 (Wilson), mean of 1 / log2(rank + 1) up to 10 "
        "(bootstrap), mean of 1 / rank. top10: share of the catalogue in anybody's list, and mean popularity "
        "rank of what is listed (1: most popular in training). First draw only: a full ranking has none.",
        [row.files[0] for row, _ in ranked],
    )


def _buckets(comparison: RunComparison) -> Iterator[str]:
    a, b = comparison.runs_of(comparison.lora), comparison.runs_of(comparison.judged)
    files = _files([*a.values(), *b.values()])
    for column, (title, axis) in BUCKET_TITLES.items():
        gains = gains_by_bucket(a, b, column)
        yield f"<h2>{title}</h2>"
        yield plot(
            figures.rates(gains, comparison.lora, comparison.judged, axis),
            f"rates-{column}",
            f"HR@1 of both methods, {title.lower()}, 95 % intervals",
        )
        yield _bucket_table(f"HR@1 {title.lower()}", gains, comparison)
        yield traced(
            f"Rows grouped by {column}, candidates = {comparison.kind}; hits averaged over draws and seeds; "
            "Wilson's interval, paired bootstrap over the bucket's own users.",
            files,
        )
    gains = gains_by_bucket(a, b, "cluster")
    if not gains:
        return
    seed = next(seed for seed in b if seed in a)
    yield "<h2>By cluster of users</h2>"
    yield paragraph(
        f"Users grouped by k-means in the encoder's space, training seed {seed}. With so many groups an "
        "interval without zero among them is no proof.",
        "note",
    )
    yield plot(
        figures.bucket_differences(gains, comparison.lora, comparison.judged),
        "gains-cluster",
        "Difference in HR@1 per cluster of users, 95 % intervals",
    )
    yield _bucket_table("HR@1 by cluster", gains, comparison)
    yield traced(
        f"Rows of seed {seed} grouped by cluster, candidates = {comparison.kind}; as above.",
        _files([a[seed], b[seed]]),
    )


def _bucket_table(caption: str, gains: Sequence[BucketGain], comparison: RunComparison) -> str:
    return table(
        caption,
        ("bucket", "n", comparison.lora, comparison.judged, "difference, points [95 %]"),
        [
            (
                gain.label,
                str(gain.difference.n),
                interval(gain.a.mean, gain.a.low, gain.a.high),
                interval(gain.b.mean, gain.b.low, gain.b.high),
                _difference(gain.difference),
            )
            for gain in gains
        ],
    )


def _experts(comparison: RunComparison) -> Iterator[str]:
    told = [(row, use) for row in _judged_rows(comparison) if (use := expert_use(row)) is not None]
    if not told:
        return
    yield "<h2>Use of the experts</h2>"
    own = [use for row, use in told if row.header.method == comparison.judged]
    for use in own:
        label = f"{use.method}, seed {use.seed}: mean weight of each expert, over all users and by cluster"
        yield paragraph(label, "note")
        yield plot(figures.experts(use), f"experts-{use.seed}", label)
    yield table(
        "Mixtures over users", ("method", "seed", *EXPERT_COLUMNS), [_expert_cells(u) for _, u in told]
    )
    yield traced(
        "gate: mean weight per expert, share of users whose largest weight it is, deviation over users; "
        "mean entropy over ln K. First draw only: the gate does not depend on candidates.",
        [row.files[0] for row, _ in told],
    )


EXPERT_COLUMNS = ("entropy, 1 is uniform", "mean weights", "leads for", "spread between users")


def _expert_cells(use: ExpertUse) -> Sequence[str]:
    def shares(values: Sequence[float]) -> str:
        return " / ".join(f"{value:.0%}" for value in values)

    return (
        use.method,
        "–" if use.seed is None else str(use.seed),
        f"{use.entropy:.3f}",
        shares(use.shares),
        shares(use.leads),
        " / ".join(f"{value:.3f}" for value in use.between),
    )


def _made(comparison: RunComparison) -> Iterator[str]:
    header = comparison.rows[0].header
    yield "<h2>How this was made</h2>"
    trained = [
        (
            row.header.method,
            row.header.run,
            "–" if row.header.seed is None else str(row.header.seed),
            "–" if row.header.train_samples is None else f"{row.header.train_samples:,}",
            "–" if row.header.train_minutes is None else f"{row.header.train_minutes:.1f}",
            row.header.recipe[:12] or "–",
            row.header.note,
        )
        for row in comparison.rows
    ]
    columns = ("method", "made from", "seed", "training rows", "minutes", "recipe sha256", "note")
    yield table("Methods", columns, trained)
    yield paragraph(
        f"Data {header.dataset}, sha256 {header.dataset_sha256}; candidates sha256 of the first draw "
        f"{header.candidates_sha256}; ilora {header.version}."
    )


def _difference(told: Difference) -> str:
    return f"{points(told.mean)} [{points(told.low)}, {points(told.high)}]"


def _judged_rows(comparison: RunComparison) -> list[Row]:
    labels = (comparison.judged, *comparison.against)
    return [row for row in comparison.rows if row.header.method in labels]


def _files(rows: Sequence[Row]) -> list[Results]:
    return [file for row in rows for file in row.files]


def _or_dash(value: float | None) -> str:
    return "–" if value is None else signed(value)[1:]
