"""The configuration of HAProxy: what it cannot be told through its runtime socket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from pymesos_core.addresses import HostPort
from pymesos_lb.routes import Address, Route

HTTPS_PORT = 443
SLOTS = 20  # of a backend, at least: twice as many as there are instances, since some leave
NOWHERE = ("127.0.0.1", 1)  # the address of a slot that is closed

HEAD = """\
# Written by pymesos-lb, which writes it anew when routes come and go.
global
  stats socket {socket} mode 600 level admin expose-fd listeners
  hard-stop-after 5m
{tls}
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout http-request 10s
  timeout queue 10s
  option redispatch
  option idle-close-on-response
  option forwardfor
"""
TLS_FROM = "  ssl-default-bind-options ssl-min-ver TLSv1.2\n"
# A client whose host has no certificate is shown none of another's; and there may be none yet.
TLS = " ssl crt {certificates} strict-sni alpn h2,http/1.1"
FRONTEND = """
frontend {port}
  bind {bind}{tls}
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower
  http-request set-header X-Forwarded-Proto {scheme}
"""
REDIRECT = (
    "  http-request redirect prefix https://{to} code 308 if {{ var(txn.host) -m str {host} }}\n"
)
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
class Doors:
    """Where clients come to, beside the ports that only routes name, and what they are shown."""

    ip: str
    tls_ports: tuple[int, ...] = ()
    redirect_port: int | None = None  # where clients are sent on to the first of `tls_ports`
    certificates: str = ""  # the folder that HAProxy reads

    @property
    def always(self) -> frozenset[int]:
        """The ports at which it listens before there is any route."""
        redirecting = () if self.redirect_port is None else (self.redirect_port,)
        return frozenset((*self.tls_ports, *redirecting))

    def frontend(self, port: int, routes: Iterable[Route]) -> str:
        """Return what listens at a port, and where requests go from there."""
        bind, here = HostPort(self.ip, port), [route for route in routes if route.port == port]
        is_tls = port in self.tls_ports
        tls, scheme = (
            (TLS.format(certificates=self.certificates), "https") if is_tls else ("", "http")
        )
        out = [FRONTEND.format(port=port, bind=bind, tls=tls, scheme=scheme)]
        if port == self.redirect_port:
            out += self._redirects(routes, {route.host for route in here})
        out += [USE.format(backend=route.backend, host=route.host) for route in here]
        return "".join((*out, NOBODY))

    def _redirects(self, routes: Iterable[Route], served: Set[str]) -> list[str]:
        to = self.tls_ports[0]
        suffix = "" if to == HTTPS_PORT else f":{to}"
        return [
            REDIRECT.format(host=route.host, to=f"{route.host}{suffix}")
            for route in routes
            if route.port == to and route.host not in served
        ]


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


def write(
    layout: Layout, served: Mapping[Route, frozenset[Address]], doors: Doors, socket: str
) -> str:
    """Return the configuration, in which the instances of now have their slots already."""
    routes = list(layout.slots)
    out = [HEAD.format(socket=socket, tls=TLS_FROM if doors.tls_ports else "")]
    ports = sorted(doors.always.union(route.port for route in routes))
    out += [doors.frontend(port, routes) for port in ports]
    for route, slots in layout.slots.items():
        out.append(BACKEND.format(backend=route.backend))
        addresses = sorted(served.get(route, ()))
        for number in range(slots):
            is_open = number < len(addresses)
            address = HostPort(*(addresses[number] if is_open else NOWHERE))
            out.append(f"  server slot{number + 1} {address}{'' if is_open else ' disabled'}\n")
    return "".join((*out, LAST))
