"""Addresses of other tasks in config files: who gets which, and what follows when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any, cast

import pytest

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.containers.users import UserError
from pymesos_agent.core import events as ev
from pymesos_agent.files import addresses as of_agent
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.config import ConfigError, Found, Remade, Rendering
from pymesos_agent.files.renewing import AGAIN_S, LEAST_S, LOOK_S, SPLAY_S, Renewing
from pymesos_binpack import core as c
from pymesos_binpack.containers import container_info
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobfiles.restarting import restart_problem
from pymesos_binpack.specs import JobError
from pymesos_core import contract
from pymesos_core.backoff import Backoff
from pymesos_core.discovery.held import Held
from pymesos_core.resources import parse, to_proto
from pymesos_master.core.launching import not_capable
from pymesos_master.core.validation import _executor_problem, _secrets_problem
from pymesos_proto.v1 import agent_pb2, names_pb2, types_pb2
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.binpack_harness import BinpackHarness

PEERS = "{% for each in addresses.db %}{{ each.address }}{% endfor %}"
USE = types_pb2.AddressesUse(name="db", role="prod", job="shop", task="db")


def job(file: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    db = {"name": "db", "kind": "service", "command": "x"}
    web = {**db, "name": "web", "config": [{"path": "peers", **file}]}
    return {"name": "shop", "role": "prod", "tasks": [web, db], **keys}


def launched(h: BinpackHarness, *capabilities: Any) -> dict[str, types_pb2.TaskInfo]:
    h.offer(capabilities=capabilities)
    accepts = [cast(c.Accept, accept) for accept in h.of(c.Accept)]
    return {info.name: info for each in accepts for info in each.tasks}


class TestJobs:
    def test_a_task_is_launched_with_whose_addresses_it_uses(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        template = PEERS + "{{ addresses['mail.relay']|length }}"
        read = job({"template": template, "on_change": "signal"})
        h.submit(parse_job(read | {"role": "*"}))
        assert "web" not in launched(h, types_pb2.CONFIG), "by agents that know of none"
        info = launched(h, types_pb2.CONFIG, types_pb2.ADDRESSES)["web"]
        (file,) = info.container.config
        assert [(u.name, u.role, u.job, u.task) for u in file.addresses] == [
            ("db", "*", "shop", "db"),
            ("mail.relay", "*", "mail", "relay"),
        ]
        assert (file.on_change, file.signal) == (types_pb2.ON_CHANGE_SIGNAL, "SIGHUP")
        assert contract.problem(info) is None
        h.update(info.task_id, types_pb2.TASK_RUNNING)
        ended = types_pb2.TaskStatus(
            task_id=info.task_id,
            state=types_pb2.TASK_KILLED,
            reason=types_pb2.REASON_CONFIG_CHANGED,
            uuid=b"k",
            agent_id="a",
        )
        h.feed(c.TaskUpdated(ended))
        (web,) = (i for i in h.core.instances() if i.spec.name == "web")
        assert web.pending and web.saved.failures == 0 and not web.saved.crashed_s

    def test_what_is_done_with_it_is_part_of_what_a_task_is(self) -> None:
        def of(**keys: Any) -> types_pb2.ConfigFile:
            read = parse_job(job({"template": PEERS, **keys}))
            return container_info(None, read.tasks[0].container).config[0]

        assert (of().on_change, of().signal) == (types_pb2.ON_CHANGE_NONE, "")
        assert of(on_change="restart").on_change == types_pb2.ON_CHANGE_RESTART
        assert of(on_change="signal", signal="SIGUSR1").signal == "SIGUSR1"

    @pytest.mark.parametrize(
        ("file", "says"),
        [
            ({"template": "{{ addresses.nobody }}"}, "'nobody', and the job has the tasks web, db"),
            ({"template": "{{ addresses['shop.nobody'] }}"}, "the addresses of 'nobody'"),
            ({"template": "{{ addresses }}"}, "line 1: addresses: each is to be named"),
            ({"template": "{{ addresses.items }}"}, "named with its job, as in addresses['JOB.it"),
            ({"template": "{{ addresses['a.b.c'] }}"}, "neither the name of a task nor JOB.TASK"),
            (
                {"path": "etc/a", "template": PEERS + "{{ secrets.key }}"},
                "with secrets it is a file in $PYMESOS_SECRETS",
            ),
            ({"content": "x", "on_change": "none"}, "config[0].on_change: it is for a template"),
            ({"template": "x", "signal": "SIGHUP"}, "config[0].signal: it is for a template"),
            ({"template": PEERS, "signal": "SIGHUP"}, "it goes with on_change: signal"),
            ({"template": PEERS, "on_change": "reload"}, "on_change"),
            (
                {"template": PEERS, "on_change": "signal", "signal": "SIGKILL"},
                "config[0].signal",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(self, file: dict[str, Any], says: str) -> None:
        with pytest.raises(JobError) as caught:
            parse_job(job(file))
        assert says in str(caught.value)

    @pytest.mark.parametrize("template", [PEERS, "{{ addresses['shop.web'] }}"])
    @pytest.mark.parametrize("back", ["web", "shop.web"])
    def test_what_would_restart_for_ever_is_refused_when_it_is_sent(
        self, template: str, back: str
    ) -> None:
        def of(on_change: str, of_db: str = "signal") -> str:
            document = job({"template": template, "on_change": on_change})
            again = {"path": "a", "template": f"{{{{ addresses['{back}'] }}}}", "on_change": of_db}
            document["tasks"][1]["config"] = [again]
            return restart_problem(parse_job(document)) or ""  # it is taken, as one of before

        assert of("signal", "restart") == of("none", "none") == ""
        said = of("restart", "restart")
        if template == PEERS:
            assert of("restart") == ""
            assert "each other for ever: " in said and "use signal or none" in said
            assert "web → db → web" in said or "db → web → db" in said
        else:
            assert "tasks[0] (web).config[0].on_change: its template has the addresses" in said
            assert of("restart") == said

    def test_a_sidecar_restarts_with_its_task(self) -> None:
        document = job({"template": "x"})
        file = {"path": "a", "template": "{{ addresses.web }}", "on_change": "restart"}
        document["tasks"][0]["sidecars"] = [{"name": "logs", "command": "x", "config": [file]}]
        said = restart_problem(parse_job(document)) or ""
        assert "tasks[0] (logs).config[0].on_change" in said and "use signal or none" in said

    def test_a_master_refuses_what_cannot_be(self) -> None:
        file = types_pb2.ConfigFile(path="a", template="x", addresses=[USE])
        info = types_pb2.TaskInfo(container=types_pb2.ContainerInfo(config=[file]))

        class Agent:
            info = types_pb2.AgentInfo(capabilities=[types_pb2.CONFIG])

        agent: Any = Agent()
        assert "addresses, for which its agent is too old" in (not_capable(agent, info) or "")
        agent.info.capabilities.append(types_pb2.ADDRESSES)
        assert not_capable(agent, info) is None
        made = types_pb2.ExecutorInfo(executor_id="e", command=types_pb2.CommandInfo(value="x"))
        made.container.config.append(file)
        of_executor = types_pb2.TaskInfo(executor=made)
        assert "addresses" in (_executor_problem(of_executor, grouped=False) or "")
        info.container.config[0].secrets.append("key")
        assert _secrets_problem(info.container) is None
        assert "secrets and addresses, for which its agent is too old" in (
            not_capable(agent, info) or ""
        )
        agent.info.capabilities.extend((types_pb2.SECRETS, types_pb2.SECRET_ADDRESSES))
        assert "addresses" not in (not_capable(agent, info) or "")


def named(task_id: str, instance: int, *ports: tuple[str, int], **keys: Any) -> Any:
    task = names_pb2.ServedTask(
        task_id=task_id, role="prod", job="shop", task="db", instance=instance
    )
    for name, port in ports:
        task.ports.add(name=name, port=port)
    for key, value in keys.items():
        setattr(task, key, value)
    return names_pb2.NamedTask(framework_id="f", ip="10.0.0.1", task=task)


def batch(*serves: Any, ended: str = "") -> names_pb2.NamesBatch:
    made = names_pb2.NamesBatch(epoch=1, serves=serves, whole=not ended)
    if ended:
        made.ended.add(framework_id="f", task_id=ended)
    return made


def test_instances_are_told_in_their_order_with_their_ports() -> None:
    held = Held()
    held.take(
        batch(
            named("b", 1, ("http", 31001), ("admin", 31002)),
            named("a", 0),
            named("other", 0, ("http", 1), task="web"),
            named("of-another-role", 0, ("http", 1), role="dev"),
        )
    )
    file = types_pb2.ConfigFile(path="peers", addresses=[USE])
    assert Addresses(held).told(types_pb2.ContainerInfo(config=[file])) == {
        "peers": {
            "db": [
                {"ip": "10.0.0.1", "instance": 0, "ports": {}},
                {
                    "ip": "10.0.0.1",
                    "instance": 1,
                    "ports": {"http": 31001, "admin": 31002},
                    "port": 31001,
                    "address": "10.0.0.1:31001",
                },
            ]
        }
    }


def test_a_task_waits_until_it_is_known_what_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()

    async def wait() -> None:
        waiting = asyncio.create_task(Addresses(held).known())
        await asyncio.sleep(0)
        assert not waiting.done()
        held.take(batch())
        await waiting

    asyncio.run(wait())
    kept = Held()
    kept.restore(held.keep(1.0), 1.0)
    addresses = Addresses(kept)

    async def wait_again() -> None:
        waiting = asyncio.create_task(addresses.known())
        await asyncio.sleep(0)
        assert not waiting.done() and not addresses.is_heard, "what was kept may be old"
        waiting.cancel()

    asyncio.run(wait_again())
    monkeypatch.setattr(of_agent, "KNOWN_S", 0)
    asyncio.run(addresses.known())  # it has to do
    with pytest.raises(ConfigError, match="no leader has told within 0 s what serves"):
        asyncio.run(Addresses(Held()).known())


class Runtime:
    """A runtime that keeps what its containers are sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def signal(self, container_id: str, name: str) -> None:
        self.sent.append((container_id, name))


