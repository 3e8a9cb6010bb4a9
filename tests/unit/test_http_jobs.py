"""Jobs by HTTP: each route against its schema, what it does, and whom the framework lets do it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from pymesos_binpack.restoring import Quarantined
from pymesos_core import planned_agents
from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.security.gate import open_gate
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.http import openapi
from pymesos_master.http.answering import Answering
from pymesos_master.http.routes import ROUTES
from pymesos_master.services.access_tokens import AccessTokens
from pymesos_master.services.jobs_asked import JobsCalls
from pymesos_master.services.jobs_relay import JobsRelay
from pymesos_proto.v1 import types_pb2
from pymesos_testing.http_cluster import (
    get,
    get_json,
    leadership_of,
    operators_of,
    post,
    post_json,
    values,
)
from pymesos_testing.jobs_frameworks import JobsFramework, Reached
from pymesos_testing.master_harness import MasterHarness

JOBS = [route for route in ROUTES if route.service == "Jobs"]
READS = [route for route in JOBS if route.method == "GET"]
POSTS = [route for route in JOBS if route.method == "POST"]
DOCUMENT = openapi.document(ROUTES)
AT = HostPort("10.0.1.1", 5060)
WEB = {"name": "web", "kind": "service", "instances": 2, "command": "x", "env": {"KEY": "hidden"}}
SHOP = {"name": "shop", "role": "ops", "tasks": [WEB]}
YAML = """\
name: shop
role: ops
tasks:
- name: web
  kind: service
  instances: 3
  command: x
