"""Which column is what, by the names of the columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Role = str
ROLES: tuple[Role, ...] = ("user", "item", "time", "rating", "title", "genres", "year")
"""What a column can be to us, in the order in which columns are given away."""

_USERS = (
    *("userid", "user", "uid", "reviewerid", "customerid", "visitorid", "memberid", "accountid", "clientid"),
    *("buyerid", "playerid", "listenerid", "readerid", "personid", "profileid", "sessionid", "steamid"),
    *("reviewer", "customer", "visitor", "member", "account", "client", "buyer", "player", "listener"),
    *("reader", "person", "profile", "session", "username", "uuid", "u"),
    *(
        "kunde",
        "kundennr",
        "kundennummer",
        "kundenid",
        "benutzer",
        "nutzer",
        "cliente",
        "usuario",
        "utilisateur",
    ),
)
_ITEMS = (
    *(
        "itemid",
        "item",
        "iid",
        "movieid",
        "filmid",
        "asin",
        "parentasin",
        "productid",
        "sku",
        "bookid",
        "isbn",
    ),
    *("gameid", "appid", "songid", "trackid", "artistid", "albumid", "articleid", "newsid"),
    *("videoid", "showid", "animeid", "recipeid", "businessid", "restaurantid", "courseid", "contentid"),
    *(
        "beerid",
        "wineid",
        "placeid",
        "venueid",
        "podcastid",
        "movie",
        "film",
        "product",
        "book",
        "game",
        "app",
        "song",
    ),
    *("track", "artist", "album", "article", "video", "show", "anime", "recipe", "course", "content"),
    *("venue", "podcast", "i"),
    *(
        "artikel",
        "artikelnr",
        "artikelnummer",
        "produkt",
        "produktnr",
        "produktnummer",
        "producto",
        "produit",
    ),
)
_TIMES = (
    *(
        "timestamp",
        "unixreviewtime",
        "unixtime",
        "unixtimestamp",
        "time",
        "datetime",
        "date",
        "ts",
        "eventtime",
    ),
    *("reviewtime", "reviewdate", "createdat", "created", "posted", "postedat", "dateadded", "watchedat"),
    *("playedat", "purchasedate", "orderdate", "visitdate", "boughtat", "purchasedat", "orderedat", "soldat"),
    *("viewedat", "readat", "listenedat", "visitedat", "eventdate", "when", "day", "t"),
    *("datum", "zeit", "zeitpunkt", "bestelltam", "gekauftam", "bestelldatum", "kaufdatum", "fecha"),
)
_RATINGS = (
    "rating",
    "ratings",
    "stars",
    "overall",
    "score",
    "userrating",
    "reviewscore",
    "preference",
    "r",
    *("bewertung", "sterne", "puntuacion"),
)
_TITLES = (
    *(
        "title",
        "itemtitle",
        "movietitle",
        "producttitle",
        "booktitle",
        "gametitle",
        "songtitle",
        "tracktitle",
    ),
    *("itemname", "productname", "moviename", "bookname", "gamename", "appname", "songname"),
    *("trackname", "artistname", "businessname", "animename", "recipename"),
    *("titel", "bezeichnung", "artikelname", "artikelbezeichnung", "produktname", "titre", "titulo"),
)
_GENRES = ("genres", "genre", "categories", "category", "class", "maincategory", "tags", "tag")
_YEARS = (
    "year",
    "releaseyear",
    "movieyear",
    "publicationyear",
    "yearofpublication",
    "released",
    "releasedate",
)

_EVENTS: Mapping[Role, tuple[str, ...]] = {
    "user": _USERS,
    "item": _ITEMS,
    "time": _TIMES,
    "rating": _RATINGS,
    "title": _TITLES,
    "genres": _GENRES,
    "year": _YEARS,
}
_ITEM_FILE: Mapping[Role, tuple[str, ...]] = {
    # Where every line is one item, a bare "id" is its id and a bare "name" its title.
    "item": (*_ITEMS[: _ITEMS.index("movie")], "id", *_ITEMS[_ITEMS.index("movie") :]),
    "title": (*_TITLES, "name", "label", "movie", "book", "game", "song", "artist"),
    "genres": _GENRES,
    "year": _YEARS,
}
_ID_WORDS = frozenset({"id", "key", "no", "nr", "number", "code", "hash", "index", "idx"})
_NOUNS: Mapping[Role, frozenset[str]] = {
    "user": frozenset(_USERS),
    "item": frozenset(_ITEMS),
}
_TYPED = re.compile(r"(?P<name>.+):(?P<type>token|token_seq|float|float_seq)")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: as its header calls it, without a type; "column 3" where there is no header.
        type: RecBole's word behind the colon ("token_seq"), or empty.
    """

    name: str
    type: str = ""

    @classmethod
    def of(cls, header: str) -> "Column":
        typed = _TYPED.fullmatch(header.strip())
        return cls(typed["name"], typed["type"]) if typed else cls(header.strip())


def known_names(columns: Sequence[Column], items_file: bool) -> int:
    """How many of the columns are called like something that we look for."""
    return len(by_name(columns, items_file)) + sum(bool(column.type) for column in columns)


def by_name(columns: Sequence[Column], items_file: bool) -> dict[Role, int]:
    """Role -> position of its column, for every role whose column can be told by its name.

    A name that is exactly the word wins, the earlier in our list the better: `userId` before `user`. Failing
    that, a name that holds the word and a word for "id" ("fk_product_id").
    """
    words = _ITEM_FILE if items_file else _EVENTS
    spelled = [_letters(column.name) for column in columns]
    found: dict[Role, int] = {}
    for role in ROLES:
        for word in words.get(role, ()):
            places = [p for p, name in enumerate(spelled) if name == word and p not in found.values()]
            if places:
                found[role] = places[0]
                break
    for role, nouns in _NOUNS.items():
        if role in words and role not in found:
            for place, column in enumerate(columns):
                parts = _parts(column.name)
                if parts & nouns and parts & _ID_WORDS and place not in found.values():
                    found[role] = place
                    break
    return found


def _letters(name: str) -> str:
    """ "Review/userId" -> "userid", "Item ID" -> "itemid"."""
    return re.sub(r"[\W_]", "", name.rpartition("/")[2]).lower()


def _parts(name: str) -> frozenset[str]:
    """ "fkProductId" -> {"fk", "product", "id"}."""
    divided = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return frozenset(re.split(r"[\W_]+", divided.lower())) - {""}