class Scripted(Rendering):
    """What is made: files differ as soon as what is told does."""

    def __init__(self) -> None:
        self.made: list[Mapping[str, Found]] = []
        self.tries = 0
        self.problem: Exception | None = None
        self.unmade: set[str] = set()  # files that are not made; with a problem alone, none is
        self.slow: set[str] = set()  # containers whose files are never made

    async def rewrite(self, spec: ContainerSpec, told: Mapping[str, Found]) -> Remade:
        self.tries += 1
        if spec.container_id in self.slow:
            await asyncio.Event().wait()
        if self.problem and not self.unmade:
            raise self.problem
        self.made.append(told)
        changed = [path for path in told if path not in self.unmade]
        return Remade(changed, [self.problem] if self.problem else [])


class Machine:
    """An agent with a task that has addresses, and what looks after it."""

    def __init__(self, on_change: Any, signal: str = "", second: Any = None) -> None:
        self.h = AgentHarness()
        self.h.connect()
        self.held = Held()
        self.held.take(batch(named("a", 0, ("http", 1))))
        self.addresses = Addresses(self.held)
        self.rendering, self.runtime = Scripted(), Runtime()
        self.on_change, self.signal = on_change, signal
        self.no_user: Exception | None = None
        self.second = second  # what is done when a second file changes, if it has one
        self.launch("t")
        self.now_s = 0.0
        self.told: list[ev.ConfigChanged] = []
        self.renewing = self.look_after()

    def launch(self, task_id: str) -> None:
        info = types_pb2.TaskInfo(
            task_id=task_id,
            resources=to_proto(parse("cpus:1;mem:32")),
            command=types_pb2.CommandInfo(shell=True, value="true"),
        )
        info.container.config.add(
            path="peers",
            template=PEERS,
            addresses=[USE],
            on_change=self.on_change,
            signal=self.signal,
        )
        if self.second is not None:
            info.container.config.add(
                path="second",
                template=PEERS,
                addresses=[USE],
                on_change=self.second,
                signal="SIGHUP",
            )
        launch = agent_pb2.LaunchTask(
            framework_id="f", task_info=info, framework_info=types_pb2.FrameworkInfo(name="f")
        )
        self.h.hear(agent_pb2.MasterMessage(launch=launch))
        self.container_id = self.h.container()
        self.addresses.given[self.container_id] = self.addresses.told(info.container)

    def look_after(self) -> Renewing:
        (runtime_name,) = {task.runtime for task in self.h.core.state.tasks.values()}

        def spec_of(start: Any) -> ContainerSpec:
            if self.no_user:
                raise self.no_user
            return cast(ContainerSpec, start)

        return Renewing(
            self.h.core, self.addresses, self.rendering, {runtime_name: cast(Any, self.runtime)},
            spec_of, self.told.append, partial(Backoff, *AGAIN_S, Random(1)),
        )  # fmt: skip

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += LOOK_S
            asyncio.run(self.look_once())

    async def look_once(self) -> None:
        """Look, and let be made what can be at once."""
        self.renewing.look(self.now_s)
        for _ in range(5):
            await asyncio.sleep(0)

    def run(self) -> None:
        self.h.feed(ev.ContainerStarted(self.container_id, 1))
        self.h.acknowledge(self.h.updates()[-1].status)


