"""Several data sets as one: nobody and nothing is lost, and nothing is shared."""

from dataclasses import replace

import pytest

from core.data.dataset import Dataset
from core.data.leakage import check_no_leak
from core.data.registry import domain_named, load_dataset
from core.data.ring import World
from core.data.union import parts_of, union
from core.errors import DataError


@pytest.fixture(scope="module")
def two() -> list[Dataset]:
    return [World(0.0, people=40).dataset(), World(1.0, people=30).dataset()]


def test_each_case_is_found_again(two: list[Dataset]) -> None:
    whole, parts = union(two), parts_of(two)
    check_no_leak(whole)
    assert whole.num_items == 400 and len(whole.users) == 70
    own = [part.case(case) for d, part in zip(two, parts, strict=True) for case in d.split("loo").test]
    assert list(whole.split("loo").test) == own
    last = own[-1]
    title = two[1].catalog[two[1].split("loo").test[-1].target].title
    assert whole.catalog[last.target].title == f"{title} (Stop)", "a title that both have is told apart"
    assert whole.users[last.user] == f"{two[1].name}:{two[1].users[-1]}"
    assert whole.catalog[last.target].genres[0] == "Stop"


def test_a_plus_names_it() -> None:
    whole = load_dataset("ring-0+ring-100")
    assert whole.name == "ring-0+ring-100" and len(whole.users) == 1600
    assert domain_named(whole.name) == whole.domain
    assert whole.sha256 != union([World(1.0).dataset(), World(0.0).dataset()]).sha256


def test_what_cannot_be_put_together_is_refused(two: list[Dataset]) -> None:
    with pytest.raises(DataError, match="once"):
        union([two[0], two[0]])
    with pytest.raises(DataError, match='no split "loo"'):
        union([two[0], replace(two[1], splits={})])
    with pytest.raises(DataError, match="no data set"):
        load_dataset("ring-0+nothing")
