"""How a file of delimited text is laid out: delimiter, header, quotes, and which column is what."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.data.importing.contents import (
    events_by_content,
    is_measure,
    is_time,
    items_by_content,
    looks_like_header,
)
from core.data.importing.headers import ROLES, Column, Role, by_name, known_names
from core.data.importing.layout import DELIMITER_NAMES, NO_COLUMN, SPOKEN, Layout, Said
from core.data.importing.records import SPACES, Grammar, batches, fields_of
from core.data.importing.times import NUMBER, also_fits, check_spelling, sniff_times
from core.errors import DataError

SAMPLE_LINES = 2_000
"""A layout is told by the first so many lines; what they mislead to is noticed while reading."""

# Longer ones and rarer ones first: between equals the first wins.
_DELIMITERS = ("::", "\t", ";", "|", ",", SPACES)


@dataclass(frozen=True)
class Sniffed:
    """A layout of delimited text with the grammar to read it by, and whether its first line is a header."""

    layout: Layout
    grammar: Grammar
    header: bool


def sniff(
    lines: Sequence[str], name: str, said: Said, items_file: bool, called: str, broken: bool = False
) -> Sniffed:
    """The layout of a text file by its first lines.

    Args:
        lines: the first SAMPLE_LINES, or all there are.
        name: the file's name, for sentences.
        items_file: whether every line is one item; else one interaction.
        called: the encoding in words.

    Raises:
        DataError: there is no row, or no column that must be there can be told.
    """
    there = [line for line in lines if line.strip()]
    if not there:
        raise DataError(f"{name} holds no line of text; bring a file with one row per line.")
    if there[0].strip() == "[" or there[0].lstrip().startswith("[{"):
        raise DataError(f"{name} is one JSON list; write one object per line (JSONL).")
    grammar = _grammar(there, said, items_file, broken)
    rows = _rows(there, grammar)
    if not rows:
        raise DataError(
            f"{name}: no line can be divided into {grammar.width} fields; name the --delimiter "
            f"(now {DELIMITER_NAMES.get(grammar.delimiter, grammar.delimiter)})."
        )
    named = tuple(map(Column.of, rows[0]))
    header = said.header
    if header is None:
        header = looks_like_header(rows) or (
            known_names(named, items_file) > 0 and not any(map(is_measure, rows[0]))
        )
    columns = named if header else tuple(Column(f"column {n}") for n in range(1, grammar.width + 1))
    body = rows[1:] if header else rows
    divided = DELIMITER_NAMES.get(grammar.delimiter, repr(grammar.delimiter))
    kind = "RecBole's table" if any(column.type for column in columns) else "text"
    line = "a header line" if header else "no header line"
    layout = layout_of(
        f"{kind} with {divided}, {called}, {line}", columns, body, name, said, items_file, named=header
    )
    return Sniffed(layout, grammar, header)


def layout_of(
    format: str,
    columns: tuple[Column, ...],
    sample: Sequence[Sequence[str]],
    name: str,
    said: Said,
    items_file: bool,
    named: bool = True,
) -> Layout:
    """Which of the columns is what, by name or by content, after what a person said.

    Args:
        sample: rows with a cell for every column.
        named: whether the columns' names say something.

    Raises:
        DataError: a column that was named is not there, or user or item cannot be told.
    """
    if named:
        guessed = by_name(columns, items_file)
    else:
        guessed = items_by_content(sample) if items_file else events_by_content(sample)
    roles = _with_said(guessed, columns, name, said)
    for role in ("item",) if items_file else ("user", "item"):
        if role not in roles:
            flag = "--items-id-column" if items_file else f"--{role}-column"
            raise DataError(
                f"{name}: no column looks like the {role} among {', '.join(c.name for c in columns)}; say "
                f"which it is with {flag}."
            )
    times, doubts = NUMBER, []
    if named and not items_file and not {"time"} & (set(roles) | set(said.columns)):
        for place, column in enumerate(columns):
            if place not in roles.values() and is_time([row[place] for row in sample]):
                doubts.append(
                    f'The column {column.name} looks like times; say --time-column "{column.name}".'
                )
    if "time" in roles:
        cells = [row[roles["time"]] for row in sample]
        times = check_spelling(said.time_format) if said.time_format else sniff_times(cells)
        other = also_fits(cells, times) if not said.time_format else None
        if other:
            doubts.append(f"The dates could also be read as {other}; say --time-format for that.")
    return Layout(format, columns, roles, times, tuple(doubts))


def _with_said(
    guessed: dict[Role, int], columns: tuple[Column, ...], name: str, said: Said
) -> dict[Role, int]:
    """Guessed roles with a person's own laid over them; a column has one role only."""
    asked = {role: _place(said.columns[role], columns, name) for role in ROLES if role in said.columns}
    taken = {place for place in asked.values() if place is not None}
    kept = {role: p for role, p in guessed.items() if role not in asked and p not in taken}
    given = {**kept, **{role: place for role, place in asked.items() if place is not None}}
    return {role: given[role] for role in ROLES if role in given}


def _place(wanted: str, columns: tuple[Column, ...], name: str) -> int | None:
    names = [column.name for column in columns]
    for same in (wanted, Column.of(wanted).name):
        if same in names:
            return names.index(same)
    folded = [known.casefold() for known in names]
    if folded.count(wanted.casefold()) == 1:
        return folded.index(wanted.casefold())
    if wanted.isdigit() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    if wanted.casefold() == NO_COLUMN:
        return None
    raise DataError(
        f'{name} has no column "{wanted}"; it has {", ".join(names)} (or number them from 1 to {len(names)}, '
        f'or say "{NO_COLUMN}").'
    )


def _grammar(lines: Sequence[str], said: Said, items_file: bool, broken: bool) -> Grammar:
    """The delimiter that gives the most known column names, else that divides the most lines alike."""
    if said.delimiter is not None:
        wanted = [SPOKEN.get(said.delimiter.lower(), said.delimiter) or ","]
    else:
        wanted = [sign for sign in _DELIMITERS if any(sign in line for line in lines)] or [","]
    grammars = [
        Grammar(delimiter, width, broken=broken)
        for delimiter in wanted
        for width in _widths(lines, delimiter)
    ]

    def fit(grammar: Grammar) -> tuple[int, float, bool, int]:
        rows = _rows(lines, grammar)
        names = known_names(tuple(map(Column.of, rows[0])), items_file) if rows else 0
        share = len(rows) / len(lines) if grammar.width > 1 else 0.0
        # A row too few here and there must not decide against a delimiter that fits all others.
        # Blanks stand in titles: they divide where nothing else does.
        return names, round(share, 1), grammar.delimiter != SPACES, grammar.width

    return max(grammars, key=fit)


def _widths(lines: Sequence[str], delimiter: str) -> list[int]:
    """The number of fields of the first line, which may be a header, and of most lines."""
    counted = Counter(len(fields_of(line, delimiter)) for line in lines)
    most = max(counted, key=lambda width: (counted[width], width))
    return list(dict.fromkeys((len(fields_of(lines[0], delimiter)), most)))


def _rows(lines: Sequence[str], grammar: Grammar) -> list[list[str]]:
    read = batches(lines, grammar, range(grammar.width), size=len(lines))
    return [list(row) for batch in read for row in batch.rows]
