"""Everything downloadable: what it is, under which terms, and how it comes into the cache."""

from core.assets.cache import AssetStatus, cache_root, fetch, list_assets
from core.assets.known import ASSETS, BACKBONE, MOVIELENS, Asset, Member, asset
from core.assets.progress import Progress
from core.assets.sources import ASSET_DIR_VARIABLE, ASSET_URL_VARIABLE

__all__ = [
    "ASSETS",
    "ASSET_DIR_VARIABLE",
    "ASSET_URL_VARIABLE",
    "BACKBONE",
    "MOVIELENS",
    "Asset",
    "AssetStatus",
    "Member",
    "Progress",
    "asset",
    "cache_root",
    "fetch",
    "list_assets",
]
