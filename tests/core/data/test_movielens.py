"""MovieLens-100K is what was published: same rows, right titles, an honest leave-one-out split beside it."""

import hashlib
import re

import pytest

from core.data.dataset import Dataset
from core.data.paper_rows import paper_rows
from core.data.registry import load_dataset
from core.errors import DataError

PUBLISHED = {
    "train": (66_126, "3b5ed3d8824c3ce64289f78ee8bfb8b576da14deaaf64561a56baae946a3cc47"),
    "validation": (94, "7a9195eb4925a08bd189c9fe00eefaa62c0abc200d43d83f0a908268ead0ef1a"),
    "test": (95, "e877e82c62f436ecf7d37881fd0a36078f703a9d5dc832f1582dbb2a3bc050a7"),
}


@pytest.mark.parametrize("part", PUBLISHED)
def test_paper_split_is_the_published_one_row_by_row(movielens: Dataset, part: str) -> None:
    rows = paper_rows(movielens, part)  # type: ignore[arg-type]
    lines = "".join(f"{' '.join(map(str, history))} -> {target}\n" for history, target in rows)
    assert (len(rows), hashlib.sha256(lines.encode()).hexdigest()) == PUBLISHED[part]


def test_counts_are_those_of_ratings_of_three_and_more(movielens: Dataset) -> None:
    assert (movielens.num_items, len(movielens.users), movielens.interactions) == (1682, 943, 82_520)


def test_content_hash_is_pinned(movielens: Dataset) -> None:
    # Bundles name this hash: a change of titles, order or splits must be a decision, not an accident.
    assert movielens.sha256 == "8e99058ea656ef3884abc4d25e6b1eb166cacabdaa6fe2cdd76eb6b6d9b19b1a"
    assert load_dataset("movielens").sha256 == movielens.sha256


def test_paper_users_are_disjoint_and_complete(movielens: Dataset) -> None:
    split = movielens.split("paper")
    parts = [set(split.train_users), {c.user for c in split.validation}, {c.user for c in split.test}]
    assert [len(part) for part in parts] == [754, 94, 95]
    assert set.union(*parts) == set(range(943))


@pytest.mark.parametrize(
    ("item_id", "title"),
    [
        ("12", "The Usual Suspects (1995)"),
        ("435", "Butch Cassidy and the Sundance Kid (1969)"),
        ("436", "An American Werewolf in London (1981)"),
        ("127", "The Godfather (1972)"),
        ("168", "Monty Python and the Holy Grail (1974)"),
        ("515", "Das Boot (1981)"),
        ("1218", "Friday (1995)"),
        ("543", "Les Misérables (1995)"),
        ("1156", "Cyclo (1995)"),
        ("177", "The Good, The Bad and The Ugly (1966)"),
        ("267", "unknown"),
        ("187", "The Godfather: Part II (1974)"),
        ("246", "Chasing Amy (1997)"),
        ("268", "Chasing Amy (1997) [268]"),
        ("1412", "Land Before Time III: The Time of the Great Giving (1995)"),
        ("486", "Sabrina (1954)"),
        ("274", "Sabrina (1995)"),
    ],
)
def test_titles_are_as_people_write_them(movielens: Dataset, item_id: str, title: str) -> None:
    assert movielens.catalog[int(item_id) - 1].title == title
    assert movielens.catalog.index_of(title) == int(item_id) - 1


def test_every_title_is_unique_and_no_article_is_left_behind(movielens: Dataset) -> None:
    titles = [item.title for item in movielens.catalog.items]
    assert len(set(titles)) == 1682
    assert all(title.strip() == title and title for title in titles)
    assert not [t for t in titles if re.search(r", (The|A|An|La|Le|Les|L'|Il|Das|Der|Det|O)( \(|\)|$)", t)]


def test_every_film_but_the_unknown_one_has_a_year_and_a_genre(movielens: Dataset) -> None:
    bare = [item.title for item in movielens.catalog.items if item.year is None]
    assert bare == ["unknown"]
    assert all(1922 <= item.year <= 1998 for item in movielens.catalog.items if item.year is not None)
    assert [i.title for i in movielens.catalog.items if not i.genres] == ["unknown", "Good Morning (1971)"]
    assert movielens.catalog[0].genres == ("Animation", "Children's", "Comedy")


def test_loo_asks_every_user_for_the_last_item_and_trains_on_all_but_two(movielens: Dataset) -> None:
    split = movielens.split("loo")
    assert len(split.train) == len(split.validation) == len(split.test) == 943
    for user, train, validation, test in zip(
        split.train_users, split.train, split.validation, split.test, strict=True
    ):
        whole = movielens.sequences[user]
        assert (*train, validation.target, test.target) == whole
        assert (validation.history, test.history) == (train, (*train, validation.target))
        assert validation.user == test.user == user
        # Nobody rates a film twice here, so no target can stand in training at all.
        assert test.target not in train and validation.target not in train


def test_an_unknown_split_or_data_set_is_refused_with_what_there_is(movielens: Dataset) -> None:
    with pytest.raises(DataError, match=r'no split "loop"; it has: loo, paper'):
        movielens.split("loop")
    with pytest.raises(DataError, match=r'no data set "netflix"; there is: .*movielens'):
        load_dataset("netflix")
