"""Text files as people have them: plain or gzipped, in the encoding that some program chose.

The encoding is settled over the whole file, not over its beginning: the first accent may be in the last line.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.assets.progress import CHUNK, Progress
from core.errors import DataError

GZIP = b"\x1f\x8b"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),  # before UTF-16, with whose mark its own begins
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_CONTAINERS = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV"),
    (b"BZh", "packed with bzip2: unpack it first"),
    (b"\xfd7zXZ", "packed with xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it first"),
    (b"%PDF", "a PDF: bring the table itself as CSV"),
    (b"SQLite format 3", "an SQLite database: export the table as CSV"),
)
_UNDEFINED_IN_1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""What stands for a byte that is not in the encoding; no text of ours may hold one."""

_HINT = re.compile(r'\ufeff?"?sep=.{1,2}"?\r?')
"""A first line for spreadsheets that says what divides the others; it is no row."""


@dataclass(frozen=True)
class TextFile:
    """A text file and how to decode it.

    Attributes:
        encoding: Python's name of it.
        called: the same for people.
        broken: whether some lines are not in that encoding; they hold lone surrogates (`LONE_SURROGATE`).
    """

    path: Path
    encoding: str
    called: str
    broken: bool = False

    def lines(self, progress: Progress | None = None) -> Iterator[str]:
        """Every line without its end, whatever the end is (\\n, \\r\\n or \\r); a spreadsheet's hint blank.

        Raises:
            DataError: the file cannot be read or is not in this encoding.
        """
        with _reading(self.path, self.called), self.path.open("rb") as raw:
            total = self.path.stat().st_size
            errors = "surrogateescape" if self.broken else "strict"
            text = io.TextIOWrapper(_unpacked(raw), encoding=self.encoding, errors=errors)
            rest, begun = "", False
            while block := text.read(CHUNK):
                if progress:
                    progress.update(raw.tell(), total, "reading")
                *lines, rest = f"{rest}{block}".split("\n")
                if lines and not begun:
                    begun, lines[0] = True, "" if _HINT.fullmatch(lines[0]) else lines[0]
                yield from lines
            if rest:
                yield rest


def open_text(path: Path, encoding: str | None = None) -> TextFile:
    """Find out (or take as given) how a text file is encoded.

    Raises:
        DataError: it is no file, empty, of a kind that must be unpacked first, or the encoding is unknown.
    """
    check_kind(path)
    with _reading(path, encoding or "text"):
        if encoding is None:
            return _sniffed(path)
        try:
            name = codecs.lookup(encoding).name
        except LookupError:
            raise DataError(
                f'There is no encoding "{encoding}"; usual ones are utf-8, utf-16, cp1252, latin-1, gbk.'
            ) from None
        if name == "utf-8":
            return TextFile(path, "utf-8-sig", "UTF-8", broken=_bad_lines(path)[0] > 0)
        return TextFile(path, name, encoding)


def check_kind(path: Path) -> bytes:
    """The first bytes of a file that can be read as it is.

    Raises:
        DataError: it is missing, a folder, empty, or a container of another kind.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "is not there"
        raise DataError(f"{path} {what}; name a file of interactions such as ratings.csv.")
    with _reading(path, "anything"), path.open("rb") as raw:
        head = raw.read(64)
    if not head:
        raise DataError(f"{path} is empty; bring a file with one interaction per line.")
    for magic, what in _CONTAINERS:
        if head.startswith(magic):
            raise DataError(f"{path} is {what}.")
    return head


@contextmanager
def _reading(path: Path, called: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise DataError(
            f"{path} is not in {called} throughout ({error}); name another with --encoding."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); it may be damaged or cut off.") from error


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    packed = raw.read(2) == GZIP
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[return-value]


def _sniffed(path: Path) -> TextFile:
    with path.open("rb") as raw:
        head = _unpacked(raw).read(4096)
    for mark, encoding, called in _MARKS:
        if head.startswith(mark):
            return TextFile(
                path, encoding, called, broken=encoding == "utf-8-sig" and _bad_lines(path)[0] > 0
            )
    # Without a mark, UTF-16 shows as a zero in every other byte of mostly Latin text.
    zeros_even, zeros_odd = head[::2].count(0), head[1::2].count(0)
    if max(zeros_even, zeros_odd) > len(head) // 4:
        ending = "le" if zeros_odd > zeros_even else "be"
        return TextFile(path, f"utf-16-{ending}", "UTF-16 without a byte order mark")
    if _is_utf8(path):
        return TextFile(path, "utf-8", "UTF-8")
    bad, good, beyond_1252 = _bad_lines(path)
    if good > bad:  # accents mostly right: a UTF-8 file with some damaged lines
        return TextFile(path, "utf-8", "UTF-8", broken=True)
    if beyond_1252:
        return TextFile(path, "latin-1", "Latin-1")
    return TextFile(path, "cp1252", "Windows-1252 (Latin-1)")


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as raw:
        stream = _unpacked(raw)
        try:
            while block := stream.read(CHUNK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _bad_lines(path: Path) -> tuple[int, int, bool]:
    """Lines with accents that are no UTF-8, lines whose accents are, and whether Windows-1252 lacks one."""
    bad = good = 0
    beyond_1252 = False
    with path.open("rb") as raw:
        for line in _unpacked(raw):
            if line.isascii():
                continue
            beyond_1252 = beyond_1252 or _UNDEFINED_IN_1252.search(line) is not None
            try:
                line.decode("utf-8")
                good += 1
            except UnicodeDecodeError:
                bad += 1
    return bad, good, beyond_1252
