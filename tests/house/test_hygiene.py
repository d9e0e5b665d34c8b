"""What must never be in the repository: other people's ratings, one machine's paths, a stranger's code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".css", ".js", ".cfg", ".sh", ""}
# Written as patterns, so that this file does not contain what it forbids.
REGISTRY_HOSTS = re.compile(r"(?i)(?:pypi|pythonhosted|pytorch|npmjs|anaconda)\.(?:org|com|io)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home/[a-z]+|Users/[a-z]+|opt/(?:wheels|pypi)[\w-]*)/")
RATINGS = re.compile(r"(?:^|/)(?:u\.(?:data|item|user)|ml-\d+\w*\.(?:inter|item|user)|ratings\.(?:csv|dat))$")
# The one reader of pickles: every name becomes an inert record (see its docstring).
GUARDED = Path("core/data/frame_pickle.py")
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"torch.load", "gr.load", "gradio.load", "eval", "exec"}
TABULAR = {".csv", ".tsv", ".dat", ".parquet", ".gz", ".zip", ".npy", ".npz", ".whl", ".gguf"}
MEGABYTE = 2**20


def _lines(repository: Path, files: list[Path]) -> Iterator[tuple[str, str]]:
    """Every line of every text file, with its place."""
    for file in files:
        if file.suffix in TEXT:
            for number, line in enumerate(
                (repository / file).read_text(encoding="utf-8").splitlines(), start=1
            ):
                yield f"{file}:{number}", line


@pytest.mark.parametrize("forbidden", [REGISTRY_HOSTS, MACHINE_PATHS], ids=["registry host", "machine path"])
def test_no_file_names(forbidden: re.Pattern[str], repository: Path, files: list[Path]) -> None:
    assert [f"{place}: {line}" for place, line in _lines(repository, files) if forbidden.search(line)] == []


def test_the_patterns_find_what_they_are_for() -> None:
    assert REGISTRY_HOSTS.search("https://files." + "pythonhosted" + ".org/x.whl")
    assert MACHINE_PATHS.search("open('" + "/wo" + "rk/main/a.py')")
    assert RATINGS.search("tests/data/ml-100k.inter") and not RATINGS.search("tests/house/test_ratings.py")


def test_no_ratings_are_committed(files: list[Path]) -> None:
    assert [str(file) for file in files if RATINGS.search(file.as_posix())] == []


def test_no_data_is_committed_but_the_trained_bundle(repository: Path, files: list[Path]) -> None:
    """GroupLens forbids redistribution; a large or tabular file is the shape in which ratings slip in.

    Ranks by case number are no ratings (tests/app/test_committed_evidence.py looks at their columns).
    """
    suspicious = [
        str(file)
        for file in files
        if not file.is_relative_to("exports/bundles")
        and not (file.is_relative_to("docs/evidence") and file.parent.name == "ranks")
        and (file.suffix in TABULAR or (repository / file).stat().st_size > MEGABYTE)
    ]
    assert suspicious == []


def test_the_bundles_are_small_enough_for_a_repository(repository: Path, files: list[Path]) -> None:
    sizes = [(repository / file).stat().st_size for file in files if file.is_relative_to("exports/bundles")]
    assert sum(sizes) <= 15 * MEGABYTE


def test_no_room_unpickles_or_runs_a_strangers_code(sources: dict[Path, ast.Module]) -> None:
    found = [f"{path}:{line}" for path, tree in sources.items() if path != GUARDED for line in _dangers(tree)]
    assert found == []


def test_the_guarded_reader_of_pickles_looks_up_every_name_itself(sources: dict[Path, ast.Module]) -> None:
    """It may import pickle, but neither load with it nor fall back to its own way of finding names."""
    tree = sources[GUARDED]
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {name for name in used if name.startswith("pickle.")} == {
        "pickle.Unpickler",
        "pickle.UnpicklingError",
    }
    called = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call for call in called if "find_class" in call or "getattr" in call or "import" in call]


@pytest.mark.parametrize(
    "program",
    [
        "import pickle\npickle.load(file)",
        "from pickle import loads",
        "torch.load(path, weights_only=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "numpy.load(path, allow_pickle=True)",
        "from joblib import load",
        "gr.load('models/x')",
        "eval(text)",
    ],
)
def test_such_code_would_be_found(program: str) -> None:
    assert list(_dangers(ast.parse(program))) != []


def _dangers(tree: ast.Module) -> Iterator[int]:
    """Line numbers of what could run code from a file or a hub."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {module, *(alias.name for alias in node.names)}
            if names & UNSAFE_MODULES:
                yield node.lineno
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            flags = {word.arg for word in node.keywords if not _is_false(word.value)}
            if name in UNSAFE_CALLS or flags & {"trust_remote_code", "allow_pickle"}:
                yield node.lineno


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_there_is_no_drawer_for_everything(files: list[Path]) -> None:
    """A file named after nothing collects everything."""
    nameless = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [str(file) for file in files if file.name in nameless] == []


def test_files_stay_small_enough_to_be_one_idea(sources: dict[Path, ast.Module], repository: Path) -> None:
    long = {
        str(path): count
        for path in sources
        if (count := len((repository / path).read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
