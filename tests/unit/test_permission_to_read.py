"""What operators may read: listings and events are filtered by role."""

from __future__ import annotations

import asyncio

import pytest

from pymesos_core import resources
from pymesos_core.caller import NOBODY
from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.serving_jobs import takes
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_master.queries import Queries, TaskFilter
from pymesos_master.watching import View, Watch, Watching
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness, task
from pymesos_testing.permitted import (
    ALL,
    FRAMEWORK,
    ONE,
    POLICY,
    ROOT,
    agent_of,
    cluster,
    harness,
    launch,
    set_policy,
    who,
)


def withheld(read: str, role: str, quota: pb.Quota) -> list[str]:
    """Why a framework of prod/web is offered nothing, as one is told who may read some roles."""
    h = harness(f"{{who: operator/o, do: [read], role: '{read}'}}")
    h.feed(ev.OperatorSetQuota(1, role, quota, True, ROOT))
    h.agent(MACHINE_TEXT, caller=who("agent/a"))
    framework = h.subscribe(roles=["prod/web"], caller=FRAMEWORK)
    said = Queries(h.core).explain(who("operator/o"), h.framework_id(framework))
    return [each.text for standing in said.roles for each in standing.withheld]


ABOVE = "by that of a role above it"


MACHINE_TEXT = "cpus:4;mem:4096"


MACHINE = resources.to_proto(resources.parse(MACHINE_TEXT))


