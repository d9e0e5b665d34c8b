"""Data sets whose files no package carries: you bring them as a folder, or they come from their publishers.

`ILORA_ASSET_DIR` names one folder for everything of your own; a data set's files lie in it under the data
set's name: `$ILORA_ASSET_DIR/lastfm/titles.txt`. They are read where they lie and never written to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.assets.sources import ASSET_DIR_VARIABLE
from core.errors import AssetError

LASTFM = "lastfm"
STEAM = "steam"
STEAM_REVIEWS = "steam_reviews"
MOVIELENS_1M = "movielens-1m"
MOVIELENS_SMALL = "movielens-small"

_GROUPLENS = (
    "by GroupLens, University of Minnesota: research use only, no redistribution without permission, no "
    "commercial use; cite Harper and Konstan 2015 (doi 10.1145/2827872)."
)


@dataclass(frozen=True)
class Brought:
    """A data set that comes as files of its own.

    Attributes:
        name: what people type; also the name of its folder.
        version: which publication of it.
        parts: what it consists of; each part is there under one of several file names, the first of which
            that is found is read.
        licence: short name.
        terms: what the user of it must know, one or two sentences.
        origin: where its publishers offer it, for people.
    """

    name: str
    version: str
    parts: tuple[tuple[str, ...], ...]
    licence: str
    terms: str
    origin: str

    @property
    def wanted(self) -> str:
        """The needed files in words: "titles.txt or id2name.txt; train.jsonl.gz or ..."."""
        return "; ".join(" or ".join(names) for names in self.parts)


def _windows(*extra_training: str) -> tuple[tuple[str, ...], ...]:
    """Files of a published data set of windows, plain, gzipped, or as the publishers' own."""
    return (
        ("titles.txt", "id2name.txt"),
        ("train.jsonl.gz", "train.jsonl", *extra_training),
        ("val.jsonl.gz", "val.jsonl"),
        ("test.jsonl.gz", "test.jsonl"),
    )


BROUGHT: dict[str, Brought] = {
    known.name: known
    for known in (
        Brought(
            name=LASTFM,
            version="LLaRA",
            parts=_windows(),
            licence="HetRec 2011 terms, non-commercial",
            terms=(
                "Last.fm sequences made of HetRec 2011: non-commercial use only; cite Cantador, Brusilovsky "
                "and Kuflik 2011 (HetRec, RecSys 2011) and Last.fm (www.last.fm)."
            ),
            origin="the LLaRA authors' data set page (github.com/ljy0ustc/LLaRA names it), folder lastfm",
        ),
        Brought(
            name=STEAM,
            version="LLaRA",
            parts=_windows("train_sample1000.jsonl.gz", "train_sample1000.jsonl"),
            licence="none stated",
            terms=(
                "Steam sequences as published with LLaRA: its publishers state no licence; ask them before "
                "any use beyond your own research, and do not pass the files on."
            ),
            origin="the LLaRA authors' data set page (github.com/ljy0ustc/LLaRA names it), folder steam",
        ),
        Brought(
            name=STEAM_REVIEWS,
            version="Australian users, 2010 to 2015",
            parts=(("reviews.csv.gz", "reviews.csv"), ("titles.csv.gz", "titles.csv")),
            licence="none stated",
            terms=(
                "Steam reviews collected by Pathak, Gupta and McAuley (SIGIR 2017): no licence stated; cite "
                "them, and ask before any use beyond your own research."
            ),
            origin=(
                "Julian McAuley's page of recommender data (Steam video game and bundle data, Australian "
                "users), as columns user, item_id, posted and item_id, title"
            ),
        ),
        Brought(
            name=MOVIELENS_1M,
            version="2003",
            parts=(("ratings.dat", "ml-1m.zip"), ("movies.dat", "ml-1m.zip")),
            licence="GroupLens terms of use",
            terms=f"MovieLens-1M {_GROUPLENS}",
            origin="GroupLens (grouplens.org/datasets/movielens/1m)",
        ),
        Brought(
            name=MOVIELENS_SMALL,
            version="latest",
            parts=(("ratings.csv", "ml-latest-small.zip"), ("movies.csv", "ml-latest-small.zip")),
            licence="GroupLens terms of use",
            terms=f"MovieLens latest-small {_GROUPLENS}",
            origin="GroupLens (grouplens.org/datasets/movielens/latest)",
        ),
    )
}


def brought_files(name: str, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """One file for every part of a data set, in the order of its parts, from your own folder.

    Raises:
        AssetError: no own folder is set, or it lacks a part; says which files are needed and where.
    """
    wanted = BROUGHT[name]
    own = environment.get(ASSET_DIR_VARIABLE, "").strip()
    if not own:
        raise AssetError(
            f"{name} must be brought as a folder: put its files ({wanted.wanted}) into a folder named {name} "
            f"and set {ASSET_DIR_VARIABLE} to the folder that holds it; they come from {wanted.origin}."
        )
    folder = Path(own).expanduser() / name
    found = tuple(_first(folder, names) for names in wanted.parts)
    missing = [" or ".join(n) for n, path in zip(wanted.parts, found, strict=True) if path is None]
    if missing:
        raise AssetError(
            f"Your folder {folder} ({ASSET_DIR_VARIABLE}) lacks {'; '.join(missing)}: {name} comes from "
            f"{wanted.origin}."
        )
    return tuple(path for path in found if path is not None)


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
