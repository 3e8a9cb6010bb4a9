"""What frameworks tell of a task to those who look for it, as Mesos has it and as we do."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

_Kind = pb.DiscoveryInfo.Visibility
_MesosKind = mesos.DiscoveryInfo.Visibility
_TEXTS = ("name", "environment", "location", "version")


def discovery_of(info: mesos.DiscoveryInfo) -> pb.DiscoveryInfo:
    """Return ours."""
    out = pb.DiscoveryInfo(visibility=_MesosKind.Name(info.visibility))
    for name in _TEXTS:
        setattr(out, name, getattr(info, name))
    out.labels.extend(_labels_of(info.labels))
    for port in info.ports.ports:
        kind = _MesosKind.Name(port.visibility) if port.HasField("visibility") else None
        mine = out.ports.add(
            number=port.number, name=port.name, protocol=port.protocol, visibility=kind
        )
        mine.labels.extend(_labels_of(port.labels))
    return out


def discovery_to_mesos(info: pb.DiscoveryInfo) -> mesos.DiscoveryInfo:
    """Return Mesos'; what is empty is not set."""
    out = mesos.DiscoveryInfo(visibility=_Kind.Name(info.visibility))
    for name in _TEXTS:
        if text := getattr(info, name):
            setattr(out, name, text)
    _add_labels(info.labels, out)
    for port in info.ports:
        shown = out.ports.ports.add(
            number=port.number,
            name=port.name or None,
            protocol=port.protocol or None,
            visibility=_Kind.Name(port.visibility) if port.HasField("visibility") else None,
        )
        _add_labels(port.labels, shown)
    return out


def _labels_of(labels: mesos.Labels) -> list[pb.Label]:
    return [pb.Label(key=one.key, value=one.value) for one in labels.labels]


def _add_labels(labels: Iterable[pb.Label], out: mesos.DiscoveryInfo | mesos.Port) -> None:
    for one in labels:
        out.labels.labels.add(key=one.key, value=one.value or None)
