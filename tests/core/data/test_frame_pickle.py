"""The publishers' pickled frames are read, and no pickle runs anything, whatever it asks for."""

import builtins
import copyreg
import functools
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandas.core.frame
import pandas.core.internals.managers
import pytest

from core.data.frame_decode import read_frame
from core.data.frame_pickle import ALLOWED, FramePickle, Inert
from core.data.registry import load_dataset
from core.data.windows import read_windows
from core.errors import DataError

COLUMNS = ("seq", "len_seq", "next")
ROWS = [([1, 2, 3, 9], 3, 4), ([4, 5, 9, 9], 2, 6), ([7, 9, 9, 9], 1, 8)]


def _frame() -> pd.DataFrame:
    seq, length, target = (list(column) for column in zip(*ROWS, strict=True))
    return pd.DataFrame({"seq": seq, "len_seq": length, "next": target})


def _rows(path: Path) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in read_frame(path, COLUMNS)]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_real_frame_comes_back_from_every_protocol(protocol: int, tmp_path: Path) -> None:
    _frame().to_pickle(tmp_path / "a.df", protocol=protocol)
    assert _rows(tmp_path / "a.df") == ROWS


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda f: f[["next", "seq", "len_seq"]], id="other order"),
        pytest.param(lambda f: f.assign(title=["a", "b", "c"]), id="more columns"),
        pytest.param(lambda f: f.set_index(np.array([7, 3, 5])), id="own row numbers"),
        pytest.param(lambda f: f.astype({"len_seq": np.int32, "next": np.uint16}), id="narrow numbers"),
        pytest.param(lambda f: f.astype({"next": object}), id="numbers as objects"),
        pytest.param(lambda f: f.assign(seq=[np.array(row[0]) for row in ROWS]), id="arrays in cells"),
        pytest.param(lambda f: f.assign(seq=[tuple(map(np.int64, row[0])) for row in ROWS]), id="scalars"),
        pytest.param(lambda f: pd.concat([f[:1], f[1:]], ignore_index=True), id="put together"),
        pytest.param(lambda f: f.iloc[::-1].iloc[::-1], id="strided"),
    ],
)
def test_frames_of_other_making_come_back(
    change: Callable[[pd.DataFrame], pd.DataFrame], tmp_path: Path
) -> None:
    change(_frame()).to_pickle(tmp_path / "a.df")
    assert _rows(tmp_path / "a.df") == ROWS


def test_a_selection_keeps_the_order_of_its_rows(tmp_path: Path) -> None:
    frame = _frame()
    frame[frame["len_seq"] != 2].to_pickle(tmp_path / "a.df")
    assert _rows(tmp_path / "a.df") == [ROWS[0], ROWS[2]]


def test_a_frame_as_pandas_before_1_3_wrote_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manager put everything into its state, under the key "0.14.1"."""

    def old(where: Any, name: str, state: object) -> Any:
        kind = type(name, (), {"__module__": where.__name__, "__getstate__": lambda self: state})
        monkeypatch.setattr(where, name, kind)
        return kind()

    names, rows = pd.Index(list(COLUMNS), dtype=object), pd.RangeIndex(3)
    seq = np.empty((1, 3), dtype=object)
    seq[0, :] = [row[0] for row in ROWS]
    numbers = np.array([[row[1] for row in ROWS], [row[2] for row in ROWS]])
    blocks = [
        {"values": seq, "mgr_locs": slice(0, 1, 1)},
        {"values": np.asfortranarray(numbers), "mgr_locs": np.array([1, 2])},
    ]
    kept = {"0.14.1": {"axes": [names, rows], "blocks": blocks}}
    manager = old(pandas.core.internals.managers, "BlockManager", ([names, rows], [], [], kept))
    frame = old(pandas.core.frame, "DataFrame", {"_data": manager, "_typ": "dataframe"})
    (tmp_path / "a.df").write_bytes(pickle.dumps(frame, protocol=2))
    assert _rows(tmp_path / "a.df") == ROWS


def test_pandas_is_neither_needed_nor_imported(tmp_path: Path, repository: Path) -> None:
    _frame().to_pickle(tmp_path / "a.df")
    program = (
        "import sys; sys.modules['pandas'] = None\n"
        "from pathlib import Path\n"
        "from core.data.frame_decode import read_frame\n"
        f"print(len(read_frame(Path({str(tmp_path / 'a.df')!r}), {COLUMNS})))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("3", 0), done.stderr


# ----- what must not happen


class _Call:
    """Pickles as a call: what a malicious file holds."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made

    def __call__(self) -> None:
        """Callable, so that pickle writes it where a function stands."""


def _touch(marker: Path) -> dict[str, object]:
    """Pickled things each of which would create the marker if anything of it were run."""
    shell, python = f"touch {marker}", f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": _Call(os.system, shell),
        "subprocess.Popen": _Call(subprocess.Popen, ["touch", str(marker)]),
        "eval": _Call(eval, python),
        "exec": _Call(exec, python),
        "open": _Call(open, str(marker), "w"),
        "getattr chain": _Call(_Call(getattr, _Call(__import__, "os"), "system"), shell),
        "functools.partial": _Call(functools.partial(os.system, shell)),
        "map of eval": _Call(list, _Call(map, eval, [python])),
        "numpy.load": _Call(np.load, str(marker)),
        "in a cell": pd.DataFrame({"seq": [[_Call(os.system, shell)]], "len_seq": [1], "next": [1]}),
        "in a state": _Call(copyreg._reconstructor, _Call(os.system, shell), object, None),  # type: ignore[attr-defined]
        "as a dtype": _Call(np.dtype, _Call(os.system, shell)),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("attack", list(_touch(Path("x"))))
