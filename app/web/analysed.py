"""What the tab "Analyst" shows: the report of an upload, how far the lists are, and a look at the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.web.charts import ADAPTER_NAMES, letter, percent
from core.batch.report import ReadReport
from core.domain import Domain
from core.recommendation import AdapterName

SHOWN_PEOPLE, SHOWN_TITLES = 12, 3


def empty(domain: Domain) -> str:
    """What stands there before a file is brought."""
    return (
        '<p class="lead">Bring a file of histories and get everybody’s lists back as a table.</p>'
        '<p class="fine">One row per person with a list, or one row per interaction (user, item, time); '
        f"{domain.called}s or ids; CSV, JSON lines or Parquet. Larger files, on the machine itself: "
        "<code>ilora batch histories.csv --out lists.parquet</code>, the same engine.</p>"
    )


@dataclass(frozen=True)
class Preview:
    """The first rows of a finished table and what holds for all of them.

    Attributes:
        rows: the first people, as the table has them.
        people: all of them.
        personal: those of whom something is known.
        leaders: by expert, how many people lean on it most.
        overlap: mean overlap of iLoRA and LoRA over `personal`; None without both.
        k: length of the lists.
    """

    rows: tuple[dict, ...]
    people: int
    personal: int
    leaders: tuple[int, ...]
    overlap: float | None
    k: int


def report(told: ReadReport, domain: Domain) -> str:
    """The parse report, as HTML: the count as headline, then what to look at."""
    first, *rest = told.sentences
    lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in rest)
    misses = "".join(
        f'<tr><th scope="row">{escape(miss.entry[:80])}</th><td class="number">{miss.times:,}</td>'
        f"<td>{escape('; '.join(miss.closest)) or 'nothing is close'}</td></tr>"
        for miss in told.most_unknown
    )
    table = (
        '<div class="measured"><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Unknown {domain.many}">'
        '<table><thead><tr><th scope="col">Not in the catalogue</th><th scope="col">Times</th>'
        f'<th scope="col">Closest {domain.many}</th></tr></thead><tbody>{misses}</tbody></table></div></div>'
        if misses
        else ""
    )
    return (
        f'<div class="report" role="status"><p class="lead">{escape(first)}</p><ul class="plain">{lines}</ul>'
        f"{table}</div>"
    )


def progress(done: int, people: int, seconds: float, state: str) -> str:
    """How far the run is, and about how long it goes on."""
    left = ""
    if 0 < done < people and seconds > 1:
        left = f" About {_duration(seconds / done * (people - done))} left."
    return (
        f'<div class="running"><progress max="{people}" value="{done}" aria-label="People done"></progress>'
        f'<p class="fine" role="status">{done:,} of {people:,} people. {escape(state)}{left}</p></div>'
    )


def preview(domain: Domain, shown: Preview, adapters: Sequence[AdapterName]) -> str:
    """One sentence over everybody, then the first rows."""
    heads = "".join(f'<th scope="col">{ADAPTER_NAMES[name]}: first {SHOWN_TITLES}</th>' for name in adapters)
    share = '<th scope="col" title="overlap at k: items that both lists have">Shared</th>'
    both = shown.overlap is not None
    body = "".join(_row(row, adapters, both) for row in shown.rows)
    left = shown.people - len(shown.rows)
    more = (
        f"The first {len(shown.rows)} of {shown.people:,} people; the file has all of them. " if left else ""
    )
    return (
        f'<div class="measured preview"><p class="lead">{sentence(shown, domain)}</p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="First rows of the table">'
        '<table><thead><tr><th scope="col">User</th>'
        f'<th scope="col">Known</th><th scope="col">Leans on</th>{share if both else ""}{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<p class="fine">{more}Lists leave out what is in the history. Probabilities, ids and all expert '
        "weights are in the file.</p></div>"
    )


def sentence(shown: Preview, domain: Domain) -> str:
    """What the table says about all people together."""
    if not shown.personal:
        return f"Nothing is known of anybody in this file: everybody gets the most popular {domain.many}."
    told = f"Lists for {shown.people:,} {'person' if shown.people == 1 else 'people'}"
    if shown.overlap is not None:
        same = shown.k * shown.overlap
        told += f": on average iLoRA and LoRA share {same:.1f} of {shown.k} {domain.many}"
    most = max(range(len(shown.leaders)), key=shown.leaders.__getitem__)
    part = percent(shown.leaders[most] / shown.personal)
    return f"{told}; {part} of the {shown.personal:,} known ones lean most on expert {letter(most)}."


def _row(row: dict, adapters: Sequence[AdapterName], both: bool) -> str:
    gate = row["gate"]
    leads = max(range(len(gate)), key=gate.__getitem__) if gate else None
    leaning = "–" if leads is None else f"{letter(leads)} {percent(gate[leads])}"
    overlap = row.get("overlap_ilora_lora")
    shared = f'<td class="number">{"–" if overlap is None else percent(overlap)}</td>' if both else ""
    lists = "".join(
        f"<td>{'<br>'.join(escape(title) for title in row[f'{name}_titles'][:SHOWN_TITLES])}</td>"
        for name in adapters
    )
    unknown = f" <small>+ {row['unknown']} unknown</small>" if row["unknown"] else ""
    return (
        f'<tr><th scope="row">{escape(row["user"][:60])}</th><td class="number">{row["known"]}{unknown}</td>'
        f'<td class="number">{leaning}</td>{shared}{lists}</tr>'
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"