class TestQueries:
    def test_what_is_listed_is_of_the_roles_that_one_may_read(self) -> None:
        h, framework, framework_id = cluster("{who: operator/o, do: [read], role: 'prod/**'}")
        other = h.subscribe(roles=["eng"], name="g", caller=who("framework/g"))
        h.feed(ev.OperatorReserved(1, agent_of(h), "eng", ONE, ROOT))
        h.offers(framework)
        queries = Queries(h.core)
        for caller, roles in ((who("operator/o"), {"prod/web"}), (ROOT, {"prod/web", "eng"})):
            listed = [view.info for view in queries.frameworks(caller, ALL).views]
            assert {role for info in listed for role in info.roles} == roles
            assert {view.role for view in queries.tasks(caller, ALL, TaskFilter()).views} == {
                "prod/web"
            }
            assert {view.offer.role for view in queries.offers(caller, ALL).views} <= roles
            assert {view.role for view in queries.roles(caller)} == roles
            (agent,) = queries.agents(caller, ALL).views
            reserved = {r.role for part in agent.total for r in part.reservations}
            assert reserved == roles - {"prod/web"}
        with pytest.raises(RequestError, match="may not read in the role eng"):
            queries.explain(who("operator/o"), h.framework_id(other))
        assert queries.explain(who("operator/o"), framework_id).roles

    @pytest.mark.parametrize(
        ("read", "words"),
        [
            ("**", "other roles (eng holds 0 cpus of 4 guaranteed, eng holds 0 mem of 4096"),
            ("prod/**", "other roles (2 of them)"),
        ],
    )
    def test_whose_guarantees_keep_room_is_told_of_roles_that_one_may_read(
        self, read: str, words: str
    ) -> None:
        (text,) = withheld(read, "eng", pb.Quota(guarantees=MACHINE))
        assert words in text and ("eng" in text) == (read == "**")

    @pytest.mark.parametrize(
        ("read", "words"),
        [
            ("prod/**", "(prod holds 0 cpus of 0 at most, prod holds 0 mem of 0 at most)"),
            ("prod/web", f"(of cpus, {ABOVE}, of mem, {ABOVE})"),
        ],
    )
    def test_whose_limit_is_met_is_told_of_roles_that_one_may_read(
        self, read: str, words: str
    ) -> None:
        nothing = [pb.Resource(name=name, scalar=0) for name in ("cpus", "mem")]
        (text,) = withheld(read, "prod", pb.Quota(limits=nothing))
        assert text == f"the role prod/web is at its limit {words}"

    def test_a_framework_is_seen_by_those_whose_jobs_it_takes(self) -> None:
        """A framework has a role only while it has a job of it: who else could submit the first?"""
        h, _, _ = cluster(
            "{who: operator/o, do: [read, submit], role: prod/ci}",
            "{who: framework/*, do: [subscribe, serve], role: prod/**}",
        )
        for name, job_roles in (("a", ["prod/**"]), ("b", ["prod/web"])):
            h.subscribe(
                name=name, caller=who(f"framework/{name}"), roles=["prod"],
                jobs_address="10.0.0.1:1", job_roles=job_roles,
            )  # fmt: skip
        listed = Queries(h.core).frameworks(who("operator/o"), ALL).views
        assert [view.info.name for view in listed] == ["a"]

    def test_of_a_framework_is_told_what_is_of_roles_that_one_may_read(self) -> None:
        h = harness(
            "{who: operator/o, do: [read], role: dev}",
            "{who: operator/jobs, do: [read], role: ops}",
            "{who: framework/f, do: [subscribe, serve, launch], role: '**'}",
        )
        h.agent(MACHINE_TEXT, caller=who("agent/a"))
        h.agent(MACHINE_TEXT, caller=who("agent/b"))
        framework = h.subscribe(
            roles=["dev", "prod"], caller=FRAMEWORK, jobs_address="10.0.0.1:1", job_roles=["**"]
        )
        for role in ("dev", "prod"):
            (offer,) = [one for one in h.offers(framework) if one.role == role][:1]
            h.accept(framework, [offer.offer_id], task(offer, role))
        queries = Queries(h.core)
        found = {}
        for name in ("o", "jobs", "root"):
            (view,) = queries.frameworks(who(f"operator/{name}"), ALL).views
            held = {one.name: one.scalar for one in view.allocated}
            found[name] = ([*view.info.roles], view.tasks, held)
        assert found == {
            "o": (["dev"], 1, {"cpus": 1, "mem": 32}),
            "jobs": (["ops"], 0, {}),  # which it takes jobs of
            "root": (["dev", "prod"], 2, {"cpus": 2, "mem": 64}),
        }

    def test_who_submits_a_job_finds_who_takes_it_all_the_same(self) -> None:
        h = harness(
            "{who: operator/o, do: [read], role: dev}",
            "{who: operator/o, do: [submit], role: prod}",
            "{who: framework/f, do: [subscribe, serve], role: '**'}",
        )
        h.subscribe(roles=["dev", "prod"], caller=FRAMEWORK, jobs_address="10.0.0.1:1")
        (view,) = Queries(h.core).frameworks(who("operator/o"), ALL, serving_jobs=True).views
        assert [*view.info.roles] == ["dev"] and takes(view, "prod")

    def test_who_may_read_nothing_is_told_so(self) -> None:
        h, _, framework_id = cluster("{who: operator/o, do: [kill], role: '**'}")
        queries, o = Queries(h.core), who("operator/o")
        for ask in (
            lambda: queries.agents(o, ALL),
            lambda: queries.frameworks(o, ALL),
            lambda: queries.tasks(o, ALL, TaskFilter()),
            lambda: queries.offers(o, ALL),
            lambda: queries.roles(o),
            lambda: queries.explain(o, framework_id),
            lambda: queries.permits.watching(o),
            lambda: queries.quarantined(o, ALL),
            lambda: queries.permits.policy(o),
        ):
            with pytest.raises(RequestError, match="operator/o may not") as refused:
                ask()
            assert refused.value.problem.kind is ProblemKind.DENIED

    def test_environments_are_for_who_may_see_them(self) -> None:
        h, _, _ = cluster(
            "{who: operator/o, do: [read], role: '**'}",
            "{who: operator/e, do: [read, read-env], role: 'prod/**'}",
        )
        for name, value in (("o", ""), ("e", "hunter2"), ("root", "hunter2")):
            caller = who(f"operator/{name}")
            (view,) = Queries(h.core).tasks(caller, ALL, TaskFilter()).views
            (variable,) = view.task_info.command.environment
            assert (variable.name, variable.value) == ("SECRET", value)

    def test_so_is_what_executors_send_with_a_status(self) -> None:
        """Docker's executor sends what the engine knows of a container, with its environment."""
        h, _, framework_id = cluster("{who: operator/o, do: [read], role: '**'}")
        (held,) = h.core.state.frameworks[framework_id].tasks.values()
        held.status = pb.TaskStatus(task_id="t", state=pb.TASK_RUNNING, data=b"hunter2")
        for name, data in (("o", b""), ("root", b"hunter2")):
            caller, queries = who(f"operator/{name}"), Queries(h.core)
            (view,) = queries.tasks(caller, ALL, TaskFilter()).views
            looked = queries.look(caller).task(framework_id, "t")
            assert looked is not None and (view.status.data, looked.status.data) == (data, data)
        assert held.status.data == b"hunter2"

    def test_so_are_the_variables_of_config_files(self) -> None:
        """The variables are those of roles, whose values `variables list` hides, too."""
        h, framework, _ = cluster("{who: operator/o, do: [read], role: '**'}")
        for agent in h.core.state.agents.values():
            agent.info.capabilities.append(pb.CONFIG)
        file = pb.ConfigFile(path="f", template="{{ variables.v }}", variables={"v": "hunter2"})
        config = pb.ContainerInfo(config=[file])
        assert launch(h, framework, "with", container=config) == "launched"
        for name, value in (("o", ""), ("root", "hunter2")):
            found = Queries(h.core).tasks(who(f"operator/{name}"), ALL, TaskFilter(called="with"))
            (view,) = found.views
            assert dict(view.task_info.container.config[0].variables) == {"v": value}
        assert h.core.state.find_task(*next(iter(tasks_of(h)))).info.command.environment[0].value  # type: ignore[union-attr]

    def test_can_says_which_rule_decides(self) -> None:
        h = harness("{who: operator/o, do: [read], role: 'prod/**'}")
        queries, o = Queries(h.core), who("operator/o")
        yes, no = (
            queries.permits.can(o, "", "read", "prod/a"),
            queries.permits.can(o, "operator/o", "kill", "prod"),
        )
        assert yes.allowed and (yes.rule.line, yes.policy_version) == (4, 1)
        assert yes.rule.rule == "{who: operator/o, do: [read], role: prod/**}"
        assert not no.allowed and "may not kill in the role prod" in no.problem
        with pytest.raises(RequestError, match="may not manage the policy"):
            queries.permits.can(o, "operator/root", "read", "prod")
        assert queries.permits.can(ROOT, "operator/o", "read", "prod").allowed
        for wrong in (("operator/o", "fly", "prod"), ("bob", "read", "p"), ("", "read", "a//b")):
            with pytest.raises(RequestError) as refused:
                queries.permits.can(ROOT, *wrong)
            assert refused.value.problem.kind is ProblemKind.INVALID
        assert [rule.line for rule in queries.permits.who_am_i(o).rules] == [4]
        assert queries.permits.who_am_i(NOBODY).principal == ""


