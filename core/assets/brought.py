"""Data sets whose files no package carries: you bring them as a folder, or they come from their publishers.

`ILORA_ASSET_DIR` names one folder for everything of your own; a data set's files lie in it under the data
set's name: `$ILORA_ASSET_DIR/lastfm/titles.txt`. They are read where they lie and never written to.
Nothing is downloaded whose sha256 is not known beforehand, here or from you. Adding one is one entry here.
"""

from dataclasses import dataclass

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
class Published:
    """One file at its publishers' address.

    Attributes:
        url: https address.
        sha256: what it must be; None where it is not known or changes: then you must say it.
    """

    url: str
    sha256: str | None = None

    @property
    def file_name(self) -> str:
        """Its name in the cache."""
        return self.url.rpartition("/")[2]


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
        published: the files that can be downloaded from there; together they hold every part.
    """

    name: str
    version: str
    parts: tuple[tuple[str, ...], ...]
    licence: str
    terms: str
    origin: str
    published: tuple[Published, ...] = ()

    @property
    def wanted(self) -> str:
        """The needed files in words: "titles.txt or id2name.txt; train.jsonl.gz or train_data.df"."""
        return "; ".join(map(either, self.parts))

    @property
    def downloadable(self) -> bool:
        """Whether it can be fetched without your saying what its files must be."""
        return bool(self.published) and all(file.sha256 for file in self.published)


def either(names: tuple[str, ...]) -> str:
    """Our form of a part and its publishers' in words; the names between are read too."""
    return " or ".join(dict.fromkeys((names[0], names[-1])))


def _windows(*extra_training: str) -> tuple[tuple[str, ...], ...]:
    """Files of a published data set of windows, plain, gzipped, or as the publishers' own."""
    return (
        ("titles.txt", "id2name.txt"),
        ("train.jsonl.gz", "train.jsonl", *extra_training, "train_data.df"),
        ("val.jsonl.gz", "val.jsonl", "Val_data.df"),
        ("test.jsonl.gz", "test.jsonl", "Test_data.df"),
    )


def _llara(name: str) -> tuple[Published, ...]:
    """The publishers' own files; they publish no hashes."""
    folder = f"https://huggingface.co/datasets/joyliao7777/LLaRA/resolve/main/{name}"
    files = ("id2name.txt", "train_data.df", "Val_data.df", "Test_data.df")
    return tuple(Published(f"{folder}/{file}") for file in files)


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
            published=_llara(LASTFM),
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
            published=_llara(STEAM),
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
            published=(
                Published(
                    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
                    "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
                ),
            ),
        ),
        Brought(
            name=MOVIELENS_SMALL,
            version="latest",
            parts=(("ratings.csv", "ml-latest-small.zip"), ("movies.csv", "ml-latest-small.zip")),
            licence="GroupLens terms of use",
            terms=f"MovieLens latest-small {_GROUPLENS}",
            origin="GroupLens (grouplens.org/datasets/movielens/latest)",
            # No hash: GroupLens replaces this file by newer ones under the same address.
            published=(Published("https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"),),
        ),
    )
}
