"""A hub id becomes a local folder: safetensors only, no code, offline when `HF_HUB_OFFLINE` says so."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from quant.errors import BackboneError
from quant.progress import Progress

_WANTED = ["*.safetensors", "*.json", "tokenizer.model", "*.jinja"]
"""Never *.bin or *.py: nothing that is unpickled or executed."""


def fetch_folder(source: str | Path, revision: str | None, tell: Progress) -> Path:
    """The local copy of a hub repository, downloaded at first use.

    Raises:
        BackboneError: not a hub id, unknown, gated, or not reachable and not in the hub's cache.
    """
    name = str(source)
    if isinstance(source, Path) or not _looks_like_hub_id(name):
        raise BackboneError(
            f'"{name}" does not exist: give a GGUF file, a folder with safetensors, or a hub id (owner/name).'
        )
    tell(f"Looking for {name} on the hub and in its cache.")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED))
    except HFValidationError as error:
        raise BackboneError(f'"{name}" is neither a file, a folder nor a valid hub id.') from error
    except GatedRepoError as error:
        raise BackboneError(f'"{name}" is gated: accept its terms on the hub and log in first.') from error
    except RevisionNotFoundError as error:
        raise BackboneError(f'"{name}" has no revision "{revision}" on the hub.') from error
    except RepositoryNotFoundError as error:
        raise BackboneError(f'"{name}" is not on the hub: check the spelling (owner/name).') from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise BackboneError(
            f'"{name}" is not in the local hub cache and the hub cannot be reached:'
            " connect once, or give a local folder or GGUF file."
        ) from error


def _looks_like_hub_id(name: str) -> bool:
    return name.count("/") <= 1 and not name.startswith((".", "~", "/")) and not name.endswith(".gguf")
