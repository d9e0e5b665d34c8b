"""One file of any accepted kind: its layout, and its rows in batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.assets.progress import Progress
from core.data.importing import json_lines, parquet, records
from core.data.importing.batches import ROWS_PER_BATCH, Batch
from core.data.importing.headers import Column
from core.data.importing.layout import Layout, Said
from core.data.importing.records import Grammar
from core.data.importing.sniff import SAMPLE_LINES, layout_of, sniff
from core.data.importing.text import TextFile, check_kind, open_text


@dataclass(frozen=True)
class Source:
    """A file that is understood.

    Attributes:
        layout: its columns and what they are.
        text: how it is decoded; None for Parquet.
        grammar: how its lines are divided; None for Parquet and JSON lines.
        header: whether its first line names the columns.
    """

    path: Path
    layout: Layout
    text: TextFile | None = None
    grammar: Grammar | None = None
    header: bool = False

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return self.path.name

    def batches(self, progress: Progress | None = None, size: int = ROWS_PER_BATCH) -> Iterator[Batch]:
        """Rows with one cell per role, in the order of `layout.roles`.

        Raises:
            DataError: the file cannot be read to its end.
        """
        places = list(self.layout.roles.values())
        if self.text is None:
            names = [self.layout.columns[place].name for place in places]
            return parquet.batches(self.path, names, size, progress)
        lines = self.text.lines(progress)
        if self.grammar is None:
            return json_lines.batches(lines, [self.layout.columns[place].name for place in places], size)
        first = 1
        if self.header:  # the first line that is not empty
            for line in lines:
                first += 1
                if line.strip():
                    break
        return records.batches(lines, self.grammar, places, first, size)


def open_source(path: Path, said: Said, items_file: bool = False) -> Source:
    """Find out what a file is and how it is laid out.

    Args:
        said: what is known beforehand.
        items_file: whether every row is one item; else one interaction.

    Raises:
        DataError: it cannot be read, is of no accepted kind, or its columns cannot be told.
    """
    if check_kind(path).startswith(parquet.MAGIC):
        columns = tuple(map(Column, parquet.columns_of(path)))
        sample = next(parquet.batches(path, [column.name for column in columns], SAMPLE_LINES), None)
        rows = sample.rows if sample else ()
        return Source(path, layout_of("Parquet", columns, rows, path.name, said, items_file))
    text = open_text(path, said.encoding)
    lines = list(islice(text.lines(), SAMPLE_LINES))
    if keys := json_lines.keys_of(lines):
        columns = tuple(map(Column, keys))
        sample_rows = [row for batch in json_lines.batches(lines, keys) for row in batch.rows]
        layout = layout_of(f"JSON lines, {text.called}", columns, sample_rows, path.name, said, items_file)
        return Source(path, layout, text)
    found = sniff(lines, path.name, said, items_file, text.called, text.broken)
    return Source(path, found.layout, text, found.grammar, found.header)
