"""From inert records of a pickled pandas frame to its columns, as plain lists.

Knows the forms that pandas 1 to 3 write: a manager of blocks, each a two-dimensional array of some columns.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from core.data.frame_pickle import Inert, read_frame_pickle
from core.errors import DataError

NUMBERS = frozenset(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)) | {"f4", "f8", "b1"}
"""Element types that are read from bytes; everything else must be a list of objects."""


def read_frame(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a pickled frame, with plain numbers and lists in the asked columns.

    Raises:
        DataError: the file is refused, is no frame, or lacks a column.
    """
    top = read_frame_pickle(path)
    try:
        frame = _frame(top, columns)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no table of a kind that is known ({error}); get it again.") from error
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]}; it needs {', '.join(columns)}.")
    lengths = {len(frame[column]) for column in columns}
    if len(lengths) > 1:
        raise DataError(f"{path} has columns of different lengths; get it again.")
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(frame[column] for column in columns), strict=True)
    ]


def _frame(top: object, wanted: Sequence[str]) -> dict[str, list[Any]]:
    """The wanted columns that are there; blocks of others are not looked into."""
    if _kind(top) != "DataFrame":
        raise ValueError("not a DataFrame")
    state = _state(top)
    blocks, axes = _manager(state["_mgr"] if "_mgr" in state else state["_data"])
    names = _labels(axes[0])
    columns: dict[str, list[Any]] = {}
    for values, placement in blocks:
        held = [names[column] for column in _places(placement)]
        if set(held) & set(wanted):
            for name, row in zip(held, _array(values), strict=True):
                columns[name] = [_plain(cell) for cell in row]
    return columns


def _manager(manager: Any) -> tuple[list[tuple[Any, Any]], Sequence[Any]]:
    """Blocks as (array, placement), and the axes."""
    if _kind(manager) != "BlockManager":
        raise ValueError("no block manager")
    if isinstance(manager.state, tuple):  # pandas before 1.3
        kept = manager.state[3]["0.14.1"]
        return [(block["values"], block["mgr_locs"]) for block in kept["blocks"]], kept["axes"]
    blocks, axes = manager.args
    return [(block.args[0], block.args[1]) for block in blocks], axes


def _places(placement: Any) -> Iterable[int]:
    if _kind(placement) == "slice":
        return range(*placement.args)
    return [int(place) for place in _array(placement)]


def _labels(index: Any) -> list[str]:
    """Column names of an index record."""
    if _kind(index) != "_new_Index":
        raise ValueError("no index of names")
    data = index.args[1].get("data")
    if data is None:
        raise ValueError("its columns have no names")
    labels = _texts(_state(data)["_pa_array"]) if _kind(data) == "ArrowStringArray" else _array(data)
    return [str(label) for label in labels]


def _array(record: Any) -> list[Any]:
    """An array record as nested lists."""
    if _kind(record) == "_frombuffer":
        buffer, dtype, shape, order = record.args
        return _numbers(buffer, dtype, shape, order)
    if _kind(record) != "_reconstruct":
        raise ValueError("no array")
    _, shape, dtype, fortran, data = record.state
    if isinstance(data, list):
        return _shaped(data, [int(size) for size in shape])
    return _numbers(data, dtype, shape, "F" if fortran else "C")


def _shaped(cells: list[Any], shape: Sequence[int]) -> list[Any]:
    """A flat list as nested lists of that shape, last axis fastest; the cells stay whole."""
    if math.prod(shape) != len(cells):
        raise ValueError(f"{len(cells)} cells in an array of another size")
    if len(shape) < 2:
        return cells
    inner = math.prod(shape[1:])
    return [_shaped(cells[i * inner : (i + 1) * inner], shape[1:]) for i in range(shape[0])]


def _numbers(data: Any, dtype: Any, shape: Sequence[int], order: str) -> list[Any]:
    flat = np.frombuffer(_bytes(data), dtype=_number_type(dtype))
    if order not in ("C", "F"):
        raise ValueError(f"an array in the order {order}")
    shaped: list[Any] = flat.reshape(
        [int(size) for size in shape], order="F" if order == "F" else "C"
    ).tolist()
    return shaped


def _number_type(dtype: Any) -> str:
    """numpy's code of a number type, with its byte order."""
    if _kind(dtype) != "dtype" or dtype.args[0] not in NUMBERS:
        raise ValueError("an element type that is no number")
    order = dtype.state[1] if isinstance(dtype.state, tuple) else "|"
    return f"{order if order in '<>|' else '<'}{dtype.args[0]}"


def _texts(array: Any) -> list[str]:
    """Texts of an Arrow array record: one buffer of ends, one of letters."""
    if _kind(array) == "chunked_array":
        return [text for chunk in array.args[0] for text in _texts(chunk)]
    kind, length, _, offset, buffers = array.args[0][:5]
    width = {"large_string": "<i8", "string": "<i4"}[kind.args[0]]
    ends = np.frombuffer(_bytes(buffers[1].args[0]), dtype=width)[offset : offset + length + 1].tolist()
    letters = _bytes(buffers[2].args[0])
    return [letters[start:end].decode() for start, end in pairwise(ends)]


def _plain(cell: Any) -> Any:
    """A cell as numbers and lists."""
    if type(cell) is int or (type(cell) is list and all(type(part) is int for part in cell)):
        return cell  # nearly all of them: a file has millions of numbers
    kind = _kind(cell)
    if kind in ("_reconstruct", "_frombuffer"):
        return _array(cell)
    if kind == "scalar":
        [number] = np.frombuffer(_bytes(cell.args[1]), dtype=_number_type(cell.args[0])).tolist()
        return number
    return [_plain(part) for part in cell] if isinstance(cell, list | tuple) else cell


def _bytes(data: Any) -> bytes:
    """Bytes, also as older protocols write them."""
    if _kind(data) == "encode":
        text, encoding = data.args
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"bytes in the encoding {encoding}")
        return bytes(text, "latin-1")
    if _kind(data) == "bytearray":
        return _bytes(data.args[0]) if data.args else b""
    if not isinstance(data, bytes | bytearray):
        raise TypeError("bytes are missing")
    return bytes(data)


def _kind(record: object) -> str:
    """By which name a record was made; empty for anything else."""
    if not isinstance(record, Inert):
        return ""
    made = record.args[0] if record.name == "_reconstructor" and record.args else record
    return str(getattr(made, "name", ""))


def _state(record: Any) -> Mapping[str, Any]:
    if not isinstance(record.state, dict):
        raise TypeError("a record without content")
    return record.state
