"""An engine: the way to it, whether it is there, and what it tells of its containers.

The `docker` package is synchronous: one thread follows the engine's events, and one sees to it that
the engine answers.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import ReadTimeout, RequestException
from urllib3.exceptions import HTTPError

from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_core.discovery.forwarding import LINKS, Bridge

log = logging.getLogger(__name__)

ID_LABEL = "pymesos.container_id"
AGENT_LABEL = "pymesos.agent"
SANDBOX_LABEL = "pymesos.sandbox"
SOCKETS = (
    "/var/run/docker.sock",
    "/run/podman/podman.sock",
    f"/run/user/{os.geteuid()}/podman/podman.sock",
)
LOOK_S = 5.0  # how often the engine is asked whether it is there
LOOK_TIMEOUT_S = 10.0
CALL_TIMEOUT_S = 60.0
AGAIN_S = 1.0
# How an engine says that root of its containers is not the machine's.
USER_NAMESPACES = {"userns": "userns-remap", "rootless": "rootless"}
# Of what answered, and of the way to it: the libraries below `docker` have their own.
ENGINE_ERRORS = (
    DockerException,
    RequestException,
    HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
# The same, or an answer that is made otherwise than the API says.
ODD_ANSWERS = (LookupError, TypeError, AttributeError)
ANSWER_ERRORS = (*ENGINE_ERRORS, *ODD_ANSWERS)


def find_engine(host: str | None) -> str:
    """The address of the engine: `host`, $DOCKER_HOST, or the first socket that is there.

    Raises RuntimeUnavailableError.
    """
    if host := host or os.environ.get("DOCKER_HOST"):
        return host
    for path in SOCKETS:
        if Path(path).exists():
            return f"unix://{path}"
    raise RuntimeUnavailableError(
        f"no engine's socket is there ({', '.join(SOCKETS)}): start Docker or Podman, after it is"
        f" installed (Debian: apt-get install docker.io), or say with --docker-host where it is"
    )


class Engine:
    """The engine of one agent. Its callbacks are called in threads."""

    def __init__(
        self,
        agent_tag: str,
        on_died: Callable[[str], None],
        on_away: Callable[[str], None],
        catch_up: Callable[[], None],
    ) -> None:
        """`on_died` hears of containers, by their ids; `on_away`, why the engine does not answer.

        `catch_up` looks what became of its containers meanwhile, and raises one of ENGINE_ERRORS
        when that fails.
        """
        self._agent_tag = agent_tag
        self._on_died = on_died
        self._on_away = on_away
        self._catch_up_with = catch_up
        self.address = ""
        self.kind = "docker"  # or podman
        self.holds: dict[str, str] = {}  # every container, as its settings say
        self.client: Any = None
        self.streams: Any = None  # a client whose reads may wait for ever
        self._looks: Any = None  # one whose calls do not wait for long
        self._events: Any = None
        self._look = threading.Event()  # whether the engine is there: soon
        self._here = threading.Event()  # as far as is known, it is
        self._broken = False  # its events are not followed any more
        self._failed = 0  # calls, while it was away
        self.closing = False

    def reach(self, host: str | None) -> None:
        """Connect, and follow the events from now on. Raises RuntimeUnavailableError."""
        self.address = find_engine(host)
        try:
            self._looks = _connect(self.address, LOOK_TIMEOUT_S)
            self.client = _connect(self.address, CALL_TIMEOUT_S)
            self.streams = _connect(self.address, None)
            self.kind = _kind_of(self.client)
            self.holds = held_by(self.client.info())
            self._follow()
        except ANSWER_ERRORS as error:
            why = why_away(error)
            raise RuntimeUnavailableError(
                f"{self.address} does not answer: {why}. See that the engine runs, and that the"
                f" agent's user may use its socket"
            ) from error
        self._here.set()
        threading.Thread(target=self._keep, name="docker-keeper", daemon=True).start()

    @property
    def is_here(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._here.is_set()

    def wait_until_here(self) -> None:
        """Return when it answers, or is closed."""
        self._here.wait()

    def look(self) -> None:
        """Something broke off: look soon whether it is there."""
        self._look.set()

    def call_failed(self) -> None:
        """A call did not reach it."""
        self._failed += 1
        self._look.set()

    def containers(self) -> list[Any]:
        """This agent's, as the engine lists them. Raises one of ENGINE_ERRORS.

        Whatever an engine makes of the filter, what has not the agent's label is not its own.
        """
        label = f"{AGENT_LABEL}={self._agent_tag}"
        listed: list[Any] = self.client.containers(all=True, filters={"label": label})
        return [v for v in listed if (v.get("Labels") or {}).get(AGENT_LABEL) == self._agent_tag]

    def bridge(self) -> Bridge | None:
        """The network of `network: bridge`, if this machine is in it."""
        if self.kind != "docker" or not self.address.startswith("unix://"):
            return None
        try:
            return bridge_of(self.client.inspect_network("bridge"))
        except ANSWER_ERRORS as error:
            log.debug("the engine has no bridge: %s", error)
            return None

    def stop(self) -> None:
        """Follow nothing any more, and let go of who waits."""
        self.closing = True
        self._look.set()
        self._here.set()
        self._close_events()

    def close(self) -> None:
        """Close its connections; after `stop`, and when nobody calls it any more."""
        for client in (self._looks, self.client, self.streams):
            if client is not None:
                client.close()

    def _follow(self) -> None:
        """Hear of what ends from now on."""
        self._close_events()
        self._broken = False
        events = self.streams.events(
            decode=True,
            filters={"type": "container", "label": f"{AGENT_LABEL}={self._agent_tag}"},
        )
        self._events = events
        threading.Thread(
            target=self._read_events, args=(events,), name="docker-events", daemon=True
        ).start()
        if self.closing:  # meanwhile
            self._close_events()

    def _read_events(self, events: Any) -> None:
        try:
            for event in events:
                container_id = event["Actor"]["Attributes"].get(ID_LABEL)
                if event.get("Action") == "die" and container_id:
                    self._on_died(container_id)
        except Exception as error:  # whatever it is, the keeper looks into it
            log.debug("the engine's events broke off: %s", error)
        if events is self._events:
            self._broken = True
            self._look.set()

    def _close_events(self) -> None:
        events, self._events = self._events, None  # the end of what is given up is no news
        with contextlib.suppress(Exception):
            events.close()

    def _keep(self) -> None:
        """Ask it now and then, and whenever something broke off."""
        while True:
            self._look.wait(LOOK_S)
            self._look.clear()
            if self.closing:
                return
            problem = self._problem()
            if problem is None and self._broken:
                problem = self._catch_up()  # it was away for a moment, or only its stream
            if problem is not None and not self.closing:
                self._wait_for_it(problem)

    def _wait_for_it(self, problem: str) -> None:
        self._here.clear()
        self._failed, since_s = 0, time.monotonic()
        log.warning(
            "the engine at %s does not answer (%s): its tasks are unknown for now, and no others"
            " are offered to it",
            *(self.address, problem),
        )
        self._on_away(problem)
        while not self.closing and (self._problem() or self._catch_up()):
            self._look.wait(AGAIN_S)
            self._look.clear()
        if not self.closing:
            log.info(
                "the engine answers again, after %.0f s; %d calls to it failed meanwhile",
                *(time.monotonic() - since_s, self._failed),
            )

    def _problem(self) -> str | None:
        """Why it does not answer; None when it does."""
        try:
            self._looks.ping()
        except ENGINE_ERRORS as error:
            return why_away(error)
        return None

    def _catch_up(self) -> str | None:
        """Follow its events again, and look what became of its containers; or why that fails."""
        try:
            self._follow()
            self._here.set()  # what copies output goes on, which is waited for below
            self._catch_up_with()
        except ANSWER_ERRORS as error:
            self._here.clear()
            return why_away(error)
        return None


def engine_name(container_id: str) -> str:
    """What the engine calls a container of an agent."""
    return f"pymesos-{container_id}"


def why_away(error: BaseException) -> str:
    """Why an engine does not answer, in plain words."""
    if isinstance(error, ODD_ANSWERS):
        return f"what it answers cannot be read: {error!r}"
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            break
        inner = next((a for a in cause.args if isinstance(a, BaseException)), None)
        if isinstance(cause, FileNotFoundError):
            return "its socket is not there"
        if isinstance(cause, ConnectionRefusedError):
            return "nobody listens on its socket"
        if isinstance(cause, (ReadTimeout, TimeoutError)):
            return "it takes too long"
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
            return "it broke the connection off"
        cause = inner or getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        cause = cause if isinstance(cause, BaseException) else None
    return str(error)


def _connect(address: str, timeout_s: Any) -> Any:
    client = docker.APIClient(base_url=address, version="auto", timeout=timeout_s)
    client.ping()
    return client


def held_by(info: Mapping[str, Any]) -> dict[str, str]:
    """What holds every container of an engine by its settings, as in Runtime.isolation.

    `info` is its answer to GET /info.
    """
    options = [
        dict(part.partition("=")[::2] for part in str(option).split(","))
        for option in info.get("SecurityOptions") or ()
    ]
    names = {option.get("name") for option in options}
    ways = [way for name, way in USER_NAMESPACES.items() if name in names]
    return {"user_namespace": ways[0]} if ways else {}


def bridge_of(network: Mapping[str, Any], links: Path = LINKS) -> Bridge | None:
    """Where containers of a network reach this machine; None if its bridge is elsewhere.

    `network` is an engine's answer to GET /networks/NAME.
    """
    link = str((network.get("Options") or {}).get("com.docker.network.bridge.name", ""))
    if not link or not (links / link).exists():
        return None
    for config in (network.get("IPAM") or {}).get("Config") or ():
        subnet = ip_network(config.get("Subnet") or "::/0", strict=False)
        if isinstance(subnet, IPv4Network) and config.get("Gateway"):
            return Bridge(config["Gateway"], subnet, link)
    return None


def _kind_of(client: Any) -> str:
    components = client.version().get("Components") or ()
    return "podman" if any("Podman" in str(c.get("Name")) for c in components) else "docker"
