"""The real bundle, loaded once for all these tests; ILORA_BUNDLE names another, as for `ilora serve`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.server import create_app
from app.web.service import Service, open_service
from app.web.shelf import Offer, Shelf
from exports.bundle_info import DEFAULT_BUNDLE
from quant.shared import Backbones


@pytest.fixture(scope="session")
def backbones() -> Backbones:
    return Backbones()


@pytest.fixture(scope="session")
def service(backbones: Backbones) -> Service:
    bundle = Path(os.environ.get("ILORA_BUNDLE", DEFAULT_BUNDLE))
    return open_service(bundle, say=lambda _: None, backbones=backbones)


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(Shelf.of(service)), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="session")
def shelf(service: Service, music: Path, backbones: Backbones) -> Shelf:
    """Two bundles of which nobody has asked for the second."""
    films = Shelf.of(service).offers[0]

    def opening(offer: Offer, say: object, progress: object) -> Service:
        if offer == films:
            return service
        desk = service.turnstile, service.meter, backbones
        return open_service(music, lambda said: shelf.tell(offer, said), None, service.runs, (), *desk)

    offers = [films, Offer("music", "my-music", "Artists")]
    shelf = Shelf(offers, opening, service.turnstile, service.meter, say=lambda _: None)
    return shelf
