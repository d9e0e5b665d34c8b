"""MovieLens-1M and latest-small in GroupLens' own formats, on archives of a few rows written here."""

import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.domain import MOVIES
from core.errors import DataError

MOVIES_DAT = """\
1::Toy Story (1995)::Animation|Children's|Comedy
47::Seven (Se7en) (1995)::Crime|Thriller
50::Usual Suspects, The (1995)::Crime|Thriller
73::Misérables, Les (1995)::Drama|Musical
260::Good, The Bad and The Ugly, The (1966)::Western
3000::City of Lost Children, The (Cité des enfants perdus, La) (1995)::Adventure|Sci-Fi
3400::Usual Suspects, The (1995)::Documentary
3401::Nameless::
"""
RATINGS_DAT = """\
1::50::5::978300019
1::1::4::978300010
1::47::2::978300011
1::73::3::978300012
1::260::3::978300030
1::3000::3::978300025
2::3400::4::978300030
2::3401::1::978300031
"""
MOVIES_CSV = """\
movieId,title,genres
1,Toy Story (1995),Adventure|Animation|Children|Comedy|Fantasy
11,"American President, The (1995)",Comedy|Drama|Romance
72,"Amélie (Fabuleux destin d'Amélie Poulain, Le) (2001)",Comedy|Romance
171,"Love, Rosie (2014)",Romance
838,Emma (1996),Comedy|Drama|Romance
26958,Emma (1996),Romance
40697,Babylon 5,Sci-Fi
114335,La cravate (1957),(no genres listed)
171749,Death Note: Desu nôto (2006–2007),(no genres listed)
"""
RATINGS_CSV = """\
userId,movieId,rating,timestamp
1,1,4.0,964982703
1,11,2.5,964982701
1,72,3.0,964982702
1,171,3.5,964982700
1,838,5.0,964982800
1,26958,0.5,964982801
1,40697,3.0,964982802
2,1,4.5,964982703
"""
Bring = Callable[[str, str, str], Dataset]


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Writes an archive as GroupLens packs it, into an own folder, and loads it."""

    def write(name: str, films: str, ratings: str) -> Dataset:
        monkeypatch.setenv("ILORA_ASSET_DIR", str(tmp_path))
        packed, suffix, encoding = {
            "movielens-1m": ("ml-1m", "dat", "latin-1"),
            "movielens-small": ("ml-latest-small", "csv", "utf-8"),
        }[name]
        (tmp_path / name).mkdir()
        with zipfile.ZipFile(tmp_path / name / f"{packed}.zip", "w") as archive:
            archive.writestr(f"{packed}/README", "Read me.")
            archive.writestr(f"{packed}/movies.{suffix}", films.encode(encoding))
            archive.writestr(f"{packed}/ratings.{suffix}", ratings.encode(encoding))
        return load_dataset(name)

    return write


def _titles(dataset: Dataset, user: int) -> list[str]:
    return [dataset.catalog[item].title for item in dataset.sequences[user]]


def test_1m_titles_are_as_people_write_them(bring: Bring) -> None:
    dataset = bring("movielens-1m", MOVIES_DAT, RATINGS_DAT)
    assert [(item.item_id, item.title, item.year) for item in dataset.catalog.items] == [
        ("1", "Toy Story (1995)", 1995),
        ("47", "Seven (Se7en) (1995)", 1995),
        ("50", "The Usual Suspects (1995)", 1995),
        ("73", "Les Misérables (1995)", 1995),
        ("260", "The Good, The Bad and The Ugly (1966)", 1966),
        ("3000", "The City of Lost Children (La Cité des enfants perdus) (1995)", 1995),
        ("3400", "The Usual Suspects (1995) [3400]", 1995),
        ("3401", "Nameless", None),
    ]
    assert dataset.catalog[0].genres == ("Animation", "Children's", "Comedy")
    assert dataset.catalog[7].genres == ()


def test_1m_sequences_are_ratings_of_three_and_more_by_time(bring: Bring) -> None:
    dataset = bring("movielens-1m", MOVIES_DAT, RATINGS_DAT)
    assert dataset.users == ("1", "2")
    assert _titles(dataset, 0) == [
        "Toy Story (1995)",
        "Les Misérables (1995)",
        "The Usual Suspects (1995)",
        "The City of Lost Children (La Cité des enfants perdus) (1995)",
        "The Good, The Bad and The Ugly (1966)",
    ]
    [case] = dataset.split("loo").test
    assert (case.user, dataset.catalog[case.target].item_id) == (0, "260")
    assert dataset.domain == MOVIES and "no redistribution" in dataset.terms


def test_small_titles_have_commas_accents_spans_of_years_and_none(bring: Bring) -> None:
    dataset = bring("movielens-small", MOVIES_CSV, RATINGS_CSV)
    assert [(item.title, item.year) for item in dataset.catalog.items[1:]] == [
        ("The American President (1995)", 1995),
        ("Amélie (Le Fabuleux destin d'Amélie Poulain) (2001)", 2001),
        ("Love, Rosie (2014)", 2014),
        ("Emma (1996)", 1996),
        ("Emma (1996) [26958]", 1996),
        ("Babylon 5", None),
        ("La cravate (1957)", 1957),
        ("Death Note: Desu nôto (2006–2007)", None),
    ]
    assert dataset.catalog[7].genres == ()


def test_small_sequences_know_half_stars(bring: Bring) -> None:
    dataset = bring("movielens-small", MOVIES_CSV, RATINGS_CSV)
    assert _titles(dataset, 0) == [
        "Love, Rosie (2014)",
        "Amélie (Le Fabuleux destin d'Amélie Poulain) (2001)",
        "Toy Story (1995)",
        "Emma (1996)",
        "Babylon 5",
    ]


def test_ratings_of_one_second_do_not_follow_the_order_of_the_file(bring: Bring) -> None:
    films = "movieId,title,genres\n" + "".join(f"{i},Film {i},Drama\n" for i in range(1, 41))
    ratings = "userId,movieId,rating,timestamp\n" + "".join(f"1,{i},4.0,9\n" for i in range(1, 41))
    [sequence] = bring("movielens-small", films, ratings).sequences
    assert sorted(sequence) == list(range(40)) and sequence != tuple(range(40))
    rising = sum(first < second for first, second in pairwise(sequence))
    assert 10 < rising < 30


def test_unpacked_files_are_the_same_data(
    bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = bring("movielens-1m", MOVIES_DAT, RATINGS_DAT)
    folder = tmp_path / "unpacked" / "movielens-1m"
    folder.mkdir(parents=True)
    (folder / "movies.dat").write_bytes(MOVIES_DAT.encode("latin-1"))
    (folder / "ratings.dat").write_bytes(RATINGS_DAT.encode("latin-1"))
    monkeypatch.setenv("ILORA_ASSET_DIR", str(tmp_path / "unpacked"))
    assert load_dataset("movielens-1m").sha256 == packed.sha256


@pytest.mark.parametrize(
    ("films", "ratings", "sentence"),
    [
        (MOVIES_DAT, "1::50::5\n", "ratings.dat line 1 has 3 fields, not 4"),
        (MOVIES_DAT, "1::51::5::978300019\n", "rates film 51, which its list of films does not hold"),
        (MOVIES_DAT, "1::50::five::978300019\n", 'ratings.dat line 1 holds the rating "five"'),
        ("1,Toy Story\n", RATINGS_DAT, "movies.dat line 1 has 1 fields, not 3"),
    ],
)
def test_broken_rows_are_named(films: str, ratings: str, sentence: str, bring: Bring) -> None:
    with pytest.raises(DataError) as failed:
        bring("movielens-1m", films, ratings)
    assert sentence in str(failed.value)


@pytest.mark.parametrize("content", [b"", b"<html>"])
def test_an_archive_that_is_none_is_one_sentence(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "movielens-1m").mkdir()
    (tmp_path / "movielens-1m" / "ml-1m.zip").write_bytes(content)
    monkeypatch.setenv("ILORA_ASSET_DIR", str(tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset("movielens-1m")
