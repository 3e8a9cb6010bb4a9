"""`/metrics` for Prometheus, by its own library, over what the event loop knows."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Generic, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pymesos_core.security.credentials import Credentials
from pymesos_core.serving import ServingError

ANSWER_TIMEOUT_S = 5.0
MOST_CONNECTIONS = 20  # at a time
SILENCE_S = 10.0  # that a connection may last on which nothing is said
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
        server = make_server(ip, port, make_wsgi_app(registry), _server_of(ip), _Handler)
    except OSError as error:
        raise ServingError(
            f"cannot serve metrics on {ip}:{port}: {error.strerror}; choose another --metrics-port"
        ) from error

    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close


class _Server(ThreadingMixIn, WSGIServer):
    """Answers a few at a time, so that who asks too often takes no more threads."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """See socketserver; one too many is closed."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # there is no thread that would release it
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See socketserver."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nobody has to know of a scraper that went away."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def _server_of(ip: str) -> type[_Server]:
    return _Server6 if ":" in ip else _Server


class _Handler(WSGIRequestHandler):
    """Says nothing of requests, and waits for each for a moment only."""

    timeout = SILENCE_S

    def log_message(self, *_: Any) -> None:
        """See http.server."""


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
