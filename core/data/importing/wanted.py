"""What a person asks of an import."""

from dataclasses import dataclass, field
from pathlib import Path

from core.data.importing.layout import Said
from core.data.importing.store import imported_root
from core.domain import Domain, domain_of


@dataclass(frozen=True)
class Rules:
    """What is kept.

    Attributes:
        min_rating: rows with a lower rating are no interactions; None keeps all.
        drop_undated: leave out rows without a time.
        drop_untitled: leave out items without a title.
        first_only: of several interactions of a user with an item keep the first.
        min_user_interactions, min_item_interactions: k-core; 1 keeps all.
        keep_unseen: keep items of the items file that nobody interacted with.
        articles_to_front: "Postman, The" becomes "The Postman".
        strict: stop at the first bad row.
    """

    min_rating: float | None = None
    drop_undated: bool = False
    drop_untitled: bool = False
    first_only: bool = True
    min_user_interactions: int = 1
    min_item_interactions: int = 1
    keep_unseen: bool = False
    articles_to_front: bool = True
    strict: bool = False


@dataclass(frozen=True)
class Wanted:
    """One import as it was asked for.

    Attributes:
        interactions: the file.
        items: the file of items, if there is one.
        name: of the data set; small letters, digits, and . _ - between them.
        said, said_of_items: what is known of the files beforehand.
        genre_separator: between genres; found out when left out.
        rules: what is kept.
        domain: how items are spoken of.
        terms: under which terms the data may be used; made up from the file names when empty.
        out: folder to put the data set into; the cache when left out.
        replace: put it in the place of an earlier one.
    """

    interactions: Path
    items: Path | None = None
    name: str = "my-data"
    said: Said = field(default_factory=Said)
    said_of_items: Said = field(default_factory=Said)
    genre_separator: str | None = None
    rules: Rules = Rules()
    domain: Domain = field(default_factory=domain_of)
    terms: str = ""
    out: Path | None = None
    replace: bool = False

    @property
    def folder(self) -> Path:
        """Where the data set goes."""
        return (self.out if self.out is not None else imported_root() / self.name).absolute()

    @property
    def rejected_file(self) -> str:
        """Name of the side file of bad rows."""
        return f"{self.name}-rejected.csv"