def test_a_task_is_told_by_a_signal_of_what_has_changed() -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.look()
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look()
    assert not m.rendering.made, "it does not run yet"
    m.run()
    m.look(3)
    assert len(m.rendering.made) == 1 and m.runtime.sent == [(m.container_id, "SIGUSR1")]
    m.held.take(batch(named("other", 0, task="web"), named("b", 1, ("http", 2))))
    m.look(3)
    assert len(m.rendering.made) == 1, "nothing of its own has changed"
    m.rendering.problem = ConfigError("its template has no line 1")
    m.held.take(batch(ended="b"))
    m.look(3)
    assert len(m.runtime.sent) == 1, "the file stays as it was"
    m.rendering.problem = None
    m.held.take(batch(named("b", 1, ("http", 3))))
    m.look()
    assert len(m.runtime.sent) == 2 and not m.told


def test_what_could_not_be_made_is_tried_again_later_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    m.look()
    m.rendering.problem = ConfigError("No space left on device")
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look()
    assert m.rendering.tries == 1
    m.held.take(batch(named("other", 0, task="web"), named("b", 1, ("http", 2))))
    m.look()
    assert m.rendering.tries == 1, "what has changed is nothing of its own"
    while m.now_s < 3600:
        m.look()
    assert 3600 / AGAIN_S[1] < m.rendering.tries < 3600 / AGAIN_S[1] * 4
    assert len(caplog.messages) == 1, "it is said once"
    m.rendering.problem, m.no_user = None, UserError("there is no user nobody")
    m.look(1 + int(AGAIN_S[1] / LOOK_S))
    assert len(caplog.messages) == 2 and not m.rendering.made
    m.no_user = None
    m.look(1 + int(AGAIN_S[1] / LOOK_S))
    assert len(m.rendering.made) == 1 and m.runtime.sent == [(m.container_id, "SIGUSR1")]
    tries = m.rendering.tries
    m.look(2 * int(AGAIN_S[1] / LOOK_S))
    assert m.rendering.tries == tries, "it is as it should be"


