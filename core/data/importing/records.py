"""Delimited text into rows: every line is told apart, whatever is wrong with its neighbours.

Quotes are read as RFC 4180 has them. A line with text behind a closing quote but the right number of fields
is taken as it stands: `12,"The" Band,3`. A quote that is opened and never closed, or would swallow rows,
costs its own line only; between tabs it is a letter like any other.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat

from core.data.importing.batches import ROWS_PER_BATCH, Batch, stripped
from core.data.importing.rejects import ENCODING, FIELDS, QUOTE, Rejected
from core.data.importing.text import LONE_SURROGATE

SPACES = " "
"""As a delimiter: any run of blanks."""
LINES_PER_RECORD = 1_000
LETTERS_PER_RECORD = 1 << 20
"""A quoted field longer than this is a quote that was never closed."""


@dataclass(frozen=True)
class Grammar:
    """How lines become fields.

    Attributes:
        delimiter: between fields, one character or more; SPACES stands for any run of blanks.
        width: fields of a row.
        quoted: whether `"` can enclose a field.
        broken: whether lines may hold bytes that are not in the file's encoding.
    """

    delimiter: str
    width: int
    quoted: bool = True
    broken: bool = False

    def split(self, line: str) -> list[str]:
        """The fields of a line without regard to quotes; empty ones too many at its end are left out."""
        fields = line.split() if self.delimiter == SPACES else line.split(self.delimiter)
        return self.cut(fields)

    def cut(self, fields: list[str]) -> list[str]:
        """Without the empty fields that are too many at the end of a row."""
        while len(fields) > self.width and not fields[-1].strip():
            fields.pop()
        return fields

    @property
    def quotes(self) -> bool:
        """Whether quotes mean anything: csv knows delimiters of one character only."""
        return self.quoted and len(self.delimiter) == 1 and self.delimiter != SPACES


def batches(
    text: Iterable[str], grammar: Grammar, columns: Sequence[int], first: int = 1, size: int = ROWS_PER_BATCH
) -> Iterator[Batch]:
    """Lines of a file -> batches of its rows, only the asked columns; empty lines are no rows.

    Args:
        text: lines without their ends.
        columns: positions of the asked columns.
        first: the number of the first of the lines.
        size: lines per batch; no result depends on it.
    """
    waiting = deque[str]()
    ahead = iter(text)
    number = first
    while True:
        waiting.extend(islice(ahead, max(0, size - len(waiting))))
        if not waiting:
            return
        lines = list(waiting)
        if batch := _flawless(lines, grammar, columns, number):
            waiting.clear()
            number += len(lines)
            yield batch
            continue
        batch, used = _batch(waiting, ahead, grammar, columns, number)
        number += used
        yield batch


def fields_of(line: str, delimiter: str) -> list[str]:
    """The fields of one line taken by itself."""
    if '"' in line and len(delimiter) == 1 and delimiter != SPACES:
        try:
            return next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True))
        except csv.Error:
            pass  # no closing quote, or text behind it: as it stands, then
    return line.split() if delimiter == SPACES else line.split(delimiter)


def _batch(
    waiting: deque[str], ahead: Iterator[str], grammar: Grammar, columns: Sequence[int], number: int
) -> tuple[Batch, int]:
    """The rows of the waiting lines; the last of them may take more from `ahead`."""
    numbers: list[int] = []
    rows: list[list[str]] = []
    raws: list[str] = []
    bad: list[Rejected] = []
    began, quotes = number, grammar.quotes
    for _ in range(len(waiting)):
        if not waiting:
            break
        line = waiting.popleft()
        raw, used, reason = line, 1, ""
        if quotes and '"' in line:
            fields, used, reason = _quoted(line, waiting, ahead, grammar)
            if used > 1:
                raw = "\n".join([line, *(waiting.popleft() for _ in range(used - 1))])
        else:
            fields = grammar.split(line)
        if reason:
            bad.append(Rejected(number, reason, raw))
        elif grammar.broken and LONE_SURROGATE.search(raw):
            bad.append(Rejected(number, ENCODING, raw))
        elif len(fields) == grammar.width:
            rows.append(fields)
            numbers.append(number)
            raws.append(raw)
        elif line.strip():
            bad.append(Rejected(number, FIELDS, raw, f"{len(fields)}, not {grammar.width}"))
        number += used
    cells = [stripped(row[column] for row in rows) for column in columns]
    return Batch(numbers, cells, raws.__getitem__, tuple(bad)), number - began


def _flawless(lines: list[str], grammar: Grammar, columns: Sequence[int], number: int) -> Batch | None:
    """The same where every line is one row of the right width: most files, most of the time, and much faster.
    None where a line is anything else."""
    if grammar.broken or grammar.delimiter == SPACES or "" in lines:
        return None
    quoting = grammar.quotes and any('"' in line for line in lines)
    if not quoting and len(grammar.delimiter) == 1:
        if set(map(str.count, lines, repeat(grammar.delimiter))) != {grammar.width - 1}:
            return None
        # All fields in one list: a list per line would keep the garbage collector busy.
        fields = grammar.delimiter.join(lines).split(grammar.delimiter)
        by_column: Sequence[Iterable[str]] = [fields[column :: grammar.width] for column in columns]
    else:
        try:
            rows = (
                list(csv.reader(lines, delimiter=grammar.delimiter, strict=True, skipinitialspace=True))
                if quoting
                else [line.split(grammar.delimiter) for line in lines]
            )
        except csv.Error:
            return None
        if len(rows) != len(lines) or set(map(len, rows)) != {grammar.width}:
            return None
        by_column = [[row[column] for row in rows] for column in columns]
    cells = [stripped(column) for column in by_column]
    return Batch(range(number, number + len(lines)), cells, lines.__getitem__)


def _quoted(
    line: str, waiting: deque[str], ahead: Iterator[str], grammar: Grammar
) -> tuple[list[str], int, str]:
    """Fields, lines used and, where it is no row, the reason, of a line that holds a quote."""
    read = _Lines(line, waiting, ahead)
    literal = grammar.split(line)
    fits = len(literal) == grammar.width
    try:
        fields = grammar.cut(
            next(csv.reader(read, delimiter=grammar.delimiter, strict=True, skipinitialspace=True))
        )
        unclosed = read.used > 1 and (len(fields) != grammar.width or _swallows_rows(read, grammar))
    except csv.Error:  # no closing quote, or text behind it
        fields = literal
        unclosed = read.used > 1 or read.ended
        if not unclosed:
            return literal, 1, ""
    if not unclosed:
        return fields, read.used, ""
    # Where tabs divide, programs that know no quotes wrote the file; elsewhere the quote was meant as one.
    return literal, 1, "" if fits and grammar.delimiter == "\t" else QUOTE


def _swallows_rows(read: "_Lines", grammar: Grammar) -> bool:
    """Whether a line inside the quotes would be a row by itself: then the quote was no opening one."""
    inside = list(islice(read.waiting, read.used - 1))
    return any('"' not in line and len(grammar.split(line)) == grammar.width for line in inside)


class _Lines:
    """Lines as csv asks for them: the first, then those behind it, which stay waiting until they are used."""

    def __init__(self, line: str, waiting: deque[str], ahead: Iterator[str]) -> None:
        self.waiting, self.used, self.ended = waiting, 0, False
        self._line, self._ahead, self._letters = line, ahead, 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.used == LINES_PER_RECORD or self._letters > LETTERS_PER_RECORD:
            self.ended = True
            raise StopIteration
        if self.used:
            place = self.used - 1
            if place == len(self.waiting):
                more = next(self._ahead, None)
                if more is None:
                    self.ended = True
                    raise StopIteration
                self.waiting.append(more)
            line = self.waiting[place]
        else:
            line = self._line
        self.used += 1
        self._letters += len(line)
        return f"{line}\n"
