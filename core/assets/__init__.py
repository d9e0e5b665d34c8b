"""Everything downloadable: what it is, under which terms, and how it comes into the cache."""

from core.assets.bringing import brought_files, fetch_brought
from core.assets.brought import BROUGHT, Brought
from core.assets.cache import cache_root, fetch
from core.assets.known import ASSETS, BACKBONE, MOVIELENS, Asset, Member, asset
from core.assets.listing import AssetStatus, list_assets
from core.assets.progress import Progress
from core.assets.sources import ASSET_DIR_VARIABLE, ASSET_URL_VARIABLE

__all__ = [
    "ASSETS",
    "ASSET_DIR_VARIABLE",
    "ASSET_URL_VARIABLE",
    "BACKBONE",
    "BROUGHT",
    "MOVIELENS",
    "Asset",
    "AssetStatus",
    "Brought",
    "Member",
    "Progress",
    "asset",
    "brought_files",
    "cache_root",
    "fetch",
    "fetch_brought",
    "list_assets",
]
