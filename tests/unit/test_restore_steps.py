"""What a restore would do: each thing of a backup held against what is there."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from pymesos_cli.backup import gathering, restoring, steps
from pymesos_cli.backup.records import Backup, lines_of
from pymesos_cli.backup.restoring import Existing
from pymesos_cli.backup.steps import Found, Kind, Step
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_cli.main import main
from pymesos_cli.operators.roles import list_roles
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.policy_file import NEW_CLUSTER
from pymesos_core.security.secrets import Keyring
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

OTHER = NEW_CLUSTER.replace("operator/*", "operator/a")


class FakeCluster:
    """A master that answers what it was given, and remembers what it was asked to do."""

    def __init__(self, agents: Iterable[pb.AgentView] = (), **answers: Any) -> None:
        self.views = list(agents)
        self.timeout_s = 5.0
        self.answers = {
            "GetPolicy": pb.GetPolicyResponse(document=NEW_CLUSTER),
            "ListRoles": pb.ListRolesResponse(),
            "ListRevocations": pb.ListRevocationsResponse(),
            "ListWebhooks": pb.ListWebhooksResponse(),
            "ListClusterAlerts": pb.ListClusterAlertsResponse(),
            **answers,
        }
        self.answers_by: dict[str, Any] = {}  # by calling what is there
        self.done: list[Any] = []
        self.refusal: CliError | None = None

    def __getattr__(self, method: str) -> Any:
        if method in self.answers_by:
            return self.answers_by[method]

        async def answer(request: Any, timeout: float) -> Any:
            if method in self.answers:
                return self.answers[method]
            if self.refusal is not None:
                raise self.refusal
            self.done.append(request)
            return None

        return answer

    async def call(self, make: Any) -> Any:
        return await make(self, 1.0)

    async def agents(self) -> list[pb.AgentView]:
        return self.views


def reserved(text: str, role: str) -> list[types_pb2.Resource]:
    found = to_proto(parse(text))
    for resource in found:
        resource.reservations.add(role=role)
    return found


def agent(agent_id: str, hostname: str, **more: Any) -> pb.AgentView:
    info = types_pb2.AgentInfo(agent_id=agent_id, address=types_pb2.Address(hostname=hostname))
    return pb.AgentView(info=info, **{"state": "active", **more})


def planned(cluster: FakeCluster, keyring: Keyring | None = None, **saved: Any) -> list[Step]:
    backup = Backup(backup_pb.BackupBegin(format=1), **saved)
    of: Any = cluster
    return asyncio.run(steps.steps_of(of, backup, keyring))


def carry_out(cluster: FakeCluster, found: Iterable[Step]) -> list[Any]:
    """What the master is asked to do."""

    async def run() -> None:
        for step in found:
            if step.do is not None:
                await step.do()

    asyncio.run(run())
    return cluster.done


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


SECRET = pb.SealedSecret(role="prod", name="db", key_id="k", nonce=b"n", sealed=b"s" * 20)


def test_a_secret_is_held_against_the_one_that_is_there_by_the_master() -> None:
    answers = pb.RestoreSecretResponse
    for outcome, found, then in (
        (answers.ADDED, Found.MISSING, answers.ADDED),
        (answers.SAME, Found.SAME, answers.SAME),
        (answers.DIFFERS, Found.DIFFERS, answers.REPLACED),
    ):
        asked: list[pb.RestoreSecretRequest] = []
        cluster = FakeCluster()

        async def answer(
            request: pb.RestoreSecretRequest,
            timeout: float,
            asked: list[pb.RestoreSecretRequest] = asked,
            outcome: Any = outcome,
            then: Any = then,
        ) -> pb.RestoreSecretResponse:
            asked.append(request)
            if not request.dry_run:
                return pb.RestoreSecretResponse(outcome=then)
            version = 0 if outcome == pb.RestoreSecretResponse.ADDED else 7
            return pb.RestoreSecretResponse(outcome=outcome, version=version)

        cluster.answers_by["RestoreSecret"] = answer
        (step,) = planned(cluster, secrets=(SECRET,))
        assert step.found is found
        carry_out(cluster, [step])
        replaces, seen = found is Found.DIFFERS, 0 if found is Found.MISSING else 7
        assert asked == [
            pb.RestoreSecretRequest(secret=SECRET, dry_run=True),
            pb.RestoreSecretRequest(secret=SECRET, replace=replaces, instead_of=seen),
        ]


def test_a_secret_that_somebody_set_since_the_plan_is_not_said_to_be_restored() -> None:
    outcomes = iter([pb.RestoreSecretResponse.ADDED, pb.RestoreSecretResponse.DIFFERS])
    cluster = FakeCluster()

    async def answer(request: pb.RestoreSecretRequest, timeout: float) -> pb.RestoreSecretResponse:
        return pb.RestoreSecretResponse(outcome=next(outcomes))

    cluster.answers_by["RestoreSecret"] = answer
    (step,) = planned(cluster, secrets=(SECRET,))
    assert step.found is Found.MISSING
    with pytest.raises(CliError, match="somebody has set another value meanwhile"):
        carry_out(cluster, [step])


def test_one_that_nobody_opens_is_said_and_a_master_that_is_away_ends_it() -> None:
    cluster = FakeCluster()
    cluster.refusal = CliError("it is sealed by the key k")
    (step,) = planned(cluster, secrets=(SECRET,))
    assert (step.found, step.why) == (Found.STUCK, "it is sealed by the key k")
    cluster.refusal = CliError("no master", EXIT_NO_MASTER)
    with pytest.raises(CliError, match="no master"):
        planned(cluster, secrets=(SECRET,))


def test_a_key_at_hand_opens_a_secret_or_says_that_it_is_damaged() -> None:
    keyring = Keyring([b"k" * 32])
    sealed = keyring.seal("prod", "db", b"value")
    secret = pb.SealedSecret(
        role="prod", name="db", key_id=sealed.key_id, nonce=sealed.nonce, sealed=sealed.data
    )
    asked: list[pb.RestoreSecretRequest] = []
    cluster = FakeCluster()

    async def answer(request: pb.RestoreSecretRequest, timeout: float) -> pb.RestoreSecretResponse:
        asked.append(request)
        return pb.RestoreSecretResponse(outcome=pb.RestoreSecretResponse.ADDED)

    cluster.answers_by["RestoreSecret"] = answer
    (step,) = planned(cluster, keyring, secrets=(secret,))
    assert step.found is Found.MISSING and asked[0].value == b"value"
    (step,) = planned(cluster, Keyring([b"o" * 32]), secrets=(secret,))
    assert asked[1].value == b"", "another key opens nothing, and the master may have the right one"
    secret.sealed = bytes(len(secret.sealed))
    (step,) = planned(cluster, keyring, secrets=(secret,))
    assert step.found is Found.STUCK and "db of prod was changed or is damaged" in step.why
    assert len(asked) == 2, "no master is asked"


class Doing:
    """Steps that remember what was done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def step(self, found: Found, what: str = "", refusal: CliError | None = None) -> Step:
        what = what or f"what is {found.value}"

        async def do() -> None:
            if refusal is not None:
                raise refusal
            self.done.append(what)

        does = do if found in (Found.MISSING, Found.DIFFERS) else None
        return Step(Kind.SECRETS, what, found, "why", does)


