"""Who may do what: each call of the contract is in the table, and the core goes by the policy."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from pymesos_core.caller import NOBODY, Caller
from pymesos_core.errors import RequestError
from pymesos_core.security.needs import NEEDS, Object, need_of_path
from pymesos_core.security.policy import Policy, Verb
from pymesos_core.security.policy_file import NEW_CLUSTER
from pymesos_core.security.secrets import Sealed
from pymesos_master.core import Config, permission
from pymesos_master.core import events as ev
from pymesos_master.queries import Queries, TaskFilter
from pymesos_proto.v1 import agent_pb2, executor_pb2, registry_pb2, scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task
from pymesos_testing.permitted import (
    ALL,
    FRAMEWORK,
    ONE,
    ROOT,
    agent_of,
    cluster,
    harness,
    launch,
    set_policy,
    who,
)

PROTOS = sorted((Path(__file__).parents[2] / "proto/pymesos_proto/v1").glob("*_pb2.py"))


# What the messages may be that clients send on streams. Masters and agents answer by the others.
SAID: list[Any] = [
    scheduler_pb2.Call.DESCRIPTOR,
    scheduler_pb2.Operation.DESCRIPTOR,
    agent_pb2.AgentMessage.DESCRIPTOR,
    executor_pb2.ExecutorCall.DESCRIPTOR,
]


def services() -> list[ServiceDescriptor]:
    found = []
    for path in PROTOS:
        module = importlib.import_module(f"pymesos_proto.v1.{path.stem}")
        found += list(module.DESCRIPTOR.services_by_name.values())
    return found


class TestTable:
    def test_it_has_every_method_and_every_call_and_no_other(self) -> None:
        methods = {f"{s.name}.{method.name}" for s in services() for method in s.methods}
        members = {
            f"{message.name}.{field.name}"
            for message in SAID
            for oneof in message.oneofs
            for field in oneof.fields
        }
        assert set(NEEDS) == methods | members  # say there what a new one needs

    def test_what_is_said_on_streams_is_all_looked_at(self) -> None:
        """A new stream of messages with parts of their own is to be listed above."""
        streamed = {
            field.message_type
            for service in services()
            for method in service.methods
            if method.client_streaming and method.input_type.name.endswith("Batch")
            for field in method.input_type.fields
        }
        assert streamed <= set(SAID)

    def test_every_verb_is_needed_for_something(self) -> None:
        needed = {need.verb for need in NEEDS.values()}
        # `serve` is needed to subscribe with an address, `read-env` to see more of what is read.
        assert needed | {Verb.SERVE, Verb.READ_ENV} == {*Verb, None}

    def test_what_is_not_listed_is_denied(self) -> None:
        assert need_of_path("/pymesos.v1.Operator/KillTask") == NEEDS["Operator.KillTask"]
        assert need_of_path("/pymesos.v1.Operator/Added") is None
        state = MasterHarness().core.state
        alice = who("operator/alice")
        assert "nobody may" in (permission.problem(state, alice, "Operator.Added", ("r",)) or "")


OF_ENG = pb.Resource(name="disk", scalar=1, reservations=[pb.Resource.Reservation(role="eng")])


VOLUME = pb.Resource.Disk(persistence_id="v", container_path="v")


RESERVE = scheduler_pb2.Operation(reserve={"resources": [OF_ENG]})


DESTROY = scheduler_pb2.Operation(destroy={"volumes": [OF_ENG]})


DESTROY.destroy.volumes[0].disk.CopyFrom(VOLUME)


# What operators may have done, what that needs, and in which role.
Ask = Callable[[MasterHarness, str, Caller], ev.Event]


SEALED = Sealed("k", b"n", b"x" * 16)


DECISIONS: list[tuple[Ask, Verb, str]] = [
    (lambda h, f, c: ev.OperatorKilledTask(1, f, "t", c), Verb.KILL, "prod/web"),
    (lambda h, f, c: ev.OperatorKilledTask(1, "", "t", c), Verb.KILL, "prod/web"),
    (lambda h, f, c: ev.OperatorToreDown(1, f, c), Verb.TEARDOWN, "prod/web"),
    (lambda h, f, c: ev.OperatorSetQuota(1, "eng", pb.Quota(), True, c), Verb.QUOTA, "eng"),
    (lambda h, f, c: ev.OperatorSetWeight(1, "eng", 2.0, c), Verb.QUOTA, "eng"),
    (lambda h, f, c: ev.OperatorReserved(1, agent_of(h), "eng", ONE, c), Verb.RESERVE, "eng"),
    (lambda h, f, c: ev.OperatorUnreserved(1, agent_of(h), "eng", ONE, c), Verb.RESERVE, "eng"),
    (lambda h, f, c: ev.OperatorConverted(1, agent_of(h), RESERVE, c), Verb.RESERVE, "eng"),
    (lambda h, f, c: ev.OperatorConverted(1, agent_of(h), DESTROY, c), Verb.RESERVE, "eng"),
    (lambda h, f, c: ev.OperatorSetSecret(1, "eng", "db", SEALED, c), Verb.SECRETS, "eng"),
    (lambda h, f, c: ev.OperatorRemovedSecret(1, "eng", "db", True, c), Verb.SECRETS, "eng"),
    (lambda h, f, c: ev.OperatorSetWebhook(1, "w", "http://x", (1,), caller=c), Verb.POLICY, ""),
    (lambda h, f, c: ev.OperatorRemovedWebhook(1, "w", c), Verb.POLICY, ""),
    (lambda h, f, c: ev.OperatorSilencedAlerts(1, "", "", 9, "", c), Verb.AGENTS, ""),
    (lambda h, f, c: ev.OperatorMarkedGone(1, agent_of(h), c), Verb.AGENTS, ""),
    (lambda h, f, c: ev.OperatorCordonedAgents(1, (agent_of(h),), c), Verb.AGENTS, ""),
    (lambda h, f, c: ev.OperatorDrainedAgents(1, (agent_of(h),), 9, False, c), Verb.AGENTS, ""),
    (lambda h, f, c: ev.OperatorActivatedAgents(1, (agent_of(h),), c), Verb.AGENTS, ""),
    (
        lambda h, f, c: ev.OperatorScheduledMaintenance(1, (agent_of(h),), 2e9, 9, c),
        Verb.AGENTS,
        "",
    ),
    (lambda h, f, c: ev.OperatorCancelledMaintenance(1, (agent_of(h),), c), Verb.AGENTS, ""),
    (lambda h, f, c: ev.OperatorReleasedRecord(1, "agent", "a", False, c), Verb.AGENTS, ""),
]


# Of what is allowed, and is not there.
IN_VAIN = re.compile(
    "is not free; of eng this is|is wanted, and no task uses"
    "|there is no record 'agent/a'|the role eng has no secret 'db'"
    "|there is no webhook 'w'"
)


@pytest.mark.parametrize(("ask", "verb", "role"), DECISIONS)
def test_a_decision_needs_exactly_its_rule(ask: Ask, verb: Verb, role: str) -> None:
    others = ", ".join(set(Verb) - {verb, Verb.AGENTS, Verb.POLICY})
    for rule, allowed in (
        (None, False),
        (f"{{who: operator/o, do: [{others}], role: '**'}}", False),
        (f"{{who: operator/x, do: [{verb}], role: '**'}}", False),
        (f"{{who: operator/o, do: [{verb}], role: other}}" if role else None, False),
        (f"{{who: operator/o, do: [{verb}], role: '{role or '**'}'}}", True),
        (f"{{who: operator/o, do: ['*'], role: '{'prod/**' if 'prod' in role else '**'}'}}", True),
    ):
        h, _, framework_id = cluster(*([rule] if rule else []))
        h.feed(ask(h, framework_id, who("operator/o")))
        said = h.answers[1]
        if allowed:
            assert said is None or IN_VAIN.search(said)
        else:
            assert said is not None and f"operator/o may not {Verb(verb).words}" in said
            assert "`pymesos-cli can operator/o" in said or "`pymesos-cli whoami`" in said
            assert agent_of(h) and h.core.state.find_task(framework_id, "t") is not None


def test_who_may_not_kill_a_task_does_not_learn_whether_it_is_there() -> None:
    h, _, _ = cluster("{who: operator/o, do: [kill], role: eng}")
    other = h.subscribe(roles=["eng"], name="g", caller=FRAMEWORK)
    for number, task_id in enumerate(("t", "u"), 1):
        h.feed(ev.OperatorKilledTask(number, "", task_id, who("operator/o")))
        assert "no such task is live in the roles" in str(h.answers[number])
    h.agent("cpus:4;mem:4096", caller=who("agent/b"))
    launch(h, other, "t")
    h.feed(ev.OperatorKilledTask(3, "", "t", ROOT))
    assert "exists in several frameworks" in str(h.answers[3])
    h.feed(ev.OperatorKilledTask(4, "", "t", who("operator/o")))
    assert h.answers[4] is None, "of those that it may kill there is one"


def test_in_a_cluster_without_certificates_nothing_is_denied() -> None:
    h = MasterHarness(Config(seed_policy="allow: []"))
    h.agent()
    framework = h.subscribe(roles=["r"])
    h.run(framework)
    assert not h.errors(framework) and len(h.core.state.agents) == 1
    assert Queries(h.core).tasks(NOBODY, ALL, TaskFilter()).views


class TestFrameworks:
    def test_they_subscribe_in_roles_that_are_theirs(self) -> None:
        h = harness(document="allow:\n- {{who: framework/f, do: [subscribe], role: 'a/**'}}")
        assert not h.errors(h.subscribe(roles=["a", "a/b"], caller=FRAMEWORK))
        for roles in (["b"], ["a", "b"], []):
            refused = h.subscribe(roles=roles, caller=FRAMEWORK)
            (error,) = (e.error for e in h.framework_inbox[refused])
            assert "framework/f may not subscribe in the role" in error.message
            assert error.code == scheduler_pb2.Event.Error.DENIED
            assert refused in h.closed

    def test_one_that_says_where_it_serves_jobs_has_to_be_allowed_to(self) -> None:
        rule = "{{{{who: framework/f, do: [subscribe{}], role: r}}}}"
        for verbs, problem in (("", "may not serve in the role r"), (", serve", None)):
            h = harness(document=f"allow:\n- {rule.format(verbs)}")
            info = pb.FrameworkInfo(name="f", roles=["r"], jobs_address="10.0.0.1:1")
            subscribe = scheduler_pb2.Call.Subscribe(framework_info=info)
            h.feed(ev.FrameworkSubscribing(900, subscribe, FRAMEWORK))
            assert (problem is None) == (not h.errors(900))
            assert problem is None or problem in h.errors(900)[0]
            told = [e.policy.version for e in h.framework_inbox[900] if e.HasField("policy")]
            assert told == ([1] if problem is None else [])

    def test_their_tasks_are_what_a_rule_says(self) -> None:
        h, framework, _ = cluster()
        assert launch(h, framework, "plain") == "launched"
        root = launch(h, framework, "root", command=pb.CommandInfo(user="root"))
        assert root.startswith("REASON_TASK_UNAUTHORIZED framework/f may not launch in the role")
        mounts = [pb.ContainerMount(container_path="x", host_path="/etc")]
        mounted = launch(h, framework, "mount", container=pb.ContainerInfo(mounts=mounts))
        assert "with '/etc' of the host" in mounted
        fetched = launch(h, framework, "file", artifacts=[pb.Artifact(uri="FILE:///%65tc/x")])
        assert "with '/etc/x' of the host" in fetched
        broken = launch(h, framework, "broken", artifacts=[pb.Artifact(uri="file://[/etc")])
        assert "of the host" in broken
        image = launch(h, framework, "image", container=pb.ContainerInfo(image="nginx"))
        assert "as the user of its image" in image
        long = launch(h, framework, "long", command=pb.CommandInfo(user="0" * 5000))
        assert long.startswith("REASON_TASK_INVALID")
        kill = pb.Check(command=pb.CommandInfo(value="x", user="root"))
        assert "which is root" in launch(h, framework, "check", health_check=kill)
        running = h.core.state.frameworks[h.framework_id(framework)].tasks
        assert sorted(running) == ["plain", "t"]

    def test_agents_go_by_the_user_that_is_judged(self) -> None:
        """An agent that was told root once ran as root what named nobody, which the policy lets."""
        h = harness()
        agent = h.agent("cpus:4;mem:4096", caller=who("agent/a"))
        framework = h.subscribe(roles=["prod/web"], caller=FRAMEWORK, user="root")
        as_app = pb.CommandInfo(user="app")
        assert launch(h, framework, "a", command=as_app) == "launched"
        framework_id = h.framework_id(framework)
        again = h.subscribe(framework_id, roles=["prod/web"], caller=FRAMEWORK)
        assert launch(h, again, "b") == "launched"
        assert launch(h, again, "c") == "launched"
        told = [m.launch.framework_info for m in h.agent_inbox[agent] if m.HasField("launch")]
        assert [(info.name != "", info.user) for info in told] == [
            (True, "root"),
            (True, ""),
            (False, ""),
        ]

    @pytest.mark.parametrize("kind", ["unreserve", "create", "destroy"])
    def test_a_role_does_not_undo_what_is_reserved_for_those_above(self, kind: str) -> None:
        volume = pb.Resource(name="disk", scalar=1)
        volume.reservations.add(role="prod")
        volume.disk.CopyFrom(pb.Resource.Disk(persistence_id="v", container_path="v"))
        asked = {
            "unreserve": scheduler_pb2.Operation(unreserve={"resources": [volume]}),
            "create": scheduler_pb2.Operation(create={"volumes": [volume]}),
            "destroy": scheduler_pb2.Operation(destroy={"volumes": [volume]}),
        }[kind]
        if kind == "unreserve":
            asked.unreserve.resources[0].ClearField("disk")
        for role, may in (("prod/ci", False), ("prod", True)):
            h = harness(document=f"allow:\n- {{{{who: framework/f, do: ['*'], role: {role}}}}}")
            h.agent("cpus:1", caller=who("agent/a"))
            (agent,) = h.core.state.agents.values()
            framework = h.subscribe(roles=[role], caller=FRAMEWORK)
            known = h.core.state.frameworks[h.framework_id(framework)]
            done, denied = permission.permitted(
                h.core.state, FRAMEWORK, known, agent, "prod/ci", [asked]
            )
            assert (done == [asked]) is may, denied
            assert may or "may not reserve in the role prod:" in denied[0][1]

    @pytest.mark.parametrize(
        ("isolation", "is_root"),
        [
            ({"user": "setuid"}, True),
            ({"mem": "cgroup v2", "oci user": "crun"}, True),
            ({"user": "setuid", "own_user": "2100000000:65536"}, False),
            ({"user": "the engine", "oci user": "crun", "oci own_user": "1:2"}, False),
            ({"docker user": "the engine"}, False),
            ({}, False),
        ],
    )
    def test_who_names_no_user_is_root_where_agents_give_none(
        self, isolation: dict[str, str], is_root: bool
    ) -> None:
        h = harness()
        h.agent("cpus:4;mem:4096", caller=who("agent/a"), isolation=isolation)
        framework = h.subscribe(roles=["prod/web"], caller=FRAMEWORK)
        said = launch(h, framework, "t")
        assert said == "launched" or "which is root on this agent" in said
        assert (said != "launched") == is_root
        assert launch(h, framework, "app", command=pb.CommandInfo(user="app")) == "launched"

    def test_in_a_new_cluster_they_launch_anything(self) -> None:
        h = MasterHarness()
        h.agent("cpus:4;mem:4096", caller=who("agent/a"))
        framework = h.subscribe(roles=["prod/web"], caller=FRAMEWORK, user="root")
        assert launch(h, framework, "root") == "launched"

    def test_of_several_tasks_those_that_may_are_launched(self) -> None:
        h, framework, _ = cluster()
        offer = h.offers(framework)[0]
        infos = [task(offer, name) for name in ("a", "b", "c")]
        infos[1].command.user = "root"
        operations = [
            scheduler_pb2.Operation(launch=scheduler_pb2.Operation.Launch(task_infos=infos)),
        ]
        accept = scheduler_pb2.Call.Accept(offer_ids=[offer.offer_id], operations=operations)
        h.feed(ev.FrameworkCalled(framework, scheduler_pb2.Call(accept=accept), FRAMEWORK))
        running = h.core.state.frameworks[h.framework_id(framework)].tasks
        assert sorted(running) == ["a", "c", "t"]
        assert [s.task_id for s in h.statuses(framework)] == ["b"]

    def test_they_reserve_by_a_rule_only(self) -> None:
        for do, end in (("subscribe", 2), ("subscribe, reserve", 1)):
            h = harness(document=f"allow:\n- {{{{who: framework/f, do: [{do}], role: r}}}}")
            h.agent("cpus:4;mem:4096", caller=who("agent/a"))
            framework = h.subscribe(roles=["r"], caller=FRAMEWORK)
            offer = h.offers(framework)[0]
            wanted = pb.Resource(name="cpus", scalar=1)
            wanted.reservations.add(role="r")
            reserve = scheduler_pb2.Operation.Reserve(resources=[wanted])
            operation = scheduler_pb2.Operation(id="o", reserve=reserve)
            accept = scheduler_pb2.Call.Accept(offer_ids=[offer.offer_id], operations=[operation])
            h.feed(ev.FrameworkCalled(framework, scheduler_pb2.Call(accept=accept), FRAMEWORK))
            updates = [
                e.operation_update
                for e in h.framework_inbox[framework]
                if e.HasField("operation_update")
            ]
            assert [u.state for u in updates] == [end], updates


class TestPolicy:
    def test_until_one_is_set_each_is_what_its_certificate_says(self) -> None:
        h = MasterHarness()
        seen = Queries(h.core).permits.policy(who("operator/anybody"))
        assert (seen.document, seen.version) == (NEW_CLUSTER, 0)
        with pytest.raises(RequestError):
            Queries(h.core).permits.policy(FRAMEWORK)

    def test_it_is_in_force_when_it_is_answered_and_the_next_leader_has_it(self) -> None:
        h = MasterHarness()
        h.hold_writes = True
        document = "allow:\n- {who: operator/root, do: [policy]}\n"
        assert set_policy(h, document, 0) == "not answered"
        assert h.core.state.policy.version == 0
        h.write()
        assert h.answers[99] is None and h.core.state.policy.version == 1
        later = MasterHarness(Config(seed_policy="allow: []"), h.registry)
        seen = Queries(later.core).permits.policy(ROOT)
        assert (seen.document, seen.version, seen.set_by) == (document, 1, "operator/root")

    def test_two_people_do_not_overwrite_each_other(self) -> None:
        h = MasterHarness()
        one = "allow:\n- {who: operator/*, do: [policy]}\n"
        h.hold_writes = True
        assert set_policy(h, one, 0) == "not answered"
        said = set_policy(h, NEW_CLUSTER, 0, who("operator/other"))  # while the other is written
        assert "is of version 1, which operator/root set, and yours is to replace version 0" in said
        h.write()
        assert set_policy(h, NEW_CLUSTER, 0) != "not answered" and h.core.state.policy.version == 1
        h.hold_writes = False
        assert set_policy(h, NEW_CLUSTER, 1) is None and h.core.state.policy.version == 2

    def test_nobody_locks_himself_out(self) -> None:
        h = MasterHarness()
        said = set_policy(h, "allow:\n- {who: operator/root, do: [agents]}", 0)
        assert "operator/root could not set the policy any more" in said

    def test_who_may_not_does_not_set_it(self) -> None:
        h = harness("{who: operator/o, do: ['*'], role: 'prod/**'}")
        assert "may not manage the policy" in set_policy(h, NEW_CLUSTER, 1, who("operator/o"))
        assert h.core.state.policy.version == 1

    def test_a_framework_that_may_not_be_here_any_more_goes_at_once(self) -> None:
        h, framework, framework_id = cluster()
        stays = h.subscribe(roles=["eng"], name="g", caller=who("framework/g"))
        rule = "- {who: framework/g, do: [subscribe], role: eng}\n"
        mine = "allow:\n- {who: operator/root, do: ['*'], role: '**'}\n"
        assert set_policy(h, mine + rule, 1) is None
        assert "framework/f may not subscribe" in h.errors(framework)[0]
        assert framework in h.closed and stays not in h.closed
        gone = h.core.state.frameworks[framework_id]
        assert gone.connection_id is None and not gone.offers and "t" in gone.tasks
        h.feed(ev.FrameworkDisconnected(framework))
        assert h.errors(h.subscribe(framework_id, roles=["prod/web"], caller=FRAMEWORK))
        h.advance(61)
        assert framework_id not in h.core.state.frameworks, "it has its failover timeout"

    def test_one_that_subscribes_meanwhile_is_held_to_the_new_one(self) -> None:
        h = MasterHarness()
        h.hold_writes = True
        set_policy(h, "allow:\n- {who: operator/root, do: [policy]}", 0)
        framework = h.subscribe(caller=FRAMEWORK)
        assert not h.errors(framework)
        h.write()
        assert "may not subscribe" in h.errors(framework)[0] and framework in h.closed

    def test_one_that_cannot_be_read_allows_nothing(self) -> None:
        """A policy was written to keep people out, so nobody gets in because it cannot be read."""
        record = registry_pb2.PolicyRecord(document="allow: 5", version=3)
        h = MasterHarness(registry={("policy", "policy"): record.SerializeToString()})
        assert h.core.state.policy == Policy()
        assert h.errors(h.subscribe(caller=FRAMEWORK))
        assert "may not manage the policy" in set_policy(h, NEW_CLUSTER, 3)
        assert ("policy", "policy") in h.core.state.quarantined


def test_every_decision_of_operators_has_its_row_above() -> None:
    asked = {need.verb for call, need in NEEDS.items() if call.startswith("Operator.")}
    here = {verb for _, verb, _ in DECISIONS} | {Verb.READ, Verb.POLICY, Verb.AUDIT, None}
    assert asked == here and all(isinstance(need.of, Object) for need in NEEDS.values())