def test_a_task_is_told_once_its_runtime_answers_again() -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    m.look()
    (task,) = m.h.core.state.tasks.values()
    m.h.feed(ev.RuntimeAway(task.runtime, "it is restarted"))
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look(3)
    assert not m.rendering.made and not m.runtime.sent
    found = {m.container_id: ev.ContainerState(1)}
    m.h.feed(ev.RuntimeBack(task.runtime, found, {}))
    m.look(2)
    assert len(m.rendering.made) == 1 and m.runtime.sent == [(m.container_id, "SIGUSR1")]


@pytest.mark.parametrize("is_known_to_fail", [False, True])
def test_what_nobody_foresaw_is_said_once_and_tried_again_later_each_time(
    caplog: pytest.LogCaptureFixture, is_known_to_fail: bool
) -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    m.look()
    m.held.take(batch(named("b", 1, ("http", 2))))
    if is_known_to_fail:
        m.no_user = UserError("there is no user nobody")
        m.look()
    m.no_user = None
    m.rendering.problem = RuntimeError("can't start new thread")
    caplog.clear()
    while m.now_s < 3600:
        m.look()
    assert 3600 / AGAIN_S[1] < m.rendering.tries < 3600 / AGAIN_S[1] * 4
    (record,) = caplog.records
    assert record.exc_info and record.exc_info[1] is m.rendering.problem
    assert 'RuntimeError("can\'t start new thread")' in record.message
    m.rendering.problem = None
    m.look(1 + int(AGAIN_S[1] / LOOK_S))
    assert m.runtime.sent == [(m.container_id, "SIGUSR1")]


