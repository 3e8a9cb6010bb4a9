"""`/metrics` for Prometheus, by its own library, over what the event loop knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pymesos_core.security.credentials import Credentials
from pymesos_core.serving import ServingError

ANSWER_TIMEOUT_S = 5.0
MIB = 1024 * 1024

Snapshot = TypeVar("Snapshot")


class _Collector(Collector, Generic[Snapshot]):
    """Asks the loop for a snapshot, and makes metrics of it in the server's own thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        snapshot: Callable[[], Coroutine[Any, Any, Snapshot]],
        to_metrics: Callable[[Snapshot], Iterable[Metric]],
    ) -> None:
        self._loop = loop
        self._snapshot = snapshot
        self._to_metrics = to_metrics

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        taken = asyncio.run_coroutine_threadsafe(self._snapshot(), self._loop)
        try:
            return self._to_metrics(taken.result(ANSWER_TIMEOUT_S))
        finally:
            taken.cancel()

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is asked for."""
        return ()


def serve_metrics(
    ip: str,
    port: int,
    snapshot: Callable[[], Coroutine[Any, Any, Snapshot]],
    to_metrics: Callable[[Snapshot], Iterable[Metric]],
) -> Callable[[], None]:
    """Serve /metrics until what is returned is called. Raises ServingError.

    `snapshot` runs on the loop, `to_metrics` in a thread of the server's.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(asyncio.get_running_loop(), snapshot, to_metrics))
    try:
        server, thread = start_http_server(port, ip, registry)
    except OSError as error:
        raise ServingError(
            f"cannot serve metrics on {ip}:{port}: {error.strerror}; choose another --metrics-port"
        ) from error

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close


def certificate_metrics(credentials: Credentials) -> Iterable[Metric]:
    """How long the certificate of this process is in force, and how often it was not renewed."""
    yield gauge(
        "pymesos_certificate_ends_seconds",
        "When the certificate of this process ends, as Unix time",
        (),
        [((), credentials.current().ends_s)],
    )
    yield CounterMetricFamily(
        "pymesos_certificate_renewal_failures",
        "Failures to renew the certificate of this process",
        credentials.renewal_failures,
    )


def gauge(
    name: str, text: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """One gauge with a value for each combination of its labels."""
    family = GaugeMetricFamily(name, text, labels=[*labels])
    for label_values, value in values:
        family.add_metric([*label_values], value)
    return family
