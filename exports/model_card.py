"""The README of a bundle. Every number comes from the bundle's own record; what is absent is not shown."""

from collections.abc import Iterator, Sequence

from exports.bundle_info import AdapterInfo, BundleInfo, MetricRow, PairedRow, TrainingInfo


def render_card(info: BundleInfo) -> str:
    """The model card of a bundle as Markdown."""
    sections = [
        _head(info),
        _results(info.metrics.rows, info.metrics.pairs),
        _weak(info),
        _adapters(info),
        _training(info),
        _terms(info),
        _reproduce(info),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(info: BundleInfo) -> str:
    experts = [
        f"{adapter.num_experts} LoRA experts" for adapter in info.adapters.values() if adapter.num_experts > 1
    ]
    what = experts[0] if experts else "LoRA"
    return (
        f"# {info.name}\n\n"
        f"Sequential recommendations for the data set **{info.dataset.name}**: {what} "
        f"on the frozen language model **{info.backbone.asset}** ({info.backbone.version}), "
        f"held in {info.backbone.quantization}. It reads a person's last {info.history_length} items "
        "and ranks the whole catalogue."
    )


def _results(rows: tuple[MetricRow, ...], pairs: tuple[PairedRow, ...]) -> str:
    if not rows:
        return ""
    notes = [f"- {row.method}, {row.split}: {row.note}" for row in rows if row.note]
    notes += [_pair(pair) for pair in pairs]
    text = (
        "## Results\n\n"
        "Test users, each with one held-out item. HR@1 is the share of users whose item is ranked first "
        "among it and items they never touched (drawn once, the same for every method), with its Wilson "
        "interval."
    )
    if any(row.ndcg10 is not None for row in rows):
        text += " NDCG@10 ranks the full catalogue instead: never compare the two columns with each other."
    return "\n\n".join([text, results_table(rows), *(["\n".join(notes)] if notes else [])])


def _pair(pair: PairedRow) -> str:
    shown = f"{pair.winner} is better" if pair.winner else "no difference that this many people can show"
    return (
        f"- {pair.b} against {pair.a}, {pair.split}, person by person: HR@1 {pair.difference:+.3f} "
        f"[{pair.low:+.3f}, {pair.high:+.3f}], McNemar p = {pair.p:.3f}, n = {pair.n:,}: {shown}."
    )


def results_table(rows: Sequence[MetricRow]) -> str:
    """The measured rows as a Markdown table; at least one row. The README of the product shows the same."""
    among = rows[0].candidates
    head = ["method", "split", "n", f"HR@1 among {among} [95 %]"]
    lines = [[row.method, row.split, f"{row.n:,}", _rate(row, among)] for row in rows]
    if any(row.ndcg10 is not None for row in rows):
        head.append("NDCG@10, full catalogue")
        for line, row in zip(lines, rows, strict=True):
            line.append("" if row.ndcg10 is None else f"{row.ndcg10:.3f}")
    return _table(head, lines)


def _rate(row: MetricRow, among: int) -> str:
    other = "" if row.candidates == among else f" (among {row.candidates})"
    return f"{row.hr1:.3f} [{row.hr1_low:.3f}, {row.hr1_high:.3f}]{other}"


def _weak(info: BundleInfo) -> str:
    sentences = [*_overlaps(info.metrics.rows), *info.metrics.weaknesses]
    if not sentences:
        return ""
    return "## What is weak\n\n" + "\n".join(f"- {sentence}" for sentence in sentences)


def _overlaps(rows: tuple[MetricRow, ...]) -> Iterator[str]:
    """Sentences about differences that this many users cannot show."""
    by_split: dict[str, dict[str, MetricRow]] = {}
    for row in rows:
        by_split.setdefault(row.split, {})[row.method.casefold()] = row
    for split, methods in by_split.items():
        for own, name in (("ilora", "lora"), ("ilora", "sasrec"), ("ilora + stack", "stack")):
            ours, other = methods.get(own), methods.get(name)
            if ours is None or other is None:
                continue
            if ours.hr1 <= other.hr1:
                yield f"On `{split}` {ours.method} does not rank better than {other.method} (n = {ours.n:,})."
            elif ours.hr1_low <= other.hr1_high:
                yield (
                    f"On `{split}` the intervals of {ours.method} and {other.method} overlap: "
                    f"{ours.n:,} people are too few to tell them apart by this table."
                )


def _adapters(info: BundleInfo) -> str:
    head = [
        "adapter",
        "rank R",
        "experts K",
        "alpha",
        "blend weight",
        "second stage kept",
        "trainable parameters",
    ]
    lines = [_adapter_line(name, adapter) for name, adapter in info.adapters.items()]
    return (
        "## Adapters\n\n"
        + _table(head, lines)
        + "\n\nBlend weight: how much of the stack's log-probability (without a stack: of the encoder's) is "
        "added to the language model's; chosen on validation users, 0 means the language model alone."
    )


def _adapter_line(name: str, adapter: AdapterInfo) -> list[str]:
    parts = [f"{part} {count:,}" for part, count in adapter.trainable_parameters.items()]
    shape = [str(adapter.rank), str(adapter.num_experts), f"{adapter.lora_alpha:g}"]
    return [name, *shape, f"{adapter.blend_weight:g}", adapter.second_stage, ", ".join(parts)]


def _training(info: BundleInfo) -> str:
    if not info.metrics.training:
        return ""
    head = ["adapter", "mode", "split", "batch", "seed", "steps", "best step", "minutes", "machine"]
    lines = [[name, *_training_line(training)] for name, training in info.metrics.training.items()]
    return "## Training\n\n" + _table(head, lines) + "\n\nEvery field of the recipes is in bundle.json."


def _training_line(training: TrainingInfo) -> list[str]:
    recipe = training.recipe
    how = [
        recipe["mode"],
        recipe["split"],
        str(recipe["optimizer"]["batch_size"]),
        str(recipe["run"]["seed"]),
    ]
    minutes = "" if training.minutes is None else f"{training.minutes:.0f}"
    return [*how, f"{training.steps:,}", f"{training.best_step:,}", minutes, training.machine]


def _terms(info: BundleInfo) -> str:
    return "## Licences and terms\n\n" + "\n".join(
        f"- **{part}**: {terms}" for part, terms in info.licences.items()
    )


def _reproduce(info: BundleInfo) -> str:
    return (
        f"## Reproduce\n\n```\n{info.created_by}\n```\n\n"
        f"Data set sha256 `{info.dataset.sha256}`\n\nBackbone sha256 `{info.backbone.sha256}`"
    )


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