def test_a_file_that_cannot_be_made_withholds_no_signal_of_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1", types_pb2.ON_CHANGE_NONE)
    m.run()
    m.look()
    m.rendering.problem = ConfigError("its config file second cannot be made: 'db' is empty")
    m.rendering.unmade = {"second"}
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look()
    assert m.runtime.sent == [(m.container_id, "SIGUSR1")]
    (said,) = caplog.messages
    assert said == (
        "t: its config file second cannot be made: 'db' is empty;"
        " what cannot be made stays as it was, and is tried again"
    )
    m.look(1 + int(AGAIN_S[0] / LOOK_S))
    assert m.rendering.tries == 2


def test_a_task_begins_anew_once_all_its_files_can_be_made() -> None:
    m = Machine(types_pb2.ON_CHANGE_RESTART, "", types_pb2.ON_CHANGE_SIGNAL)
    m.run()
    m.look()
    m.rendering.problem = ConfigError("its config file third cannot be made: 'db' is empty")
    m.rendering.unmade = {"third"}
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look(2 + int((LEAST_S + SPLAY_S + AGAIN_S[1]) / LOOK_S))
    assert not m.told, "its start would fail"
    assert (m.container_id, "SIGHUP") in m.runtime.sent, "it goes on, and is told of the others"
    m.rendering.problem, m.rendering.unmade = None, {"peers"}  # made already: no change any more
    m.held.take(batch(named("b", 1, ("http", 3))))
    m.look()
    assert not m.told, "at a moment of its own"
    m.look(2 + int(SPLAY_S / LOOK_S))
    assert m.told == [ev.ConfigChanged(m.container_id)], "and it is not forgotten"


def test_a_task_begins_anew_within_a_while_and_once() -> None:
    m = Machine(types_pb2.ON_CHANGE_RESTART)
    m.run()
    m.look()
    for port in range(2, 3 + int((LEAST_S + SPLAY_S) / LOOK_S)):  # it changes all the time
        assert not m.h.kills
        m.held.take(batch(named("a", 0, ("http", port))))
        m.look()
        while m.told:
            m.h.feed(m.told.pop())
        if m.h.kills:
            break
    assert m.h.kills == [(m.container_id, False)] and not m.runtime.sent
    assert m.now_s > LEAST_S, "whoever restarts because others do takes his time"
    m.held.take(batch(named("a", 0, ("http", 1000))))
    m.look(2 + int((LEAST_S + SPLAY_S) / LOOK_S))
    assert not m.told, "it is to end already"
    m.h.feed(ev.ContainerExited(m.container_id, -15))
    status = m.h.updates()[-1].status
    assert (status.state, status.reason) == (
        types_pb2.TASK_KILLED,
        types_pb2.REASON_CONFIG_CHANGED,
    )


def test_an_agent_that_starts_again_looks_at_the_files_once() -> None:
    m = Machine(types_pb2.ON_CHANGE_NONE)
    m.run()
    m.look(2)
    assert not m.rendering.made, "they were just made"
    m.renewing = m.look_after()
    m.look(3)
    assert len(m.rendering.made) == 1 and not m.runtime.sent and not m.told


def test_a_slow_template_holds_up_no_other_task() -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    first = m.container_id
    m.launch("u")
    m.run()
    assert m.container_id != first
    m.rendering.slow = {first}

    async def look() -> None:
        m.held.take(batch(named("b", 1, ("http", 2))))
        await m.look_once()
        m.held.take(batch(named("b", 1, ("http", 3))))
        await m.look_once()

    asyncio.run(look())
    assert m.runtime.sent == [(m.container_id, "SIGUSR1")] * 2
