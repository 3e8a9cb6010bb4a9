"""Addresses in config files are for frameworks of their role."""

from __future__ import annotations

import pytest

from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task


@pytest.mark.parametrize("role, told", [("*", ""), ("prod", "addresses of role 'prod'")])
def test_a_task_has_those_of_its_frameworks_roles_only(role: str, told: str) -> None:
    h = MasterHarness()
    h.agent(capabilities=(pb.CONFIG, pb.ADDRESSES))
    framework = h.subscribe()
    (offer,) = h.offers(framework)
    info = task(offer, "t", "cpus:1;mem:32")
    file = info.container.config.add(path="peers", template="x")
    file.addresses.add(name="db", role=role, job="shop", task="db")
    h.accept(framework, [offer.offer_id], info)
    if told:
        status = h.last(framework)
        assert status.state == pb.TASK_ERROR and told in status.message
    else:
        assert "t" in h.core.state.frameworks[h.framework_id(framework)].tasks