def test_a_malicious_pickle_is_refused_and_nothing_ran(attack: str, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    try:
        body = pickle.dumps(_touch(marker)[attack], protocol=protocol)
    except TypeError:
        pytest.skip("this protocol cannot say that")
    (tmp_path / "train_data.df").write_bytes(body)
    with pytest.raises(
        DataError, match=r"refused and nothing of it was run: it names [\w.]+, which"
    ) as failed:
        read_frame(tmp_path / "train_data.df", COLUMNS)
    assert "\n" not in str(failed.value)
    assert not marker.exists()


def test_the_same_pickle_read_the_usual_way_does_run(tmp_path: Path) -> None:
    """So that the tests above are known to be able to fail."""
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(_touch(marker)["os.system"]))
    assert marker.exists()


def _by_hand(*opcodes: bytes) -> bytes:
    return b"\x80\x04" + b"".join(opcodes) + b"."


def _named(module: str, name: str) -> bytes:
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return texts + b"\x93"  # STACK_GLOBAL


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "ndarray.__class__"),  # dotted names walk attributes
        ("numpy", "dtype.__subclasses__"),
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
        ("pandas", "read_pickle"),
        ("pandas", "io.common.os.system"),
        ("core.data.frame_pickle", "FramePickle"),
        ("core.data.frame_pickle", "Inert"),
        ("builtins", "getattr"),
        ("builtins", "type"),
        ("copyreg", "add_extension"),
        ("", ""),
    ],
)
def test_names_beside_the_list_are_refused_however_near(module: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.df").write_bytes(_by_hand(_named(module, name)))
    with pytest.raises(DataError, match="refused and nothing of it was run"):
        read_frame(tmp_path / "a.df", COLUMNS)


def test_persistent_references_and_extensions_are_refused(tmp_path: Path) -> None:
    for body in (_by_hand(b"K\x01Q"), b"Pos.system\n.", _by_hand(b"\x82\x01")):
        (tmp_path / "a.df").write_bytes(body)
        with pytest.raises(DataError):
            read_frame(tmp_path / "a.df", COLUMNS)


def test_every_allowed_name_stands_for_an_inert_record_and_is_never_the_real_thing() -> None:
    reader = FramePickle(io.BytesIO())
    for module, name in ALLOWED:
        found = reader.find_class(module, name)
        assert issubclass(found, Inert) and found.__module__ == "core.data.frame_pickle"
        made = found("a", 1)
        assert (made.args, made.name) == (("a", 1), name) and not callable(made)


def test_a_state_cannot_change_the_reader_or_its_records(tmp_path: Path) -> None:
    """BUILD sets attributes of what it is given; on a class or a record it must not."""
    dangerous = b"}\x8c\x04name\x8c\x05wrong" + b"s"
    slots = b"N" + dangerous + b"\x86"
    for target in (_named("numpy", "ndarray"), _named("numpy", "ndarray") + b")\x81"):
        for state in (dangerous, slots):
            (tmp_path / "a.df").write_bytes(_by_hand(target + state + b"b"))
            with pytest.raises(DataError):
                read_frame(tmp_path / "a.df", COLUMNS)
    assert FramePickle(io.BytesIO()).find_class("numpy", "ndarray").name == "ndarray"
    assert Inert.name == "" and np.ndarray.__name__ == "ndarray" and builtins.eval("1") == 1


def test_every_beginning_of_a_frame_is_one_sentence(tmp_path: Path) -> None:
    whole = pickle.dumps(_frame())
    for end in range(len(whole)):
        (tmp_path / "a.df").write_bytes(whole[:end])
        with pytest.raises(DataError, match="get it again"):
            read_frame(tmp_path / "a.df", COLUMNS)


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ([1, 2, 3], "not a DataFrame"),
        ({"seq": [[1]]}, "not a DataFrame"),
        (np.arange(3), "not a DataFrame"),
        (pd.DataFrame({"seq": [[1]], "len_seq": [1]}), "lacks the column next"),
        (pd.DataFrame([[1, 2, 3]]), "its columns have no names"),
    ],
)
def test_what_is_no_table_of_windows_is_one_sentence(thing: object, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.df").write_bytes(pickle.dumps(thing))
    with pytest.raises(DataError, match=sentence):
        read_frame(tmp_path / "a.df", COLUMNS)


def test_cells_that_are_no_windows_are_named_by_row(tmp_path: Path) -> None:
    frame = pd.DataFrame({"seq": [[1, 2], "no"], "len_seq": [2, 2], "next": [1, 1]})
    frame.to_pickle(tmp_path / "a.df")
    with pytest.raises(DataError, match=r"a.df row 2"):
        read_windows(tmp_path / "a.df", 5)


def test_lastfm_as_its_publishers_pickle_it_is_the_same_data(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_DIR", str(shared_data))
    expected = load_dataset("lastfm").sha256
    folder = tmp_path / "lastfm"
    folder.mkdir()
    (folder / "id2name.txt").write_bytes((shared_data / "lastfm" / "titles.txt").read_bytes())
    for source, published in (("train", "train_data"), ("val", "Val_data"), ("test", "Test_data")):
        windows = pd.read_json(shared_data / "lastfm" / f"{source}.jsonl.gz", lines=True)
        windows.to_pickle(folder / f"{published}.df")
    monkeypatch.setenv("ILORA_ASSET_DIR", str(tmp_path))
    assert load_dataset("lastfm").sha256 == expected
