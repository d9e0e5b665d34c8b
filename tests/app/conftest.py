"""The real bundle, loaded once for all these tests; ILORA_BUNDLE names another, as for `ilora serve`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.server import create_app
from app.web.service import Service, open_service
from exports.bundle_info import DEFAULT_BUNDLE


@pytest.fixture(scope="session")
def service() -> Service:
    return open_service(Path(os.environ.get("ILORA_BUNDLE", DEFAULT_BUNDLE)), say=lambda _: None)


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client