def restore(
    monkeypatch: pytest.MonkeyPatch,
    found: list[Step],
    existing: str = "refuse",
    left_out: tuple[str, ...] = (),
    **more: Any,
) -> int:
    """Restore an empty backup from standard input, with these steps; the exit status."""

    async def steps_of(*_: Any, **__: Any) -> list[Step]:
        return found

    async def no_jobs(*_: Any) -> list[Step]:
        return []

    monkeypatch.setattr(restoring, "steps_of", steps_of)
    monkeypatch.setattr(restoring, "steps_of_jobs", no_jobs)
    data = b"".join(lines_of(Backup(backup_pb.BackupBegin(format=1), left_out=left_out)))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    cluster: Any = FakeCluster()
    asked = {"plan": False, "key_file": None, "partly": False, **more}
    return asyncio.run(restoring.restore(cluster, "-", existing=Existing(existing), **asked))


ALL = (Found.MISSING, Found.SAME, Found.DIFFERS, Found.LEFT_OUT)
ADDS, REPLACES = "what is missing", "what is differs"


@pytest.mark.parametrize(("existing", "done"), [("keep", [ADDS]), ("replace", [ADDS, REPLACES])])
def test_what_is_there_is_kept_or_replaced_on_demand(
    monkeypatch: pytest.MonkeyPatch, existing: str, done: list[str]
) -> None:
    doing = Doing()
    assert restore(monkeypatch, [doing.step(found) for found in ALL], existing) == 0
    assert doing.done == done


