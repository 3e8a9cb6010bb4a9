"""What a restore would do: each thing of a backup held against what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pymesos_cli.backup import gathering
from pymesos_cli.backup.steps import Found, Step
from pymesos_cli.operators.roles import list_roles
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.policy_file import NEW_CLUSTER
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.restoring import (
    OTHER,
    SECRET,
    FakeCluster,
    agent,
    carry_out,
    planned,
    reserved,
)


def test_a_policy_is_set_in_the_place_of_none_only() -> None:
    fresh = FakeCluster()
    (step,) = planned(fresh, policy=OTHER)
    assert step.found is Found.MISSING
    assert carry_out(fresh, [step]) == [pb.SetPolicyRequest(document=OTHER)]
    there = pb.GetPolicyResponse(document=OTHER, version=3, set_by="operator/a")
    assert [s.found for s in planned(FakeCluster(GetPolicy=there), policy=OTHER)] == [Found.SAME]
    there.document = NEW_CLUSTER
    other = FakeCluster(GetPolicy=there)
    (step,) = planned(other, policy=OTHER)
    assert step.found is Found.DIFFERS and "version 3 is there, set by operator/a" in step.why
    assert carry_out(other, [step]) == [pb.SetPolicyRequest(document=OTHER, instead_of=3)]
    assert not planned(fresh), "of what nobody set nothing is restored"


def test_weights_and_quotas_are_held_against_those_that_are_there() -> None:
    quota = types_pb2.Quota(guarantees=to_proto(parse("cpus:2")))
    less = types_pb2.Quota(
        guarantees=to_proto(parse("cpus:2")),
        limits=[types_pb2.Resource(name="mem", scalar=0)],
    )
    roles = [
        backup_pb.BackupRole(role=name, weight=weight, quota=of)
        for name, weight, of in (("b", 2, less), ("a", 1, quota), ("c", 3, quota), ("d", 4, None))
    ]
    views = [
        pb.RoleView(role="a", weight=9, quota=quota),
        pb.RoleView(role="b", weight=2, quota=quota),
        pb.RoleView(role="d", weight=5),
    ]
    cluster = FakeCluster(ListRoles=pb.ListRolesResponse(roles=views))
    found = planned(cluster, roles=tuple(roles))
    assert [(s.what, s.found.name, s.why) for s in found] == [
        ("the weight of a, 1", "DIFFERS", "it is 9 here"),
        ("the quota of a, guaranteed cpus 2", "SAME", ""),
        ("the weight of b, 2", "SAME", ""),
        (
            "the quota of b, guaranteed cpus 2, at most mem 0",
            "DIFFERS",
            "it is guaranteed cpus 2 here",
        ),
        ("the weight of c, 3", "MISSING", ""),
        ("the quota of c, guaranteed cpus 2", "MISSING", ""),
        ("the weight of d, 4", "DIFFERS", "it is 5 here"),
    ]
    assert carry_out(cluster, [found[0], *found[3:]]) == [
        pb.SetWeightRequest(role="a", weight=1, instead_of=9),
        pb.SetQuotaRequest(role="b", quota=less, force=True, instead_of=quota),
        pb.SetWeightRequest(role="c", weight=3, instead_of=1),
        pb.SetQuotaRequest(role="c", quota=quota, force=True, instead_of=types_pb2.Quota()),
        pb.SetWeightRequest(role="d", weight=4, instead_of=5),
    ]


@pytest.mark.parametrize(
    ("what", "here", "saved"),
    [
        ("mem", "1048576", "1048580"),
        ("cpus", "1000000.5", "1000000.501"),
        ("disk", "0", "0.001"),
    ],
)
def test_a_quota_is_the_same_to_its_last_digit_and_is_said_in_full(
    what: str, here: str, saved: str
) -> None:
    def limit(amount: str) -> types_pb2.Quota:
        return types_pb2.Quota(limits=[types_pb2.Resource(name=what, scalar=float(amount))])

    def held(amount: str) -> Step:
        view = pb.RoleView(role="a", weight=1, quota=limit(amount))
        cluster = FakeCluster(ListRoles=pb.ListRolesResponse(roles=[view]))
        role = backup_pb.BackupRole(role="a", weight=1, quota=limit(saved))
        (step,) = planned(cluster, roles=(role,))
        return step

    assert held(saved).found is Found.SAME
    step = held(here)
    assert step.found is Found.DIFFERS, "it would be left as it is by --existing replace"
    assert step.what == f"the quota of a, at most {what} {saved}"
    assert step.why == f"it is at most {what} {here} here"


def test_roles_show_their_quota_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    quota = types_pb2.Quota(limits=[types_pb2.Resource(name="mem", scalar=1048580)])
    view = pb.RoleView(role="a", weight=1, quota=quota)
    cluster: Any = FakeCluster(ListRoles=pb.ListRolesResponse(roles=[view]))
    asyncio.run(list_roles(cluster, as_json=False))
    assert "mem 1048580" in capsys.readouterr().out


def test_weights_that_differ_are_not_said_to_be_the_same() -> None:
    view = pb.RoleView(role="a", weight=1234567)
    cluster = FakeCluster(ListRoles=pb.ListRolesResponse(roles=[view]))
    (step,) = planned(cluster, roles=(backup_pb.BackupRole(role="a", weight=1234568.5),))
    assert step.found is Found.DIFFERS
    assert (step.what, step.why) == ("the weight of a, 1234568.5", "it is 1234567 here")


def test_an_agent_is_the_one_of_its_id_or_the_only_one_of_its_name() -> None:
    saved = tuple(
        backup_pb.BackupAgent(agent_id=agent_id, hostname=hostname, cordoned=True)
        for agent_id, hostname in (
            ("kept", "renamed"), ("old", "h1"), ("one", "h2"), ("two", "h2"), ("lost", "h3"),
            ("gone", "h4"), ("many", "h5"),
        )
    )  # fmt: skip
    cluster = FakeCluster(
        [
            agent("kept", "other"), agent("new", "h1"), agent("n2", "h2"),
            agent("n4", "h4", state="gone"), agent("n5", "h5"), agent("n6", "h5"),
        ]
    )  # fmt: skip
    found = planned(cluster, agents=saved)
    added = [step for step in found if step.found is Found.MISSING]
    assert [tuple(r.agent_ids) for r in carry_out(cluster, added)] == [("kept",), ("new",)]
    assert [step.found for step in found[2:]] == [Found.LEFT_OUT] * 5


def test_agents_are_not_gone_through_again_for_each_of_them() -> None:
    class Counted(tuple[backup_pb.BackupAgent, ...]):
        times = 0

        def __iter__(self) -> Iterator[backup_pb.BackupAgent]:
            Counted.times += 1
            return super().__iter__()

    ids = range(10)
    saved = Counted(backup_pb.BackupAgent(agent_id=f"a{n}", hostname=f"h{n}") for n in ids)
    found = planned(FakeCluster([agent(f"b{n}", f"h{n}") for n in ids]), agents=saved)
    assert not found, "each is known by its host name, and nothing was decided of it"
    assert Counted.times <= 3


def test_what_was_decided_of_an_agent_is_added_once() -> None:
    window = types_pb2.Unavailability(start_s=1e9, duration_s=60)
    saved = backup_pb.BackupAgent(
        agent_id="a",
        hostname="h",
        cordoned=True,
        maintenance=window,
        reserved=[*reserved("cpus:2;mem:64", "prod"), *reserved("cpus:1", "dev")],
    )
    fresh = FakeCluster([agent("a", "h", total=to_proto(parse("cpus:8;mem:128")))])
    asked = carry_out(fresh, planned(fresh, agents=(saved,)))
    assert asked == [
        pb.CordonAgentsRequest(agent_ids=["a"]),
        pb.ScheduleMaintenanceRequest(
            agent_ids=["a"], unavailability=window, instead_of=types_pb2.Unavailability()
        ),
        pb.ReserveRequest(agent_id="a", role="dev", resources=to_proto(parse("cpus:1"))),
        pb.ReserveRequest(agent_id="a", role="prod", resources=to_proto(parse("cpus:2;mem:64"))),
    ]
    part = FakeCluster([agent("a", "h", total=reserved("cpus:0.5;mem:64", "prod"))])
    asked = carry_out(part, planned(part, agents=(saved,)))
    missing = pb.ReserveRequest(agent_id="a", role="prod", resources=to_proto(parse("cpus:1.5")))
    assert asked[-1] == missing, "what is reserved already is not reserved again"
    there = FakeCluster(
        [
            agent(
                "a",
                "h",
                total=saved.reserved,
                drain=pb.DrainView(state="draining"),
                maintenance=pb.MaintenanceView(unavailability=window),
            )
        ]
    )
    assert {step.found for step in planned(there, agents=(saved,))} == {Found.SAME}
    there.views[0].maintenance.unavailability.start_s += 1
    found = [step.found for step in planned(there, agents=(saved,))]
    assert found == [Found.SAME, Found.DIFFERS, Found.SAME, Found.SAME]


@pytest.mark.parametrize("shared", [False, True])
def test_what_became_a_volume_since_is_not_reserved_again(
    shared: bool,
) -> None:
    saved = backup_pb.BackupAgent(agent_id="a", reserved=reserved("disk:1000", "db"))
    volume = types_pb2.Resource.Disk(persistence_id="v", container_path="p")
    view = agent("a", "h", total=reserved("disk:600", "db"))
    of_volume = view.total.add(name="disk", scalar=400, disk=volume, shared=shared)
    of_volume.reservations.add(role="db")
    assert [step.found for step in planned(FakeCluster([view]), agents=(saved,))] == [Found.SAME]
    of_volume.scalar = 300
    less = FakeCluster([view])
    asked = carry_out(less, planned(less, agents=(saved,)))
    assert [r.resources for r in asked] == [to_proto(parse("disk:100"))]


def test_volumes_and_what_the_flags_of_an_agent_reserve_are_in_no_backup() -> None:
    volume = types_pb2.Resource.Disk(persistence_id="v", container_path="p")
    view = agent("a", "h", total=[*to_proto(parse("cpus(static):1")), *reserved("cpus:2", "prod")])
    view.total.add(name="disk", scalar=10, disk=volume).reservations.add(role="prod")
    (saved,) = gathering.decided_of([view])
    assert [*saved.reserved] == reserved("cpus:2", "prod")
    plain = agent("b", "h", total=to_proto(parse("cpus:4")))
    gone = agent("c", "h", state="gone", total=reserved("cpus:2", "prod"))
    assert not [*gathering.decided_of([plain, gone])], "nothing was decided"


def test_gpus_are_reserved_again_by_their_device() -> None:
    view = agent("a", "h", total=reserved("gpus#GPU-1:1;gpus#GPU-2:0.5", "prod"))
    assert not [*gathering.lost_of([view])]
    (saved,) = gathering.decided_of([view])
    assert [step.found for step in planned(FakeCluster([view]), agents=(saved,))] == [Found.SAME]
    part = FakeCluster([agent("a", "h", total=reserved("gpus#GPU-1:1", "prod"))])
    assert carry_out(part, planned(part, agents=(saved,))) == [
        pb.ReserveRequest(agent_id="a", role="prod", resources=to_proto(parse("gpus#GPU-2:0.5")))
    ]


def test_what_of_reservations_cannot_be_restored_is_said_to_be_left_out() -> None:
    refined = reserved("cpus:2", "prod")
    refined[0].reservations.add(role="prod/web")
    labelled = reserved("mem:64", "prod")
    labelled[0].reservations[0].labels.add(key="db", value="main")
    plain = reserved("cpus:1;mem:32", "prod")
    view = agent("a", "h", total=[*plain, *refined, *labelled])
    assert sorted(gathering.lost_of([view])) == [
        "cpus:2, reserved for prod, then of it for prod/web on the agent a (h): a restore reserves"
        " for one role only",
        "the labels db=main of mem:64, reserved for prod on the agent a (h)",
    ]
    view.state = "gone"
    assert not [*gathering.lost_of([view])]


def test_what_is_left_out_of_reservations_is_in_the_backup() -> None:
    refined = reserved("cpus:2", "prod")
    refined[0].reservations.add(role="prod/web")
    cluster: Any = FakeCluster(
        [agent("a", "h", total=refined)], WhoAmI=pb.WhoAmIResponse(principal="operator/a")
    )

    async def nothing(*_: Any) -> list[Any]:
        return []

    cluster.pages = cluster.frameworks = nothing
    gathered = asyncio.run(gathering.gather(cluster))
    assert [*gathered.backup.left_out] == [*gathering.lost_of(cluster.views)]
    assert len(gathered.backup.left_out) == 1
    assert gathered.complete, "no backup can have more"


def test_who_is_revoked_is_revoked_before_there_is_anything_to_be_had() -> None:
    cluster = FakeCluster([agent("a", "h")])
    cluster.answers["RestoreSecret"] = pb.RestoreSecretResponse(
        outcome=pb.RestoreSecretResponse.ADDED
    )
    found = planned(
        cluster,
        policy=OTHER,
        roles=(backup_pb.BackupRole(role="prod", weight=2),),
        secrets=(SECRET,),
        agents=(backup_pb.BackupAgent(agent_id="a", hostname="h", cordoned=True),),
        revoked=("framework/lost",),
    )
    assert [(step.what, step.keeps_out) for step in found] == [
        ("the policy", True),
        ("the revocation of framework/lost", True),
        ("the weight of prod, 2", False),
        ("the secret db of prod", False),
        ("the cordon of the agent a (h)", False),
    ]


def test_a_policy_that_is_replaced_keeps_out_as_well() -> None:
    there = pb.GetPolicyResponse(document=NEW_CLUSTER, version=3)
    (step,) = planned(FakeCluster(GetPolicy=there), policy=OTHER)
    assert step.found is Found.DIFFERS and step.keeps_out


def test_who_is_revoked_is_revoked() -> None:
    there = pb.ListRevocationsResponse(revocations=[pb.RevocationView(name="agent/a")])
    cluster = FakeCluster(ListRevocations=there)
    found = planned(cluster, revoked=("agent/a", "agent/b"))
    assert [step.found for step in found] == [Found.SAME, Found.MISSING]
    assert carry_out(cluster, found) == [pb.RevokeRequest(name="agent/b")]