"""
KEPT = {"name": "data", "path": "data", "size": 100}


class World:
    """A master, and a framework that serves the jobs of a role."""

    def __init__(self, role: str = "ops", policy: str = "") -> None:
        self.role = role
        h = MasterHarness(Config(seed_policy=policy)) if policy else MasterHarness()
        who = Caller("framework/binpack", Method.CERT) if policy else Caller()
        self.connection = h.subscribe(
            name="binpack", roles=[role], jobs_address=str(AT), caller=who
        )
        self.master = h
        self.framework_id = h.framework_id(self.connection)
        by = Caller("master/m", Method.CERT) if policy else Caller(peer="ipv4:10.0.0.1")
        self.reached = Reached(by)
        self.jobs = JobsFramework(self.framework_id, role, policy)
        self.reached.at[AT] = self.jobs
        leadership = leadership_of(h)
        operators = operators_of(leadership)
        calls = JobsCalls(JobsRelay(operators, self.reached.dial))

        def gate(method: str, peer: str, authentication: Mapping[str, Any]) -> Caller:
            who = next(iter(authentication["peer_uri"])).decode()
            return Caller(who, Method.CERT, "1", peer, "grpc")

        self.answering = Answering(
            operators,
            gate if policy else open_gate,
            tokens=AccessTokens(leadership) if policy else None,
            hostname="first",
            others={"Jobs": calls},
        )

    def runs(self, for_s: float = 0) -> None:
        """Have what was submitted run, and that for a while."""
        harness = self.jobs.harness
        harness.offer("cpus:40;mem:40000;disk:1000")
        for instance in harness.core.instances():
            if instance.live:
                killed = types_pb2.TASK_KILLED if instance.killing else types_pb2.TASK_RUNNING
                harness.update(instance.saved.task_id, killed)
        harness.advance(for_s)

    async def apply(self, document: Any, **more: Any) -> Any:
        return await post_json(self.answering, "/v1/jobs/apply", {"document": document, **more})

    async def job(self, name: str = "shop") -> Any:
        return await get_json(self.answering, f"/v1/jobs/{name}")


def check(route: Any, said: Any) -> None:
    schema = {**route.schema, "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(said)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def shop(world: World) -> str:
    """The id of a job that runs, at its second version."""
    made = await world.apply(SHOP)
    world.runs()
    await world.apply({**SHOP, "tasks": [{**WEB, "command": "y"}]})
    return str(made["job_id"])


def set_aside(world: World, job_id: str = "bad-1") -> None:
    aside = Quarantined(job_id, "it has no tasks", (("job", job_id, b'{"name": "bad"}'),))
    cast(Any, world.jobs.harness.core.quarantined)[job_id] = aside


@pytest.mark.parametrize("route", READS, ids=lambda route: route.path)
async def test_every_answer_is_as_it_says(world: World, shop: str, route: Any) -> None:
    set_aside(world)
    task = {**WEB, "name": "db", "instances": 1, "volumes": [KEPT]}
    await world.apply({**SHOP, "name": "kept", "tasks": [task]})
    world.runs()
    told = [{"when": "unplaced", "to": "oncall"}]
    waits = {"name": "big", "command": "x", "resources": {"cpus": 999}, "alerts": told}
    await world.apply({**SHOP, "name": "waits", "tasks": [waits]})
    task_id = next(i.saved.task_id for i in world.jobs.harness.core.instances() if i.live)
    world.master.agent()
    world.master.run(world.connection, task_id)
    await post_json(
        world.answering, "/v1/variables/set", {"role": "ops", "name": "level", "value": "info"}
    )
    await post_json(world.answering, "/v1/alerts/silence", {"job": "waits", "for_s": 60})
    path = route.path.replace("history", "history?role=ops&name=level")
    path = path.replace("{job}", shop).replace("{task_id}", task_id)
    said = await get_json(world.answering, path)
    check(route, said)
    (first, *_) = said.values()
    assert first, "an empty answer shows nothing of its schema"


async def test_a_variable_is_set_where_there_is_none(world: World) -> None:
    made = {"role": "ops", "name": "level", "value": "info", "if_version": 0}
    said = await post_json(world.answering, "/v1/variables/set", made)
    assert said["version"] == 1 and said["changed"]
    with pytest.raises(AssertionError, match="version"):
        await post_json(world.answering, "/v1/variables/set", {**made, "value": "debug"})
    again = {**made, "value": "debug", "if_version": 1}
    assert (await post_json(world.answering, "/v1/variables/set", again))["version"] == 2


def bodies(shop: str, framework_id: str) -> dict[str, Any]:
    """One that each route takes."""
    return {
        "/v1/jobs/apply": {"document": SHOP, "plan": True, "if_version": 2, "keep_counts": True},
        "/v1/whatif": {"text": YAML, "keep_counts": True},
        "/v1/jobs/submit": {"text": YAML, "same_name": True, "request_id": "r-1"},
        "/v1/jobs/scale": {"job": shop, "counts": {"web": 5}, "if_version": 2},
        "/v1/jobs/restart": {"job": shop, "tasks": ["web"]},
        "/v1/jobs/trigger": {"job": shop, "task": "report", "args": {"DAY": "today"}},
        "/v1/jobs/rollback": {"job": shop, "version": 1},
        "/v1/jobs/pause": {"job": shop},
        "/v1/jobs/resume": {"job": shop},
        "/v1/jobs/promote": {"job": shop},
        "/v1/jobs/abort": {"job": shop, "task": "web"},
        "/v1/jobs/stop": {"job": shop, "now": True},
        "/v1/quarantined-jobs/release": {
            "job_id": "bad-1", "framework_id": framework_id, "discard": True,
        },
        "/v1/alerts/silence": {"job": "shop", "for_s": 60, "why": "we know"},
        "/v1/variables/set": {"role": "ops", "name": "level", "value": "info"},
        "/v1/variables/remove": {"role": "ops", "name": "set_before"},
        "/v1/alerts/test": {"framework_id": framework_id, "receiver": "oncall"},
        "/v1/volumes/forget": {"framework_id": framework_id, "role": "ops", "volume_id": "v"},
    }  # fmt: skip


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.path)
async def test_every_deed_is_taken_and_answered_as_it_says(
    world: World, shop: str, route: Any
) -> None:
    set_aside(world)
    if route.path == "/v1/jobs/resume":
        await post_json(world.answering, "/v1/jobs/pause", {"job": shop})
    if route.path == "/v1/jobs/trigger":
        report = {"name": "report", "kind": "periodic", "command": "x"}
        parameters = [{"name": "DAY"}]
        await world.apply({**SHOP, "tasks": [WEB, {**report, "parameters": parameters}]})
    if route.path == "/v1/jobs/promote":
        for command in ("y", "z"):
            canary = {**WEB, "command": command, "update": {"canary": 1}}
            await world.apply({**SHOP, "tasks": [canary]})
            for _ in range(9):
                world.runs(for_s=20)
    if route.path == "/v1/variables/remove":
        made = {"role": "ops", "name": "set_before", "value": "x"}
        await post_json(world.answering, "/v1/variables/set", made)
    body = bodies(shop, world.framework_id)[route.path]
    Draft202012Validator(openapi.body_schema(route)).validate(body)
    check(route, await post_json(world.answering, route.path, body))


def test_each_deed_has_an_example() -> None:
    assert bodies("j", "f").keys() == {route.path for route in POSTS}


class TestJobs:
    async def test_a_job_is_planned_started_and_left_alone(self, world: World) -> None:
        planned = await world.apply(SHOP, plan=True)
        assert (planned["job_id"], planned["created"]) == (None, True)
        assert planned["tasks"][0]["start"] == 2 and planned["policy"]
        assert (await get_json(world.answering, "/v1/jobs"))["jobs"] == []
        made = await world.apply(SHOP)
        assert (await world.apply(SHOP))["changed"] is False
        (job,) = (await get_json(world.answering, "/v1/jobs?called=shop&role=ops"))["jobs"]
        assert (job["job_id"], job["role"], job["state"]) == (made["job_id"], "ops", "running")
        assert job["framework_id"] == world.framework_id
        assert (await get_json(world.answering, "/v1/jobs?role=dev"))["jobs"] == []

    async def test_as_yaml_it_is_the_same_job(self, world: World) -> None:
        submitted = await post_json(world.answering, "/v1/jobs/submit", {"text": YAML})
        assert (await world.job())["job_id"] == submitted["job_id"]
        planned = await world.apply(SHOP, plan=True)
        assert [one["path"] for one in planned["changes"]] == [
            "tasks.web.instances", "tasks.web.env",
        ]  # fmt: skip

    async def test_what_is_no_job_is_refused_in_the_words_of_its_loader(self, world: World) -> None:
        for body, words in (
            ({"document": {"name": "shop", "role": "ops"}}, "tasks"),
            ({"document": {**SHOP, "rolle": "x"}}, "rolle"),
            ({"document": {**SHOP, "role": 7}}, "role"),
            ({"text": "name: [\n"}, "line 2: not YAML or JSON"),
            ({"text": "name: &a shop\nrole: *a"}, "line 2: anchors and aliases"),
            ({"text": YAML.replace("instances: 3", "instances: 3.5")}, "3.5"),
            ({"text": "7"}, "job"),
            ({}, "either as the field `document` or as the field `text`"),
            ({"document": SHOP, "text": YAML}, "either as the field"),
            ({"document": [SHOP]}, "the field document: expected is an object"),
            ({"text": "#" + "x" * 65536}, "the field text: expected is a text of at most 65536"),
        ):
            refused = await post(world.answering, "/v1/jobs/apply", body)
            assert refused.status == 400, refused
            assert words in json.loads(refused.body)["error"]["message"], refused.body
        assert not world.jobs.harness.core.jobs

    async def test_a_role_that_nobody_takes(self, world: World) -> None:
        for body in ({"document": {**SHOP, "role": "dev"}}, {"text": YAML.replace("ops", "dev")}):
            refused = await post(world.answering, "/v1/jobs/apply", body)
            assert refused.status == 409 and b"nobody takes jobs of the role dev" in refused.body

    async def test_the_same_request_twice_is_done_once(self, world: World) -> None:
        body = {"document": SHOP, "request_id": "once"}
        first = await post_json(world.answering, "/v1/jobs/submit", body)
        assert await post_json(world.answering, "/v1/jobs/submit", body) == first

    async def test_a_rollout_as_it_moves(self, world: World, shop: str) -> None:
        (rollout,) = (await world.job())["rollouts"]
        assert (rollout["state"], rollout["going"]) == ("rolling", True)
        assert [rollout[name] for name in ("wanted", "old", "made", "ready", "surge")] == [
            2, 2, 1, 0, 1
        ]  # fmt: skip
        world.runs()
        (rollout,) = (await world.job())["rollouts"]
        assert (rollout["made"], rollout["ready"]) == (1, 1)
        instances = (await get_json(world.answering, "/v1/jobs/shop/instances"))["instances"]
        assert sorted(one["version"] for one in instances) == [1, 1, 2]
        paused = await post_json(world.answering, "/v1/jobs/pause", {"job": "shop"})
        assert values(paused["rollouts"], "state") == ["paused"]
        again = await post(world.answering, "/v1/jobs/promote", {"job": "shop"})
        assert again.status == 409

    async def test_versions_and_their_documents(self, world: World, shop: str) -> None:
        scaled = await post_json(
            world.answering, "/v1/jobs/scale", {"job": "shop", "counts": {"web": 3}}
        )
        assert (scaled["version"], scaled["changed"], scaled["what"]) == (3, True, "scale")
        versions = (await get_json(world.answering, "/v1/jobs/shop/versions"))["versions"]
        assert values(versions, "version") == [3, 2, 1]
        assert versions[1]["changes"] == [
            {"path": "tasks.web.command", "before": '"x"', "after": '"y"'}
        ]
        first = await get_json(world.answering, "/v1/jobs/shop/document?version=1")
        assert first["job"]["tasks"][0]["command"] == "x" and not first["env_hidden"]
        stopped = await post_json(world.answering, "/v1/jobs/stop", {"job": "shop"})
        assert stopped == {} and (await world.job())["state"] == "stopping"

    @pytest.mark.parametrize(
        "counts", [{}, {"web": 0}, {"web": 10_001}, {"web": True}, {"web": "2"}, [], {"w\0": 1}]
    )
    async def test_numbers_of_instances_are_checked(
        self, world: World, shop: str, counts: Any
    ) -> None:
        body = {"job": "shop", "counts": counts}
        refused = await post(world.answering, "/v1/jobs/scale", body)
        assert refused.status == 400 and b"the field counts" in refused.body

    @pytest.mark.parametrize(
        "args", [{"DAY": "\ud800"}, {"\ud800": "x"}, {"DAY": 1}, {"DAY": "x" * 1025}, []]
    )
    async def test_values_of_parameters_are_checked(
        self, world: World, shop: str, args: Any
    ) -> None:
        refused = await post(world.answering, "/v1/jobs/trigger", {"job": "shop", "args": args})
        assert refused.status == 400 and b"the field args" in refused.body

    async def test_a_job_may_be_called_like_a_verb(self, world: World) -> None:
        await world.apply({**SHOP, "name": "apply"})
        assert (await world.job("apply"))["name"] == "apply"
        refused = await get(world.answering, "/v1/jobs/apply", method="PUT")
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, POST, HEAD")

    async def test_what_there_is_not(self, world: World) -> None:
        for path in (
            "/v1/jobs/none",
            "/v1/jobs/none/instances",
            "/v1/tasks/none/placement",
            "/v1/jobs?framework=none",
        ):
            assert (await get(world.answering, path)).status == 404, path
        nameless = {"framework_id": "", "job_id": "j"}
        refused = await post(world.answering, "/v1/quarantined-jobs/release", nameless)
        assert refused.status == 400 and b"named by an empty text" in refused.body
        refused = await post(world.answering, "/v1/jobs/stop", {"job": "none"})
        assert refused.status == 404 and b"/v1/jobs?ended=true lists them" in refused.body

    async def test_pages_of_instances(self, world: World) -> None:
        await world.apply({**SHOP, "name": "n" * 63, "tasks": [{**WEB, "name": "w" * 63}]})
        path = f"/v1/jobs/{'n' * 63}/instances?limit=1"
        first = await get_json(world.answering, path)
        second = await get_json(world.answering, f"{path}&page_token={first['next_page_token']}")
        assert [one["instances"][0]["instance"] for one in (first, second)] == [0, 1]
        assert second["next_page_token"] is None

    async def test_a_framework_that_is_away(self, world: World, shop: str) -> None:
        del world.reached.at[AT]
        said = await get_json(world.answering, "/v1/jobs")
        assert said["jobs"] == [] and said["unreachable"] == [
            {"framework_id": world.framework_id, "name": "binpack", "why": "not reachable"}
        ]
        for answer in (
            await get(world.answering, f"/v1/jobs/{shop}/versions"),
            await post(world.answering, "/v1/jobs/apply", {"document": SHOP}),
        ):
            assert answer.status == 503 and b"framework binpack" in answer.body
            assert b"start it again" in answer.body


class TestWhatIf:
    """Where what a job file starts would go: nothing is changed by asking."""

    async def ask(self, world: World, *tasks: Any, **keys: Any) -> Any:
        body = {"document": {**SHOP, "tasks": [*tasks], **keys}}
        said = await post_json(world.answering, "/v1/whatif", body)
        assert not [job for job in world.jobs.harness.core.jobs.values() if not job.is_over]
        return said

    def task(self, name: str, cpus: float, instances: int) -> Any:
        needs = {"cpus": cpus, "mem": 32}
        return {"name": name, "command": "x", "instances": instances, "resources": needs}

    async def test_what_fits_what_waits_and_what_never_could(self, world: World) -> None:
        for cpus in (4, 2):
            world.master.agent(f"cpus:{cpus};mem:4096")
        said = await self.ask(
            world, self.task("web", 1, 5), self.task("wide", 1.5, 1), self.task("huge", 9, 2)
        )
        assert said["created"] and said["where_note"] is None
        web, wide, huge = said["where"]
        assert sum(place["instances"] for place in web["places"]) + web["waiting"] == 5
        told = [one["waiting"] for one in (web, wide)]
        assert sum(told) >= 1 and not huge["places"], "there are 6 cpus for 6.5"
        waits = web if web["waiting"] else wide
        assert "cpus" in waits["why"] and not waits["never"]
        assert huge["never"] and huge["why"].startswith("2 new instances could start on no agent")
        assert not web["preempted"] and not web["preempting"]

    async def test_a_drained_agent_is_none(self, world: World) -> None:
        agent = world.master.agent("cpus:4;mem:4096")
        world.master.feed(ev.OperatorCordonedAgents(9, (world.master.agent_id(agent),)))
        (web,) = (await self.ask(world, self.task("web", 1, 1)))["where"]
        assert (web["places"], web["waiting"]) == ([], 1)

    async def test_who_would_be_killed_for_it_is_named(self, world: World) -> None:
        agent = world.master.agent("cpus:4;mem:4096")
        agent_id = world.master.agent_id(agent)
        low = {**SHOP, "name": "low", "priority": 1, "tasks": [self.task("t", 4, 1)]}
        await world.apply(low)
        world.jobs.harness.offer("cpus:4;mem:4096", agent_id)
        (instance,) = world.jobs.harness.core.instances()
        task_id, runs = instance.saved.task_id, types_pb2.TASK_RUNNING
        world.jobs.harness.update(task_id, runs, agent=agent_id)
        world.master.run(world.connection, instance.saved.task_id, "cpus:4;mem:32")
        high = {"name": "high", "priority": 9, "preempt": True, "tasks": [self.task("t", 2, 1)]}
        body = {"document": {**SHOP, **high}, "plan": True}
        said = await post_json(world.answering, "/v1/jobs/apply", body)
        (where,) = said["where"]
        assert (where["preempting"], where["waiting"]) == (1, 0)
        (victim,) = where["preempted"]
        assert (victim["job_id"], victim["name"], victim["priority"]) == (
            instance.job_id, "t.0", 1,
        )  # fmt: skip

    async def test_agents_that_do_not_fit_into_a_message_are_said(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for cpus in (1, 8, 2):
            world.master.agent(f"cpus:{cpus};mem:4096")
        monkeypatch.setattr(planned_agents, "AGENTS_BYTES", 100)
        said = await self.ask(world, self.task("web", 8, 1))
        assert said["where_note"] == "not looked at: 2 agents"
        assert said["where"][0]["places"], "the largest is"


class TestClosed:
    """In a cluster with certificates."""

    POLICY = """\
