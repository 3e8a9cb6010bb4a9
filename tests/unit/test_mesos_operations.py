"""Operations that the master of Mesos refuses are refused in its words."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_core.mesos.json_messages import from_json
from pymesos_master.mesos import calls
from pymesos_master.mesos.rules.operations import Asking
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_testing.mesos_resources import VOLUME, scalar

ASKING = Asking("f", "p", False, "dev", "S0 at slave(1)@10.0.0.3:5051 (h)")


DEV = {"reservations": [{"type": "DYNAMIC", "role": "dev"}]}


OF_DEV = scalar("disk", 64, **DEV)


SHOWN = "(allocated: dev)(reservations: [(DYNAMIC,dev)])"


def operation(kind: str, **said: Any) -> dict[str, Any]:
    return {"type": kind, kind.lower(): said}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (operation("RESERVE", resources=[scalar("cpus", 1, **DEV)]), None),
        (
            operation("RESERVE", resources=[scalar("cpus", 1)]),
            "Resource cpus(allocated: dev):1 is not dynamically reserved",
        ),
        (
            operation("RESERVE", resources=[scalar("", 1)]),
            "Invalid resources: Invalid resources: Resource '(allocated: dev):1' is invalid: Empty"
            " resource name",
        ),
        (
            operation(
                "RESERVE",
                resources=[scalar("cpus", 1, reservations=[{"type": "DYNAMIC", "role": "other"}])],
            ),
            "A reserve operation was attempted for a resource with role 'other', but the resource"
            " was allocated to role 'dev'",
        ),
        (
            operation(
                "RESERVE", resources=[scalar("cpus", 1, role="dev", reservation={"principal": "q"})]
            ),
            "A reserve operation was attempted by authenticated principal 'p', which does not match"
            " a reserved resource in the request with principal 'q'",
        ),
        (operation("UNRESERVE", resources=[OF_DEV]), None),
        (
            operation("UNRESERVE", resources=[OF_DEV | {"disk": VOLUME}]),
            f"A dynamically reserved persistent volume disk{SHOWN}[v:d]:64 cannot be unreserved"
            f" directly. Please destroy the persistent volume first then unreserve the resource",
        ),
        (operation("CREATE", volumes=[OF_DEV | {"disk": VOLUME}]), None),
        (
            operation("CREATE", volumes=[OF_DEV]),
            f"Not a persistent volume: Resource disk{SHOWN}:64 does not have DiskInfo",
        ),
        (
            operation("CREATE", volumes=[OF_DEV | {"disk": VOLUME}] * 2),
            "Persistence ID 'v' is not unique",
        ),
        (
            operation("CREATE", volumes=[OF_DEV | {"disk": VOLUME, "shared": {}}]),
            f"Create volume operation for 'disk{SHOWN}[v:d]<SHARED>:64' has been attempted by"
            f" framework 'f' with no SHARED_RESOURCES capability",
        ),
        (
            operation("DESTROY", volumes=[OF_DEV]),
            "Not a persistent volume: Resource disk(reservations: [(DYNAMIC,dev)]):64 does not have"
            " DiskInfo",
        ),
        (
            operation(
                "GROW_VOLUME", volume=OF_DEV | {"disk": VOLUME}, addition=scalar("disk", 8, **DEV)
            ),
            None,
        ),
        (
            operation("GROW_VOLUME", volume=OF_DEV | {"disk": VOLUME}, addition=scalar("disk", 8)),
            "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields",
        ),
        (
            operation(
                "GROW_VOLUME", volume=OF_DEV | {"disk": VOLUME}, addition=scalar("disk", 0, **DEV)
            ),
            "The size of 'GrowVolume.addition' field must be greater than zero",
        ),
        (
            operation("GROW_VOLUME", volume=OF_DEV, addition=scalar("disk", 8, **DEV)),
            f"Invalid persistent volume in the 'GrowVolume.volume' field: Resource disk{SHOWN}:64"
            f" does not have DiskInfo",
        ),
        (
            operation(
                "GROW_VOLUME",
                volume=OF_DEV | {"disk": VOLUME, "shared": {}},
                addition=scalar("disk", 8, **DEV),
            ),
            "Growing a shared persistent volume is not supported",
        ),
        (
            operation("SHRINK_VOLUME", volume=OF_DEV | {"disk": VOLUME}, subtract={"value": 8}),
            None,
        ),
        (
            operation("SHRINK_VOLUME", volume=OF_DEV | {"disk": VOLUME}, subtract={"value": 64}),
            "Value of 'ShrinkVolume.subtract' must be smaller than the size of"
            " 'ShrinkVolume.volume'",
        ),
        (
            operation("SHRINK_VOLUME", volume=scalar("", 64), subtract={"value": 8}),
            "Invalid resource in the 'ShrinkVolume.volume' field: Empty resource name",
        ),
    ],
)
def test_an_operation_is_refused_as_by_mesos(said: dict[str, Any], text: str | None) -> None:
    accept = {
        "offer_ids": [{"value": "o"}],
        "operations": [said | {"id": {"value": "op"}}],
    }
    call = from_json(
        {"framework_id": {"value": "f"}, "type": "ACCEPT", "accept": accept},
        mesos_scheduler.Call,
    )
    translation = calls.translate(call, "dev", 0.0, ASKING)
    assert translation.call is not None
    told = [one.update_operation_status.status for one in translation.told]
    assert len(translation.call.accept.operations) + len(told) == 1
    if text is None:
        assert not told
        return
    (status,) = told
    assert status.message == f"{text}; on agent {ASKING.agent}"
    assert (status.operation_id.value, status.state) == ("op", mesos.OPERATION_ERROR)