class TestWatching:
    async def test_one_sees_what_is_of_the_roles_that_one_may_read(self) -> None:
        h, framework, _ = cluster("{who: operator/o, do: [read], role: 'prod/**'}")
        other = h.subscribe(roles=["eng"], name="g", caller=who("framework/g"))
        h.feed(ev.OperatorReserved(1, agent_of(h), "eng", ONE, ROOT))
        h.offers(framework)
        watching = Watching(1, h.core.state, h.core.watch, lambda: h.now_s)
        h.published.clear()

        async def seen_by(watch: Watch) -> list[ClusterEvent]:
            events = []
            async with asyncio.timeout(5):
                while True:
                    batch = await watch.batch()
                    assert batch is not None
                    events += batch.events
                    if batch.cursor is not None and batch.cursor.sequence == latest(watching):
                        return events

        with (
            watching.watch("", View(Queries(h.core).permits.watching(who("operator/o")))) as little,
            watching.watch("", View(Queries(h.core).permits.watching(ROOT))) as all_of_it,
        ):
            few, many = await seen_by(little), await seen_by(all_of_it)
            ids = {h.framework_id(framework), h.framework_id(other)}
            assert {e.framework_id for e in many} - {""} == ids
            assert {e.framework_id for e in few} - {""} == {h.framework_id(framework)}
            of_agent = next(e for e in few if e.kind == ClusterEvent.AGENT_PRESENT)
            assert not any(part.reservations for part in of_agent.resources)
            h.feed(ev.OperatorSetWeight(1, "eng", 2.0, ROOT))
            h.feed(ev.OperatorSetWeight(2, "prod/x", 2.0, ROOT))
            for effect in h.published:
                watching.publish(effect)
            live = await seen_by(little)
            assert [e.message for e in live if e.kind == ClusterEvent.WEIGHT_SET] == ["prod/x: 2"]

    async def test_a_policy_that_changes_applies_to_who_watches(self) -> None:
        h, _, _ = cluster("{who: operator/o, do: [read], role: 'prod/**'}")
        watching = Watching(1, h.core.state, h.core.watch, lambda: h.now_s)
        rules = POLICY.format("- {who: operator/o, do: [read], role: eng}")
        with watching.watch("", View(Queries(h.core).permits.watching(who("operator/o")))) as watch:
            batch = await watch.batch()
            assert batch is not None and batch.snapshot_begins and len(batch.events) > 1
            assert set_policy(h, rules, 1) is None
            again = await watch.batch()
            assert again is not None and again.snapshot_begins, "it is shown what it may see now"
            assert {e.kind for e in again.events} == {ClusterEvent.AGENT_PRESENT}
            assert set_policy(h, POLICY.format(""), 2) is None
            with pytest.raises(RequestError, match="operator/o may not read in any role"):
                await watch.batch()


def latest(watching: Watching) -> int:
    return watching.history.latest


def tasks_of(h: MasterHarness) -> list[tuple[str, str]]:
    return [key for agent in h.core.state.agents.values() for key in agent.tasks]


def test_events_say_whom_they_are_for() -> None:
    h, framework, _ = cluster()
    h.offers(framework)
    h.feed(ev.OperatorSetWeight(1, "eng", 2.0, ROOT))
    h.feed(ev.FrameworkDisconnected(framework))
    for effect in h.published:
        named = effect.framework_id or effect.task_id or effect.offer_id
        mine = ("prod/web",) if named else ("eng",) if "weight" in str(effect).lower() else ()
        of_weight = isinstance(effect, fx.PublishEvent) and effect.message.startswith("eng")
        assert effect.roles == (("eng",) if of_weight else mine), effect