def test_nothing_is_done_where_something_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doing = Doing()
    with pytest.raises(CliError, match=r"1 thing of the backup is in the way: .*--existing keep"):
        restore(monkeypatch, [doing.step(found) for found in ALL])
    assert not doing.done and "differs    what is differs: why" in capsys.readouterr().err


def test_what_cannot_be_restored_is_in_the_way_of_the_rest_unless_it_is_to_be_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doing = Doing()
    found = [doing.step(Found.STUCK, "the secret db of prod"), doing.step(Found.MISSING)]
    with pytest.raises(CliError, match=r"--secrets-key .* --partly"):
        restore(monkeypatch, found, "replace")
    assert not doing.done
    with pytest.raises(CliError, match="1 thing of the backup is not restored"):
        restore(monkeypatch, found, partly=True)
    assert doing.done == [ADDS]


def test_what_fails_is_said_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doing = Doing()
    found = [
        doing.step(Found.MISSING, "one", CliError("no room")),
        doing.step(Found.MISSING, "two"),
    ]
    with pytest.raises(CliError, match="1 thing of the backup is not restored"):
        restore(monkeypatch, found)
    assert doing.done == ["two"] and "not restored: one: no room" in capsys.readouterr().err
    away = [doing.step(Found.MISSING, "one", CliError("away", EXIT_NO_MASTER)), *found]
    with pytest.raises(CliError, match="away"):
        restore(monkeypatch, away)


def test_what_a_backup_lacks_is_said_and_steers_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(monkeypatch, [], left_out=("the labels a=\x1b[2J of cpus:1",)) == 0
    said = capsys.readouterr().err
    assert "the backup lacks the labels a=" in said and "\x1b" not in said


def test_nothing_is_restored_for_somebody_who_could_not_be_kept_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doing = Doing()
    refused = doing.step(Found.MISSING, "the revocation of a", CliError("it is who asks"))
    found = [
        doing.step(Found.MISSING, "the policy"),
        replace(refused, keeps_out=True),
        doing.step(Found.MISSING, "the secret db of prod"),
    ]
    with pytest.raises(CliError, match=r"nothing that comes after this is restored.*--partly"):
        restore(monkeypatch, found)
    assert doing.done == ["the policy"]
    assert "not restored: the revocation of a: it is who asks" in capsys.readouterr().err
    with pytest.raises(CliError, match="1 thing of the backup is not restored"):
        restore(monkeypatch, found, partly=True)
    assert doing.done == ["the policy", "the policy", "the secret db of prod"]


@pytest.mark.parametrize(
    ("found", "existing", "status"),
    [
        ([], "refuse", 0),
        ([Found.SAME, Found.LEFT_OUT], "refuse", 0),
        ([Found.SAME, Found.MISSING], "refuse", 1),
        ([Found.DIFFERS], "refuse", 1),
        ([Found.DIFFERS], "replace", 1),
        ([Found.DIFFERS], "keep", 0),
        ([Found.STUCK], "keep", 1),
    ],
)
def test_a_plan_says_whether_there_is_anything_to_do_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, found: list[Found], existing: str, status: int
) -> None:
    doing = Doing()
    steps = [doing.step(each) for each in found]
    assert restore(monkeypatch, steps, existing, plan=True) == status
    assert not doing.done


MIXED = (
    Step(Kind.WEIGHTS, "the weight of a, 2", Found.DIFFERS),
    Step(Kind.WEIGHTS, "the weight of b, 2", Found.SAME),
    Step(Kind.SECRETS, "the secret db of prod", Found.STUCK, "no key"),
    Step(Kind.JOBS, "the job shop", Found.MISSING),
    Step(Kind.JOBS, "the job store", Found.MISSING),
    Step(Kind.JOBS, "the job train", Found.LEFT_OUT),
)


def summary(said: str) -> list[str]:
    """The lines that count the things of a kind, or name none."""
    kinds = (*Kind, "1 thing named above")
    return [line for line in said.splitlines() if line.startswith(kinds)]


