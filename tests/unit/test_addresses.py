"""Addresses of other tasks in config files: who gets which, and what follows when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from pymesos_agent.files import addresses as of_agent
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.config import ConfigError
from pymesos_binpack import core as c
from pymesos_binpack.containers import container_info
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobfiles.restarting import restart_problem
from pymesos_binpack.specs import JobError
from pymesos_core import contract
from pymesos_core.discovery.held import Held
from pymesos_master.core.launching import not_capable
from pymesos_master.core.validation import _executor_problem, _secrets_problem
from pymesos_proto.v1 import types_pb2
from pymesos_testing.addressed import PEERS, USE, batch, named
from pymesos_testing.binpack_harness import BinpackHarness


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