allow:
- {who: operator/dev, do: [submit, stop, read], role: dev}
- {who: operator/root, do: ['*'], role: '**'}
- {who: framework/*, do: [subscribe, serve], role: '**'}
"""

    @pytest.fixture
    def world(self) -> World:
        return World("dev", self.POLICY)

    async def test_what_the_policy_allows_and_nothing_else(self, world: World) -> None:
        dev, root, eve = (
            {"authentication": {"peer_uri": [f"operator/{name}".encode()]}}
            for name in ("dev", "root", "eve")
        )
        job = {"document": {**SHOP, "role": "dev"}}
        made = await post_json(world.answering, "/v1/jobs/apply", job, **dev)
        seen = await get_json(world.answering, "/v1/jobs", **dev)
        assert values(seen["jobs"], "job_id") == [made["job_id"]]
        described = await get_json(world.answering, "/v1/jobs/shop/document", **dev)
        assert described["env_hidden"] and "hidden" not in json.dumps(described["job"])
        described = await get_json(world.answering, "/v1/jobs/shop/document", **root)
        assert described["job"]["tasks"][0]["env"] == {"KEY": "hidden"}
        assert described["made_by"] == "operator/dev"
        for answer in (
            await get(world.answering, "/v1/jobs", **eve),
            await post(world.answering, "/v1/jobs/stop", {"job": made["job_id"]}, **eve),
            await post(world.answering, "/v1/jobs/apply", job, **eve),
        ):
            assert answer.status == 403, answer.body
        other = {"document": {**SHOP, "role": "prod"}, "framework": "binpack"}
        refused = await post(world.answering, "/v1/jobs/apply", other, **dev)
        assert refused.status in (403, 409), refused.body
        assert (await get(world.answering, "/v1/jobs")).status == 401
