"""Another data set and its bundle, on every machine: real people, with invented artists for their films."""

import csv
from pathlib import Path

from core.data.importing.run import import_dataset
from core.data.importing.store import load_imported
from core.data.importing.wanted import Wanted
from core.data.registry import load_dataset
from core.domain import domain_of
from tests.exports.random_bundle import Made, random_bundle

PEOPLE, ARTISTS = 200, 400
GENRES = ("rock", "jazz", "folk", "soul", "techno", "metal", "blues", "pop")


def music_bundle(folder: Path, name: str = "music", with_genres: bool = True) -> Made:
    """A bundle with random weights for `PEOPLE` listeners of `ARTISTS` artists, whose names are no film's.

    It names its data set by folder, so that nothing is put into the cache.
    """
    movielens = load_dataset("movielens")
    genres = sorted({genre for item in movielens.catalog.items for genre in item.genres})
    kept = sorted(range(len(movielens.catalog)), key=lambda i: -movielens.catalog.popularity[i])[:ARTISTS]
    artist = {index: place for place, index in enumerate(kept)}
    with (folder / "plays.csv").open("w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(["user", "item", "time"])
        for user, sequence in enumerate(movielens.sequences[:PEOPLE]):
            for time, index in enumerate(sequence):
                if index in artist:
                    rows.writerow([f"u{user}", f"a{artist[index]}", 1_000_000_000 + 60 * time])
    with (folder / "artists.csv").open("w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(["item", "title", "genres"])
        for index, place in artist.items():
            styles = {GENRES[genres.index(genre) % len(GENRES)] for genre in movielens.catalog[index].genres}
            told = "|".join(sorted(styles)) if with_genres else ""
            rows.writerow([f"a{place}", f"The {place:03d} Band", told])
    data = folder / "my-music"
    import_dataset(
        Wanted(
            folder / "plays.csv",
            folder / "artists.csv",
            name="my-music",
            domain=domain_of("artist"),
            out=data,
        )
    )
    return random_bundle(load_imported(data), str(data), folder, name)
