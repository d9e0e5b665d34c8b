"""Numbers as people read them, and titles as data: nothing in a title becomes markup."""

from html.parser import HTMLParser

import pytest

from app.palette import EXPERT_COLOURS
from app.web.charts import (
    BARS,
    act,
    compared_list,
    expert_bars,
    milliseconds,
    mixture_style,
    percent,
    ranked_list,
)
from app.web.portraits import Portrait, Trait
from core.catalog import Item
from core.recommendation import RankedItem

HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(2)'> & ${value} {{value}}"


class Elements(HTMLParser):
    """Every element and its attributes, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def _hostile_pieces() -> list[str]:
    item = Item(0, "1", HOSTILE, None, (HOSTILE,))
    ranked = [RankedItem(1, 0, "1", HOSTILE, 0.0, 1.0)]
    portrait = Portrait(0, 1.0, 1, 1, (Trait(HOSTILE, 2.0),))
    return [
        ranked_list(ranked, [item], "", 0),
        compared_list("ilora", ranked, "", 0, {0: 3}),
        expert_bars([1.0], [portrait]),
        act("add", HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    ]


@pytest.mark.parametrize("piece", _hostile_pieces())
def test_a_hostile_title_stays_text(piece: str) -> None:
    elements = Elements(piece).seen
    assert elements
    assert not {tag for tag, _ in elements} & {"script", "img"}
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.41, "41 %"),
        (0.0996, "10 %"),
        (0.0234, "2.3 %"),
        (0.0004, "0.04 %"),
        (0.00001, "< 0.01 %"),
        (0, "0 %"),
    ],
)
def test_shares_are_rounded_to_what_can_be_read(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(0.31, "0.3 ms"), (12.3, "12 ms"), (1240.0, "1.2 s")])
def test_durations_are_rounded_to_what_can_be_read(value: float, text: str) -> None:
    assert milliseconds(value) == text


def test_the_mixture_fills_the_bar_with_every_expert_by_weight() -> None:
    style = mixture_style([0.25, 0.75])
    assert f"{EXPERT_COLOURS[0].fill} 0.0% 25.0%" in style
    assert f"{EXPERT_COLOURS[1].fill} 25.0% 100.0%" in style


def test_ink_is_readable_on_every_expert_colour() -> None:
    for colour in EXPERT_COLOURS:
        fill, ink = _luminance(colour.fill), _luminance(colour.ink)
        assert (max(fill, ink) + 0.05) / (min(fill, ink) + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_move_names_the_rank_with_lora() -> None:
    items = [RankedItem(1, 5, "6", "Fargo (1996)", 0.0, 0.6), RankedItem(2, 4, "5", "Heat (1995)", -1.0, 0.4)]
    html = compared_list("ilora", items, "", None, {5: 4, 4: 1})
    assert "▲3" in html and "rank 4 with LoRA" in html
    assert "▼1" in html and "rank 1 with LoRA" in html


def test_of_many_experts_the_heaviest_are_seen_and_the_others_on_request() -> None:
    portraits = [Portrait(expert, 1 / 16, 1, 1, ()) for expert in range(16)]
    gate = [0.02] * 16
    gate[3], gate[12] = 0.5, 0.22
    html = expert_bars(gate, portraits)
    seen, others = html.split("<details")
    assert seen.count("<b class=") == BARS and others.count("<b class=") == 16 - BARS
    assert ">D</b>" in seen and ">M</b>" in seen and "The other 10 experts together 20 %" in others
    assert "<details" not in expert_bars(gate[:7], portraits[:7])