@pytest.mark.parametrize(
    ("existing", "plan", "weights"),
    [
        ("replace", False, "1 replaced, 1 the same"),
        ("keep", False, "1 kept as it is here, 1 the same"),
        ("replace", True, "1 to replace, 1 same"),
        ("keep", True, "1 to keep, 1 same"),
        ("refuse", True, "1 differs, 1 same"),
    ],
)
def test_what_was_restored_is_summed_up_by_kind(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    existing: str,
    plan: bool,
    weights: str,
) -> None:
    async def do() -> None: ...

    async def fail() -> None:
        raise CliError("no room")

    found = [replace(step, do=do) for step in MIXED]
    found[4] = replace(found[4], do=fail)
    if plan:
        assert restore(monkeypatch, found, existing, left_out=("a label",), plan=True) == 1
        secrets, jobs = "1 cannot", "2 to add, 1 to leave out"
    else:
        with pytest.raises(CliError, match="2 things of the backup are not restored"):
            restore(monkeypatch, found, existing, left_out=("a label",), partly=True)
        secrets, jobs = "1 not restored", "1 added, 1 not restored, 1 left out"
    assert summary(capsys.readouterr().out) == [
        f"weights: {weights}",
        f"secrets: {secrets}",
        f"jobs: {jobs}",
        "1 thing named above is not in it",
    ]


def test_what_was_done_is_summed_up_where_it_is_not_done_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def do() -> None: ...

    async def fail() -> None:
        raise CliError("away", EXIT_NO_MASTER)

    adds = [replace(MIXED[3], do=each) for each in (do, fail, do)]
    with pytest.raises(CliError, match="away"):
        restore(monkeypatch, adds)
    assert summary(capsys.readouterr().out) == ["jobs: 1 added, 2 not restored"]


def test_an_empty_backup_is_said_to_be_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(monkeypatch, []) == 0
    assert capsys.readouterr().out == "the backup is empty\n"


def test_each_step_is_of_its_kind() -> None:
    quota = types_pb2.Quota(guarantees=to_proto(parse("cpus:2")))
    cluster = FakeCluster([agent("a", "h")])
    cluster.answers["RestoreSecret"] = pb.RestoreSecretResponse(
        outcome=pb.RestoreSecretResponse.ADDED
    )
    decided = backup_pb.BackupAgent(
        agent_id="a",
        hostname="h",
        cordoned=True,
        maintenance=types_pb2.Unavailability(start_s=1, duration_s=2),
        reserved=reserved("cpus:1", "prod"),
    )
    found = planned(
        cluster,
        policy=OTHER,
        roles=(backup_pb.BackupRole(role="prod", weight=2, quota=quota),),
        secrets=(SECRET,),
        agents=(decided, backup_pb.BackupAgent(agent_id="b", hostname="other")),
        revoked=("framework/lost",),
    )
    assert [step.kind for step in found] == [
        Kind.POLICY,
        Kind.REVOCATIONS,
        Kind.WEIGHTS,
        Kind.QUOTAS,
        Kind.SECRETS,
        Kind.CORDONS,
        Kind.MAINTENANCE,
        Kind.RESERVATIONS,
        Kind.AGENTS,
    ]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("none", "none: No such file or directory"),
        ("folder", "folder: Is a directory"),
        ("text", "'text': line 1: what `pymesos-cli backup` wrote was expected"),
        ("short", "'short': the backup is not whole: it ends after 1 line"),
    ],
)
def test_what_is_no_backup_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("text").write_text("hello\n")
    Path("short").write_bytes(next(lines_of(Backup(backup_pb.BackupBegin(format=1)))))
    done = CliRunner().invoke(main, ["--master", "127.0.0.1:1", "restore", file])
    assert done.exit_code == 2 and says in done.output, done.output


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("none", "--secrets-key: none: No such file or directory; secrets.key of a master is"),
        ("folder", "--secrets-key: folder is a folder: a file with keys, as secrets.key, is"),
        ("text", "--secrets-key: text holds no keys of secrets: expected are 1 to 16 lines"),
        ("open", "can be read by others than its owner: chmod 600 open"),
    ],
)
def test_what_is_no_key_file_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b").write_bytes(b"".join(lines_of(Backup(backup_pb.BackupBegin(format=1)))))
    Path("folder").mkdir()
    for name, mode in (("text", 0o600), ("open", 0o644)):
        Path(name).write_text("hello\n")
        Path(name).chmod(mode)
    arguments = ["--master", "127.0.0.1:1", "restore", "b", "--secrets-key", key]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and says in " ".join(done.output.split()), done.output
