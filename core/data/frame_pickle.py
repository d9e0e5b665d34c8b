"""Reading the publishers' pickled pandas frames without running anything of them.

A pickle is a program: it names functions and calls them. Here every name is looked up in a short list, and
what it stands for is never the real thing but an inert record that keeps the arguments of the call and no
more. So neither pandas nor numpy's own constructors run, pandas need not be installed, and a name that is not
on the list ends the reading. `core.data.frame_decode` makes columns of the records.

The one place of the product that reads pickles.
"""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

from core.errors import DataError

ALLOWED: frozenset[tuple[str, str]] = frozenset(
    (module, name)
    for modules, names in (
        (("pandas", "pandas.core.frame"), ("DataFrame",)),
        (("pandas.core.internals.managers", "pandas.core.internals"), ("BlockManager",)),
        (("pandas._libs.internals",), ("_unpickle_block",)),
        (("pandas.core.internals.blocks",), ("new_block",)),
        (("pandas.core.indexes.base",), ("_new_Index", "Index")),
        (("pandas",), ("Index", "RangeIndex", "StringDtype")),
        (("pandas.core.indexes.range",), ("RangeIndex",)),
        (("pandas.core.indexes.numeric",), ("Int64Index",)),
        (("pandas.core.arrays.string_",), ("StringDtype",)),
        (("pandas.arrays", "pandas.core.arrays.string_arrow"), ("ArrowStringArray",)),
        (("pyarrow.lib",), ("_restore_array", "chunked_array", "type_for_alias", "py_buffer")),
        (("numpy",), ("ndarray", "dtype")),
        (("numpy.core.multiarray", "numpy._core.multiarray"), ("_reconstruct", "scalar")),
        (("numpy.core.numeric", "numpy._core.numeric"), ("_frombuffer",)),
        # What older pickle protocols make slices, bytes and plain objects of.
        (("builtins", "__builtin__"), ("slice", "bytearray", "object")),
        (("_codecs",), ("encode",)),
        (("copyreg", "copy_reg"), ("_reconstructor",)),
    )
    for module in modules
    for name in names
)
"""(module, name) of everything that a pickled frame may name."""


class Inert:
    """What a pickle asked to be made: by which name, of which arguments, with which state. It does nothing.

    Attributes:
        name: the last part of the name, of the class.
        args: the arguments of the call.
        state: what was to be put into it afterwards; None where nothing was.
    """

    __slots__ = ("args", "state")
    name: ClassVar[str] = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: object) -> "Inert":
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    # Defined, so that pickle hands the state over instead of setting attributes by itself.
    def __setstate__(self, state: object) -> None:
        self.state = state


class FramePickle(pickle.Unpickler):
    """An unpickler that knows the allowed names only, and those as inert records."""

    def find_class(self, module: str, name: str) -> type[Inert]:
        """A class of inert records, one per name. Raises DataError for a name that is not allowed."""
        if (module, name) not in ALLOWED:
            raise DataError(f"it names {module}.{name}, which no table of windows needs")
        return type(name, (Inert,), {"__slots__": (), "name": name})

    def persistent_load(self, pid: object) -> object:
        """Refuse references to things outside the file."""
        raise DataError("it refers to something outside the file")


def read_frame_pickle(path: Path) -> object:
    """The file's top object: numbers, texts, lists, dicts and inert records.

    Raises:
        DataError: the file is no pickle, or names what is not allowed.
    """
    try:
        return FramePickle(io.BytesIO(path.read_bytes())).load()
    except DataError as error:
        raise DataError(f"{path} is refused and nothing of it was run: {error}.") from error
    except (
        OSError,
        EOFError,
        MemoryError,
        pickle.UnpicklingError,
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError(f"{path} is no readable pickled table ({error}); get it again.") from error
