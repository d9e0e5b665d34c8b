"""How one file is laid out, and what a person may say about it beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.data.importing.headers import Column, Role
from core.data.importing.records import SPACES

DELIMITER_NAMES = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "bars (|)",
    "::": "double colons (::)",
    SPACES: "blanks",
}
SPOKEN = {
    "tab": "\t",
    "\\t": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "bar": "|",
    "space": SPACES,
    "blank": SPACES,
}
"""How a delimiter that a shell makes hard to type can be named."""
NO_COLUMN = "none"


@dataclass(frozen=True)
class Said:
    """What a person says about one file; everything left out is found out.

    Attributes:
        delimiter: a name of SPOKEN or the characters themselves.
        encoding: Python's name of it.
        header: whether the first line names the columns.
        columns: role -> column, by name or by number from 1; "none": there is no such column.
        time_format: see `times.check_spelling`.
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    columns: Mapping[Role, str] = field(default_factory=dict)
    time_format: str | None = None


@dataclass(frozen=True)
class Layout:
    """What was found (or said).

    Attributes:
        format: in words, with delimiter, encoding and header: "CSV with commas, UTF-8, a header line".
        columns: all of them, in the order of the file.
        roles: role -> position in `columns`.
        times: how times are spelled (see `times`), where there are any.
        doubts: guesses that could have gone another way, as sentences.
    """

    format: str
    columns: tuple[Column, ...]
    roles: Mapping[Role, int]
    times: str
    doubts: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of columns that nothing was taken from."""
        return tuple(c.name for place, c in enumerate(self.columns) if place not in self.roles.values())

    def column(self, role: Role) -> Column | None:
        """The column of a role."""
        return self.columns[self.roles[role]] if role in self.roles else None
