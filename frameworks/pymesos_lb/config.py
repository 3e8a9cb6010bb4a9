"""The configuration of HAProxy: what it cannot be told through its runtime socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pymesos_core.addresses import HostPort
from pymesos_lb.routes import Address, Route

SLOTS = 20  # of a backend, at least: twice as many as there are instances, since some leave
NOWHERE = ("127.0.0.1", 1)  # the address of a slot that is closed

HEAD = """\
# Written by pymesos-lb, which writes it anew when routes come and go.
global
  stats socket {socket} mode 600 level admin expose-fd listeners
  hard-stop-after 5m

defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout http-request 10s
  timeout queue 10s
  option redispatch
  option idle-close-on-response
"""
FRONTEND = """
frontend {port}
  bind {bind}
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower
"""
USE = "  use_backend {backend} if {{ var(txn.host) -m str {host} }}\n"
NOBODY = """\
  default_backend nobody
"""
BACKEND = """
backend {backend}
  balance roundrobin
"""
LAST = """
backend nobody
  http-request return status 404 content-type text/plain string "nothing serves this name\\n"
"""


@dataclass(frozen=True)
class Layout:
    """What HAProxy has to be started anew for: the routes, and how many slots each has."""

    slots: Mapping[Route, int]

    def grown(self, served: Mapping[Route, frozenset[Address]]) -> Layout:
        """Return the layout for these routes, of which none has fewer slots than it had."""
        return Layout(
            {
                route: _enough(len(addresses), self.slots.get(route, SLOTS))
                for route, addresses in sorted(served.items())
            }
        )


def _enough(instances: int, slots: int) -> int:
    while slots < 2 * instances:
        slots *= 2
    return slots


def write(layout: Layout, served: Mapping[Route, frozenset[Address]], ip: str, socket: str) -> str:
    """Return the configuration, in which the instances of now have their slots already."""
    ports = dict.fromkeys(route.port for route in layout.slots)
    out = [HEAD.format(socket=socket)]
    for port in ports:
        out.append(FRONTEND.format(port=port, bind=HostPort(ip, port)))
        of_port = [route for route in layout.slots if route.port == port]
        out += [USE.format(backend=route.backend, host=route.host) for route in of_port]
        out.append(NOBODY)
    for route, slots in layout.slots.items():
        out.append(BACKEND.format(backend=route.backend))
        addresses = sorted(served.get(route, ()))
        for number in range(slots):
            is_open = number < len(addresses)
            address = HostPort(*(addresses[number] if is_open else NOWHERE))
            out.append(f"  server slot{number + 1} {address}{'' if is_open else ' disabled'}\n")
    return "".join((*out, LAST))
