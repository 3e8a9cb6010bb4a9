"""Which requests go where: frontends, hosts and backends, from what serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pymesos_core.discovery.zone import address_of
from pymesos_proto.v1.names_pb2 import Exposed, NamedTask

Address = tuple[str, int]  # an IP and a port
Owner = tuple[str, str, str]  # role, job, task: whose a route is


@dataclass(frozen=True, order=True, slots=True)
class Route:
    """Requests for a host, at a port of the balancer."""

    port: int
    host: str

    @property
    def backend(self) -> str:
        """What HAProxy calls where they go."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Routes:
    """Where the instances of each route are, and which others want a route that is taken."""

    served: Mapping[Route, frozenset[Address]]
    refused: Mapping[Owner, Route] = field(default_factory=dict)


def routes_of(tasks: Iterable[NamedTask]) -> Routes:
    """Return the routes of what serves. One that two want is of the first by how it is called."""
    by_route: dict[Route, dict[Owner, set[Address]]] = {}
    for named in tasks:
        task = named.task
        owner = (task.role, task.job, task.task)
        ports = {port.name: port.port for port in task.ports}
        for exposed in task.exposed:
            port, address = ports.get(exposed.port_name), address_of(named.ip)
            # HAProxy starts with no route at all where an agent says a name in place of its IP.
            if port is not None and address is not None:
                owners = by_route.setdefault(_route(exposed), {})
                owners.setdefault(owner, set()).add((str(address), port))
    served = {route: frozenset(by_route[route][min(by_route[route])]) for route in sorted(by_route)}
    refused = {owner: route for route, owners in by_route.items() for owner in sorted(owners)[1:]}
    return Routes(served, refused)


def _route(exposed: Exposed) -> Route:
    return Route(exposed.port, exposed.http_host)
