"""What every test shares: few threads, fixed seeds, no network, and the way to the real data.

Assets come from the user's normal cache (ILORA_CACHE, or the system's cache folder): they are fetched once.
"""

import os
import random
import sys
from pathlib import Path

# Before any test module imports torch or gradio: they read these once. A value set by the caller stays.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

# The same examples in every run: a suite that fails by chance teaches people to run it again.
settings.register_profile("steady", derandomize=True, print_blob=True)
settings.load_profile("steady")

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = 2024
BROWSER = "tests/browser/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Files go to workers whole, and what visits the page to one of them: a server's start is dear."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneForTheBrowser(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return BROWSER if nodeid.startswith(BROWSER) else super()._split_scope(nodeid)

    return OneForTheBrowser(config, log)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Same randomness and threads for each test, whichever ran before it."""
    random.seed(SEED)
    np.random.seed(SEED)
    # Tests that need torch import it at the top of their file; the others need not wait for it.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"].split(",")[0]))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real LastFM and Steam files that lie beside the repository and are never committed to it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development data (../shared/data) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second bundle, of artists, that is on every machine; its weights are random. Made once for all."""
    from tests.exports.music import music_bundle

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "music"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "music").is_dir():
            folder.mkdir()
            assert music_bundle(folder).path == folder / "music"
    return folder / "music"
