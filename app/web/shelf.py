"""The bundles that one server answers with: the first is open when it starts, others when first asked for."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.metrics import Meter
from app.web.service import LINE, RUNS, Service, open_service
from app.web.turnstile import Turnstile
from core.assets import Progress
from core.data.registry import domain_named, name_of
from core.errors import BundleError
from core.new_items import NewItem
from exports.bundle_check import read_info
from quant.errors import IloraError
from quant.precision import Weights
from quant.shared import Backbones

Say = Callable[[str], None]


@dataclass(frozen=True)
class Offer:
    """A bundle that can be asked.

    Attributes:
        name: the bundle's own; unique on a shelf.
        dataset: the name of its data set.
        kinds: what it recommends, as a heading: "Movies".
    """

    name: str
    dataset: str
    kinds: str


class UnknownDataset(IloraError):
    """Nothing here answers by that name. `known` holds the names that do."""

    def __init__(self, asked: str, known: Sequence[str]) -> None:
        self.known = tuple(known)
        super().__init__(f'There is no data set "{asked[:80]}" here; there is: {", ".join(self.known)}.')


Opening = Callable[[Offer, Say, Progress | None], Service]


class Shelf:
    """Bundles by name. One line and one set of counters for all: they share the same processor.

    Args:
        offers: the first one is meant where nobody names one.
        opening: makes the service of an offer; slow.
        turnstile, meter: what the services made by `opening` use.
        say: told of each step of an opening.
    """

    def __init__(
        self, offers: Sequence[Offer], opening: Opening, turnstile: Turnstile, meter: Meter, say: Say
    ) -> None:
        self.offers, self.turnstile, self.meter = tuple(offers), turnstile, meter
        self._opening, self._say = opening, say
        self._open: dict[str, Service] = {}
        self._steps: dict[str, list[str]] = {}
        self._busy = threading.Lock()  # one opening at a time: two would each take twice as long

    @classmethod
    def of(cls, service: Service) -> "Shelf":
        """One bundle that is open already."""
        info = service.info
        offer = Offer(info.name, service.dataset.name, service.dataset.domain.kinds)
        shelf = cls([offer], lambda *_: service, service.turnstile, service.meter, lambda _: None)
        shelf._open[offer.name] = service
        return shelf

    def find(self, name: str | None = None) -> Offer:
        """By the name of a bundle, or of a data set that only one has. Raises UnknownDataset."""
        if name is None:
            return self.offers[0]
        found = [offer for offer in self.offers if offer.name == name]
        found = found or [offer for offer in self.offers if offer.dataset == name]
        if len(found) == 1:
            return found[0]
        raise UnknownDataset(name, [offer.name for offer in self.offers])

    def is_open(self, name: str) -> bool:
        """Whether a bundle answers without being loaded first."""
        return name in self._open

    def steps(self, name: str) -> tuple[str, ...]:
        """What has been said so far while a bundle was opened."""
        return tuple(self._steps.get(name, ()))

    def service(self, name: str | None = None, progress: Progress | None = None) -> Service:
        """The service of a bundle or data set, opened now if nobody has asked before.

        Raises:
            UnknownDataset: nothing here has that name.
            BundleError, AssetError, DataError: it cannot be opened; the next who asks tries again.
        """
        offer = self.find(name)
        if offer.name not in self._open:
            with self._busy:
                if offer.name not in self._open:
                    self._open[offer.name] = self._opened(offer, progress)
        return self._open[offer.name]

    def tell(self, offer: Offer, sentence: str) -> None:
        """One more step of an opening."""
        self._steps.setdefault(offer.name, []).append(sentence)
        self._say(sentence if offer == self.offers[0] else f"{offer.name}: {sentence}")

    def _opened(self, offer: Offer, progress: Progress | None) -> Service:
        self._steps.pop(offer.name, None)  # of an opening that failed
        return self._opening(offer, lambda sentence: self.tell(offer, sentence), progress)


def open_shelf(
    folders: Sequence[Path],
    say: Say,
    progress: Progress | None = None,
    runs: Path = RUNS,
    new_items: Sequence[NewItem] = (),
    weights: Weights = "nf4",
) -> Shelf:
    """Bundle folders -> a shelf whose first bundle is open. All share one backbone where it is the same.

    Args:
        new_items: stand behind the catalogue of every bundle; meant for one.
        weights: as `load_bundle`.

    Raises:
        BundleError: a folder holds none, or two have the same name.
        DataError: a bundle's data set is not known here.
        AssetError: what the first one needs cannot be fetched.
    """
    by_name: dict[str, Path] = {}
    offers = []
    for folder in folders:
        info = read_info(folder)
        if info.name in by_name:
            raise BundleError(
                f'{by_name[info.name]} and {folder} are both called "{info.name}": serve one of them, or '
                "make one again under another name."
            )
        by_name[info.name] = folder
        named = info.dataset.name
        offers.append(Offer(info.name, name_of(named), domain_named(named).kinds))
    turnstile, backbones = Turnstile(LINE), Backbones()
    meter = Meter(lambda: turnstile.waiting)

    def opening(offer: Offer, tell: Say, bar: Progress | None) -> Service:
        folder = by_name[offer.name]
        return open_service(folder, tell, bar, runs, new_items, turnstile, meter, backbones, weights)

    shelf = Shelf(offers, opening, turnstile, meter, say)
    shelf.service(progress=progress)
    return shelf
