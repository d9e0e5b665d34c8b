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
from hypothesis import settings

# The same examples in every run: a suite that fails by chance teaches people to run it again.
settings.register_profile("steady", derandomize=True, print_blob=True)
settings.load_profile("steady")

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = 2024


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Same randomness for each test, whichever ran before it."""
    random.seed(SEED)
    np.random.seed(SEED)
    # Tests that need torch import it at the top of their file; the others need not wait for it.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)


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
    """A second bundle, of artists, that is on every machine; its weights are random."""
    from tests.exports.music import music_bundle

    return music_bundle(tmp_path_factory.mktemp("music")).path
