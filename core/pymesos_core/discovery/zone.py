"""The names of what serves, below one domain: TASK.JOB.ROLE-REVERSED.

A name is of one task of one job. Where two would have the same name, since `_` becomes `-` in it or
letters become small, it is of the first by how they are written, and never of both.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from pymesos_proto.v1 import names_pb2 as pb

DOMAIN = "pymesos"
MAX_LABEL, MAX_NAME = 63, 253
MAX_SERVICE_LABEL = 15  # of RFC 6335, without the underscore
PROTOCOLS = ("tcp", "udp")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Key = tuple[str, str]  # framework id, task id
Owner = tuple[str, str, str]  # role, job, task: whose a name is


def label_of(text: str) -> str:
    """A part of a name as it is in DNS."""
    return text.lower().replace("_", "-")


def name_of(role: str, job: str, task: str) -> str:
    """The name of a task of a job, below the domain; empty if it cannot have one."""
    parts = [] if role == "*" else role.split("/")[::-1]
    labels = [label_of(part) for part in (task, job, *parts)]
    usable = all(len(label) <= MAX_LABEL and _LABEL.fullmatch(label) for label in labels)
    # A number is what instances are called.
    return "" if labels[0].isdigit() or not usable else ".".join(labels)


def domain_problem(domain: str) -> str | None:
    """Why names cannot be below this domain, or None."""
    labels = domain.split(".")
    if len(domain) <= MAX_LABEL and all(_LABEL.fullmatch(label) for label in labels):
        return None
    return "small letters, digits and - between dots are expected, at most 63 in all"


def service_label(port_name: str) -> str:
    """A port's name in SRV records, without the underscore; empty if it cannot be in one."""
    label = label_of(port_name)
    return label if len(label) <= MAX_SERVICE_LABEL and _LABEL.fullmatch(label) else ""


@lru_cache(maxsize=65536)
def address_of(ip: str) -> Address | None:
    """An agent's address; None for what is none."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    is_everywhere = not isinstance(address, ipaddress.IPv6Address) or address.scope_id is None
    return address if is_everywhere else None  # one of a link means nothing elsewhere


def address_label(address: Address) -> str:
    """The name of an agent's address: SRV records lead to names."""
    if address.version == 4:
        return f"ip-{str(address).replace('.', '-')}"
    return f"ip6-{address.exploded.replace(':', '-')}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a port of an instance is."""

    port: int
    address: Address


@dataclass(frozen=True, slots=True)
class Found:
    """What is there under a name; nothing of both: the name is there, and has no records."""

    addresses: tuple[Address, ...] = ()
    targets: tuple[Target, ...] = ()


HERE = Found()


@dataclass
class Zone:
    """All names."""

    domain: str = DOMAIN
    serial: int = 0  # it counts changes
    _names: dict[str, dict[Owner, dict[Key, pb.NamedTask]]] = field(default_factory=dict)
    _parents: Counter[str] = field(default_factory=Counter)  # names above others
    _addresses: Counter[str] = field(default_factory=Counter)  # by label
    _tasks: dict[Key, pb.NamedTask] = field(default_factory=dict)

    def change(self, key: Key, named: pb.NamedTask | None) -> None:
        """A task serves as it is here, or serves no more."""
        self.serial = (self.serial + 1) % 2**32
        if (before := self._tasks.pop(key, None)) is not None:
            self._leave(key, before)
        if named is not None and _place(named)[0] and address_of(named.ip) is not None:
            self._tasks[key] = named
            self._enter(key, named)

    def _enter(self, key: Key, named: pb.NamedTask) -> None:
        name, owner = _place(named)
        if name not in self._names:
            self._parents.update(_above(name))
        self._names.setdefault(name, {}).setdefault(owner, {})[key] = named
        self._addresses[_address_label(named)] += 1

    def _leave(self, key: Key, named: pb.NamedTask) -> None:
        name, owner = _place(named)
        owners = self._names[name]
        del owners[owner][key]
        if not owners[owner]:
            del owners[owner]
        if not owners:
            del self._names[name]
            _count_down(self._parents, _above(name))
        _count_down(self._addresses, [_address_label(named)])

    def find(self, labels: tuple[str, ...]) -> Found | None:
        """What is there under a name below the domain, of small letters; None: no such name."""
        if not labels:
            return HERE
        name = ".".join(labels)
        if tasks := self._serving(name):
            return Found(_addresses(tasks))
        if labels[0] in PROTOCOLS_MARKED:
            return HERE if any(self._ports(labels[1:], labels[0])) else None
        if len(labels) > 2 and labels[0].startswith("_") and labels[1] in PROTOCOLS_MARKED:
            of_name = labels[0].removeprefix("_")
            named = [t for port, t in self._ports(labels[2:], labels[1]) if port == of_name]
            return Found(targets=tuple(dict.fromkeys(named))) if named else None
        if labels[0].isdecimal() and labels[0] == str(int(labels[0][:9])):
            instances = self._serving(".".join(labels[1:]))
            same = [t for t in instances if t.task.instance == int(labels[0])]
            if same:
                newest = max(same, key=lambda t: (t.task.order, t.task.task_id))
                return Found(_addresses([newest]))
        if len(labels) == 1 and self._addresses[name]:
            return Found(_addresses_of_label(name))
        return HERE if self._parents[name] else None

    def _serving(self, name: str) -> list[pb.NamedTask]:
        owners = self._names.get(name)
        return list(owners[min(owners)].values()) if owners else []

    def _ports(self, labels: tuple[str, ...], protocol: str) -> Iterator[tuple[str, Target]]:
        """The named ports of all that serves under a name."""
        for named in self._serving(".".join(labels)):
            address = address_of(named.ip)
            for port in named.task.ports:
                marked = f"_{port.protocol or 'tcp'}"
                label = service_label(port.name)
                if label and marked == protocol and address is not None:
                    yield label, Target(port.port, address)


PROTOCOLS_MARKED = tuple(f"_{protocol}" for protocol in PROTOCOLS)


def _place(named: pb.NamedTask) -> tuple[str, Owner]:
    task = named.task
    owner = (task.role, task.job, task.task)
    return _name_of(owner), owner


@lru_cache(maxsize=65536)
def _name_of(owner: Owner) -> str:
    return name_of(*owner)


def _above(name: str) -> list[str]:
    labels = name.split(".")
    return [".".join(labels[number:]) for number in range(1, len(labels))]


def _count_down(counter: Counter[str], names: Iterable[str]) -> None:
    for name in names:
        counter[name] -= 1
        if not counter[name]:
            del counter[name]


def _address_label(named: pb.NamedTask) -> str:
    address = address_of(named.ip)
    assert address is not None, "what has none is not entered"
    return address_label(address)


def _addresses(tasks: Iterable[pb.NamedTask]) -> tuple[Address, ...]:
    found = (address_of(named.ip) for named in tasks)
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _addresses_of_label(label: str) -> tuple[Address, ...]:
    kind, _, rest = label.partition("-")
    address = address_of(rest.replace("-", "." if kind == "ip" else ":"))
    return () if address is None else (address,)
