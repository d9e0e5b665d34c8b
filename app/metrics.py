"""Counters and clocks of the server, in Prometheus' words. No title, history or address is in them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from core.recommendation import Recommendation
from quant.errors import IloraError

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


class Meter:
    """One server's numbers, in a registry of its own so that two servers in one process do not mix.

    Args:
        waiting: how many people wait for the model right now.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self.registry.register(collector)
        self._requests = Counter(
            "ilora_requests", "Requests to the model.", ["kind", "outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "ilora_request_seconds",
            "Whole request, waiting included.",
            ["kind"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._steps = Histogram(
            "ilora_step_seconds",
            "One step of a recommendation.",
            ["step"],
            buckets=(0.0005, *SECONDS),
            registry=self.registry,
        )
        Gauge("ilora_waiting", "People waiting for the model.", registry=self.registry).set_function(waiting)

    @contextmanager
    def request(self, kind: str) -> Iterator[None]:
        """Count one request and time it: ok, refused (a mistake, or a full line) or failed (ours)."""
        outcome = "failed"
        try:
            with self._seconds.labels(kind).time():
                yield
            outcome = "ok"
        except IloraError:
            outcome = "refused"
            raise
        finally:
            self._requests.labels(kind, outcome).inc()

    def steps(self, done: Recommendation) -> None:
        """Record where the time of one recommendation went."""
        for step, milliseconds in done.timings_ms.items():
            self._steps.labels(step).observe(milliseconds / 1000)

    def text(self) -> bytes:
        """The numbers in Prometheus' text format."""
        return generate_latest(self.registry)
