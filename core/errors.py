"""Errors a person can act on. The root lives in `quant.errors`, the lowest room."""

from collections.abc import Sequence

from quant.errors import BackboneError, IloraError

__all__ = [
    "AssetError",
    "BackboneError",
    "BundleError",
    "DataError",
    "IloraError",
    "PeerEnded",
    "RecipeError",
    "RunBusy",
    "RunError",
    "RunStopped",
    "UnknownItem",
]


class AssetError(IloraError):
    """A package, file or folder could not be fetched, or is not what its sha256 says."""


class BundleError(IloraError):
    """A bundle is missing, damaged, or made for another data set or backbone."""


class DataError(IloraError):
    """A data set, split or candidate list is not usable as asked."""


class RecipeError(IloraError):
    """A recipe field has a value that is not allowed."""


class RunError(IloraError):
    """A run folder or checkpoint cannot be used."""


class RunBusy(RunError):
    """Another process is at work in the folder: wait for it or choose another."""


class RunStopped(IloraError):
    """A run was asked to stop and did, with a checkpoint to go on from."""


class PeerEnded(RunError):
    """Another of the processes that train together ended; that one knows why."""


class UnknownItem(IloraError):
    """An id or title is not in the catalogue.

    Attributes:
        query: what was given.
        suggestions: the closest titles, best first (may be empty).
    """

    def __init__(self, query: str, suggestions: Sequence[str] = ()) -> None:
        self.query = query
        self.suggestions = tuple(suggestions)
        hint = f" Did you mean: {'; '.join(self.suggestions)}?" if self.suggestions else ""
        super().__init__(f'"{query}" is neither the id nor the name of anything in this catalogue.{hint}')
