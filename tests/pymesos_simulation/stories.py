"""Stories: what happens, line by line, and what is then expected, in plain text.

A story has a title, a few fields for `docs/failures.md` (`fails:`, `seen:`, `done:`), a line `--`
and its steps. A step makes something happen, or begins with `expect` and ends with `now`,
`within N s` or `for N s`. Time is simulated, and nothing happens that the story does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_core.caller import NOBODY
from pymesos_core.reservations import reserve_for
from pymesos_core.resources import EMPTY, parse, to_proto
from pymesos_simulation.machine import simulated
from pymesos_simulation.scripted import ScriptedFramework
from pymesos_simulation.stage import (
    ACTIONS,
    CONDITIONS,
    Stage,
    StoryError,
    action,
    condition,
)
from pymesos_simulation.world import Node

FIELDS = ("fails", "seen", "done")


@dataclass(frozen=True)
class Story:
    """A text that was read."""

    name: str
    title: str
    fields: dict[str, str]
    steps: tuple[tuple[int, str], ...]  # line numbers and lines


def read(path: Path) -> Story:
    """Raises StoryError."""
    lines = path.read_text("utf-8").splitlines()
    title, fields, steps = lines[0], {}, []
    try:
        begin = lines.index("--")
    except ValueError:
        raise StoryError(f"{path.name}: no line `--` before the steps") from None
    for line in lines[1:begin]:
        name, _, text = line.partition(": ")
        if name in FIELDS:
            fields[name] = text
        elif line:
            raise StoryError(f"{path.name}: {line!r} is no field; known are {', '.join(FIELDS)}")
    for number, line in enumerate(lines[begin + 1 :], begin + 2):
        if line.strip() and not line.startswith("#"):
            steps.append((number, line.strip()))
    return Story(path.stem, title, fields, tuple(steps))


def tell(story: Story, trace: Callable[[str], object] | None = None, seed: int = 0) -> None:
    """Let a story happen; it must, whatever the seed. Raises AssertionError naming the line.

    Raises StoryError for a line that is not understood.
    """
    stage = Stage(trace, seed)
    with simulated():
        try:
            _tell(story, stage)
        finally:
            stage.cluster.end()


def _tell(story: Story, stage: Stage) -> None:
    for number, line in story.steps:
        stage.world.trace(f"-- {line}")
        try:
            stage.act(line)
        except StoryError as error:
            raise StoryError(f"{story.name}, line {number}: {error}") from None
        except Exception as error:
            raise AssertionError(
                f"{story.name}, line {number} ({line}), at {stage.world.now_s:.3f} s:"
                f" {type(error).__name__}: {error}"
            ) from error


def vocabulary() -> Iterable[str]:
    """The patterns of all steps, for those who write one."""
    return [p.pattern for p, _ in ACTIONS] + ["expect " + p.pattern for p, _ in CONDITIONS]


# What happens.


@action(r"(\d+) masters?")
def _masters(stage: Stage, count: str) -> None:
    stage.start(*(stage.cluster.add_master() for _ in range(int(count))))


@action(r"(\d+) agents? with (\d+) cpus")
def _agents(stage: Stage, count: str, cpus: str) -> None:
    stage.start(*(stage.cluster.add_agent(int(cpus)) for _ in range(int(count))))


@action(r"framework (\w+)(?: with a failover timeout of (\d+) s)?")
def _framework(stage: Stage, name: str, failover_s: str | None) -> None:
    timeout_s = float(failover_s or 3600)
    made = ScriptedFramework(
        stage.world, name, stage.cluster.coordinator, stage.cluster.network, timeout_s
    )
    stage.cluster.others.append(made)
    stage.start(made)


@action(r"framework (\w+) runs (\d+) batch tasks and (\d+) services?")
def _binpack(stage: Stage, name: str, batch: str, services: str) -> None:
    size = {"cpus": 1, "mem": 64}
    tasks = [
        {"name": kind, "kind": kind, "command": kind, "instances": int(count), "resources": size}
        for kind, count in (("batch", batch), ("service", services))
        if int(count)
    ]
    job = parse_job({"name": f"job-{name}", "tasks": tasks})
    stage.start(stage.cluster.add_framework(name, [job]))


@action(r"framework (\w+) runs a service with a sidecar")
def _binpack_with_sidecar(stage: Stage, name: str) -> None:
    size = {"cpus": 1, "mem": 64}
    beside = [{"name": "proxy", "command": "service", "resources": size}]
    service = {"name": "service", "kind": "service", "command": "service", "resources": size}
    job = parse_job({"name": f"job-{name}", "tasks": [{**service, "sidecars": beside}]})
    stage.start(stage.cluster.add_framework(name, [job]))


@action(r"a framework that (hoards|declines|is slow|calls nonsense)")
def _rude(stage: Stage, manner: str) -> None:
    stage.start(stage.cluster.add_rude(manner))


@action(r"(\w+) launches (\w+) for (\d+) s(?: on (\w+))?")
def _launch(stage: Stage, name: str, task_id: str, seconds: str, hostname: str | None) -> None:
    stage.by_name(name).launch(task_id, seconds, hostname)


@action(r"(\w+) launches a group of (\w+) for (\d+) s and (\w+) for (\d+) s")
def _launch_group(stage: Stage, name: str, one: str, one_s: str, two: str, two_s: str) -> None:
    stage.by_name(name).launch_together({one: one_s, two: two_s}, in_one_executor=False)


@action(r"(\w+) launches (\w+) and (\w+) in an executor of its own")
def _launch_in_executor(stage: Stage, name: str, one: str, two: str) -> None:
    commands = dict.fromkeys((one, two), "service")
    stage.by_name(name).launch_together(commands, in_one_executor=True)


@action(r"the executor on (\w+) is killed")
def _kill_executor(stage: Stage, name: str) -> None:
    machine = next(agent.machine for agent in stage.cluster.agents if agent.name == name)
    for container_id in list(machine.executors):
        machine.end(container_id, -9)


@action(r"the executor on (\w+) subscribes twice, and the first time comes (\d+) s late")
def _subscribe_twice(stage: Stage, name: str, seconds: str) -> None:
    machine = next(agent.machine for agent in stage.cluster.agents if agent.name == name)
    for executor in machine.executors.values():
        executor.subscribe_twice(float(seconds))


@action(r"the containers on (\w+) end")
def _end_containers(stage: Stage, name: str) -> None:
    machine = next(agent.machine for agent in stage.cluster.agents if agent.name == name)
    for container_id in list(machine.containers):
        machine.end(container_id, -9)


@action(r"(\w+) (acknowledges nothing|acknowledges again)")
def _acknowledging(stage: Stage, name: str, how: str) -> None:
    stage.by_name(name).acknowledges = how == "acknowledges again"


@action(r"(\w+) kills (\w+)")
def _kill_task(stage: Stage, name: str, task_id: str) -> None:
    stage.by_name(name).kill(task_id)


@action(r"(\w+) forgets its id")
def _forget_id(stage: Stage, name: str) -> None:
    stage.by_name(name).stored_id = ""


@action(r"the leader is killed")
def _kill_leader(stage: Stage) -> None:
    stage.last_leader = stage.leader()
    stage.last_leader.crash()


@action(r"the leader is stopped for (\d+) s")
def _stop_leader(stage: Stage, seconds: str) -> None:
    stage.last_leader = leader = stage.leader()
    leader.pause(float(seconds))


@action(r"the leader is killed as soon as (\w+) has started (\w+)")
def _kill_leader_at_start(stage: Stage, agent: str, task_id: str) -> None:
    assert stage.world.run(lambda: stage.runs(task_id), stage.world.now_s + 10), "not started"
    _kill_leader(stage)


@action(r"(\w+) is killed")
def _kill(stage: Stage, name: str) -> None:
    stage.cluster.node(name).crash()


@action(r"(\w+) is ended with its tasks")
def _terminate(stage: Stage, name: str) -> None:
    next(agent for agent in stage.cluster.agents if agent.name == name).terminate()


@action(r"(\w+) is started again")
def _start(stage: Stage, name: str) -> None:
    stage.cluster.node(name).start()


@action(r"(\w+) is stopped for (\d+) s")
def _stop(stage: Stage, name: str, seconds: str) -> None:
    stage.cluster.node(name).pause(float(seconds))


@action(r"(\w+(?: and \w+)*) (?:is|are) cut off for (\d+) s")
def _cut_off(stage: Stage, names: str, seconds: str) -> None:
    side = names.split(" and ")
    for one in side:
        assert stage.cluster.node(one)
        for other in stage.cluster.nodes:
            if other.name not in side:
                stage.world.separate(one, other.name, float(seconds), symmetric=True)


@action(r"ZooKeeper is away for (\d+) s")
def _no_zookeeper(stage: Stage, seconds: str) -> None:
    stage.cluster.coordinator.interrupt(stage.cluster.masters, float(seconds), down=True)


@action(r"ZooKeeper is away from the leader for (\d+) s")
def _cut_from_zookeeper(stage: Stage, seconds: str) -> None:
    stage.last_leader = stage.leader()
    stage.cluster.coordinator.interrupt([stage.last_leader], float(seconds), down=False)


@action(r"the disk of (\w+) is full for (\d+) s")
def _fill_disk(stage: Stage, name: str, seconds: str) -> None:
    disk = next(disk for disk in stage.cluster.disks if disk.node.name == name)
    disk.full_until_s = stage.world.now_s + float(seconds)


@action(r"an operator marks (\w+) gone")
def _gone(stage: Stage, name: str) -> None:
    agent = stage.agent(name)
    assert agent is not None, f"{name} is not known"
    agent_id = agent.agent_id
    stage.ask_operator(lambda commands: commands.mark_gone(NOBODY, agent_id))


@action(r"an operator (cordons|activates) (\w+)")
def _cordon(stage: Stage, what: str, name: str) -> None:
    agent = stage.agent(name)
    assert agent is not None, f"{name} is not known"
    agent_ids = [agent.agent_id]
    if what == "cordons":
        stage.ask_operator(lambda commands: commands.cordon(NOBODY, agent_ids))
    else:
        stage.ask_operator(lambda commands: commands.activate(NOBODY, agent_ids))


@action(r"an operator drains (\w+) within (\d+) s(, then gone)?")
def _drain(stage: Stage, name: str, seconds: str, gone: str | None) -> None:
    agent = stage.agent(name)
    assert agent is not None, f"{name} is not known"
    agent_ids, within_s = [agent.agent_id], float(seconds)
    stage.ask_operator(
        lambda commands: commands.drain(NOBODY, agent_ids, within_s, then_gone=bool(gone))
    )


@action(r"an operator reserves (\S+) of (\w+) for (\w+)")
def _reserve(stage: Stage, text: str, name: str, role: str) -> None:
    agent = stage.agent(name)
    assert agent is not None, f"{name} is not known"
    agent_id, wanted = agent.agent_id, tuple(to_proto(parse(text)))
    stage.ask_operator(lambda commands: commands.reserve(NOBODY, agent_id, role, wanted))


@action(r"an operator unreserves all of (\w+) for (\w+)")
def _unreserve(stage: Stage, name: str, role: str) -> None:
    agent = stage.agent(name)
    assert agent is not None, f"{name} is not known"
    agent_id = agent.agent_id
    stage.ask_operator(lambda commands: commands.unreserve(NOBODY, agent_id, role, ()))


@action(r"every (master|agent|framework) is restarted, (\d+) s apart")
def _roll(stage: Stage, role: str, seconds: str) -> None:
    cluster = stage.cluster
    nodes: dict[str, list[Node]] = {
        "master": [*cluster.masters],
        "agent": [*cluster.agents],
        "framework": [*cluster.frameworks, *cluster.others],
    }
    for node in nodes[role]:
        node.crash()
        stage.passes(0.5)
        node.start()
        stage.passes(float(seconds))


@action(r"(\d+) s pass")
def _pass(stage: Stage, seconds: str) -> None:
    stage.passes(float(seconds))


# What is expected.


@condition(r"(another|a) master leads")
def _leads(stage: Stage, which: str) -> bool:
    leader = stage.cluster.coordinator.leader
    led = leader is not None and leader.core is not None
    return led and (which == "a" or leader is not stage.last_leader)


@condition(r"nobody leads")
def _nobody_leads(stage: Stage) -> bool:
    return all(master.core is None for master in stage.cluster.masters)


@condition(r"epoch (\d+)")
def _epoch(stage: Stage, epoch: str) -> bool:
    return stage.cluster.coordinator.epoch == int(epoch)


@condition(r"(\w+) holds (\d+) offers?")
def _holds(stage: Stage, name: str, count: str) -> bool:
    return len(stage.by_name(name).offers) == int(count)


@condition(r"(\w+) sees (\w+) as (TASK_\w+)")
def _sees(stage: Stage, name: str, task_id: str, state: str) -> bool:
    return stage.by_name(name).states.get(task_id, [])[-1:] == [state]


@condition(r"(\w+) has seen of (\w+): (TASK_[A-Z_, ]+)")
def _has_seen(stage: Stage, name: str, task_id: str, states: str) -> bool:
    return stage.by_name(name).states.get(task_id) == states.split(", ")


@condition(r"(\w+) is told (.+)")
def _is_told(stage: Stage, name: str, text: str) -> bool:
    return any(text in error for error in stage.by_name(name).errors)


@condition(r"(\w+) has ended")
def _ended(stage: Stage, name: str) -> bool:
    return not stage.cluster.node(name).alive


@condition(r"(\w+) runs")
def _runs(stage: Stage, task_id: str) -> bool:
    return stage.runs(task_id)


@condition(r"(\w+) does not run")
def _runs_not(stage: Stage, task_id: str) -> bool:
    return not stage.runs(task_id)


@condition(r"(\d+) services run")
def _services(stage: Stage, count: str) -> bool:
    running = [
        container
        for agent in stage.cluster.agents
        for container in agent.machine.containers.values()
        if container.exit is None and ".service." in container.key[1]
    ]
    return len(running) >= int(count)


@condition(r"(\w+) is (active|disconnected|unreachable|gone|recovering)")
def _agent_is(stage: Stage, name: str, state: str) -> bool:
    agent = stage.agent(name)
    return agent is not None and agent.state.value == state


@condition(r"(\w+) is (cordoned|draining|drained|offered)")
def _drain_is(stage: Stage, name: str, state: str) -> bool:
    agent = stage.agent(name)
    return agent is not None and agent.drain.state.value == state.replace("offered", "none")


@condition(r"(\w+) knows that (\w+) is being drained")
def _knows_of_drain(stage: Stage, name: str, agent_name: str) -> bool:
    agent = stage.agent(agent_name)
    return agent is not None and agent.agent_id in stage.by_name(name).drained


@condition(r"(\w+) hears that (\w+) ended by (\w+)")
def _ended_by(stage: Stage, name: str, task_id: str, reason: str) -> bool:
    return stage.by_name(name).reasons.get(task_id) == reason


@condition(r"the work of (\w+) is done")
def _done(stage: Stage, name: str) -> bool:
    return {f.name: f for f in stage.cluster.frameworks}[name].done


@condition(r"(\d+) frameworks? registered")
def _frameworks(stage: Stage, count: str) -> bool:
    leader = stage.cluster.coordinator.leader
    return (
        leader is not None
        and leader.core is not None
        and len(leader.core.state.frameworks) == int(count)
    )


@condition(r"(\w+) keeps (\S+) for (\w+)")
def _keeps(stage: Stage, name: str, text: str, role: str) -> bool:
    """By its own checkpoint, and by the master's word."""
    wanted = EMPTY if text == "nothing" else reserve_for(parse(text), role, "")
    node = next(agent for agent in stage.cluster.agents if agent.name == name)
    known = stage.agent(name)
    mine = node.core.state.reserved if node.core is not None else EMPTY
    return known is not None and mine == known.reserved == wanted


@condition(r"every view agrees")
def _agree(stage: Stage) -> bool:
    return next(stage.cluster.differences(), None) is None
