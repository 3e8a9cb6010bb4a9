"""What of a Mesos cluster works here, by what its master and agents say of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pymesos_cli.migrating.asking import AgentFlags, listed
from pymesos_cli.migrating.tables import (
    AGENT_FLAGS,
    IMAGE_PROVIDERS,
    ISOLATORS,
    MASTER_FLAGS,
    NO_CAPABILITIES,
    Rule,
    Verdict,
)
from pymesos_core.text import count_of, cut

MAX_SHOWN = 80
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """Something that the cluster uses, and what becomes of it."""

    of: str  # "framework NAME", "agents", "flag"
    what: str
    verdict: Verdict
    told: str

    def to_json(self) -> dict[str, str]:
        """Return it for programs."""
        return asdict(self) | {"verdict": self.verdict.value}


def findings(master: Json, agents: Iterable[AgentFlags]) -> list[Finding]:
    """Return all findings: what is missing first, then what differs."""
    found = [
        *_version(master),
        *_frameworks(master),
        *_agents(master),
        *_roles(master),
        *_flags("master", _dict(_dict(master.get("flags")).get("flags")), MASTER_FLAGS),
        *_of_agents(agents),
    ]
    order = [Verdict.MISSING, Verdict.DIFFERS, Verdict.WORKS]
    return sorted(dict.fromkeys(found), key=lambda one: (order.index(one.verdict), one.of))


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Json]:
    return [one for one in listed(value) if isinstance(one, dict)]


def _version(master: Json) -> Iterator[Finding]:
    version = cut(str(_dict(master.get("version")).get("version", "?")), MAX_SHOWN)
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    old = major == "0" or not (major + minor).isdigit()
    told = "its frameworks may speak an API before v1" if old else "its frameworks may speak v1"
    yield Finding("master", f"Mesos {version}", Verdict.DIFFERS if old else Verdict.WORKS, told)


# Frameworks.


def _frameworks(master: Json) -> Iterator[Finding]:
    for framework in _list(_dict(master.get("frameworks")).get("frameworks")):
        name = f"framework {cut(str(framework.get('name', '?')), MAX_SHOWN)}"
        problems = list(_framework(name, framework))
        yield from problems
        if not any(one.verdict is Verdict.MISSING for one in problems):
            told = "runs without a change: point it at --mesos-port, if it speaks v1 by HTTP"
            yield Finding(name, "its calls and tasks", Verdict.WORKS, told)


def _framework(name: str, framework: Json) -> Iterator[Finding]:
    for capability in listed(framework.get("capabilities")):
        if (told := NO_CAPABILITIES.get(str(capability))) is not None:
            yield Finding(name, str(capability), Verdict.MISSING, told)
    executors = _list(framework.get("executors"))
    pods = sum(one.get("type") == "DEFAULT" for one in executors)
    if pods:
        told = "its tasks are a group here: no executor runs for them, and none is charged"
        yield Finding(name, count_of(pods, "executor of pods"), Verdict.DIFFERS, told)
    if own := len(executors) - pods:
        told = "runs on agents with --mesos-port, if it speaks the v1 API and no driver before that"
        yield Finding(name, count_of(own, "custom executor"), Verdict.DIFFERS, told)
    if framework.get("principal"):
        told = "have it in --mesos-credentials with its secret, and in the policy"
        yield Finding(name, "a principal", Verdict.DIFFERS, told)
    if "pid" in framework and str(framework["pid"]).startswith("scheduler"):
        told = "libprocess' driver is not spoken: it has to use the v1 API by HTTP"
        yield Finding(name, "the driver of before v1", Verdict.MISSING, told)
    tasks = [*_list(framework.get("tasks")), *_list(framework.get("completed_tasks"))]
    seen: Counter[tuple[str, Verdict, str]] = Counter()
    for task in tasks:
        seen.update(set(_task(task)))
    for (what, verdict, told), count in sorted(seen.items(), key=lambda item: item[0][0]):
        yield Finding(name, f"{what} ({count_of(count, 'task')})", verdict, told)


def _task(task: Json) -> Iterator[tuple[str, Verdict, str]]:
    container = _dict(task.get("container"))
    docker = _dict(container.get("docker"))
    if docker.get("privileged"):
        yield "privileged containers", Verdict.MISSING, "refused: name capabilities instead"
    if docker.get("parameters"):
        yield "parameters of Docker", Verdict.MISSING, "refused, each by its name"
    if container.get("hostname"):
        yield "a hostname of the container", Verdict.MISSING, "refused"
    for volume in _list(container.get("volumes")):
        if "source" in volume:
            kind = cut(str(_dict(volume["source"]).get("type", "?")), MAX_SHOWN)
            yield (
                f"volumes of the kind {kind}",
                Verdict.MISSING,
                "folders of the machine are served",
            )
    if task.get("discovery"):
        told = "it is taken and changes nothing: names come from the framework or a job"
        yield "discovery", Verdict.DIFFERS, told
    if task.get("check"):
        yield "TaskInfo.check", Verdict.MISSING, "health_check is served"
    if task.get("limits"):
        yield "TaskInfo.limits", Verdict.MISSING, "what a task is given is its limit"


# Agents, roles.


def _agents(master: Json) -> Iterator[Finding]:
    slaves = _list(_dict(master.get("slaves")).get("slaves"))
    count = count_of(len(slaves), "agent")
    yield Finding("agents", count, Verdict.WORKS, "each machine runs pymesos-agent instead")
    reserved = volumes = providers = domains = 0
    for slave in slaves:
        full = _dict(slave.get("reserved_resources_full"))
        resources = [one for found in full.values() for one in _list(found)]
        reserved += any("reservation" in one for one in resources)
        volumes += sum("persistence" in _dict(one.get("disk")) for one in resources)
        providers += bool(slave.get("resource_providers"))
        domains += bool(slave.get("domain"))
    if reserved:
        what = f"dynamic reservations on {count_of(reserved, 'agent')}"
        yield Finding("agents", what, Verdict.DIFFERS, "make them anew: `pymesos-cli reserve`")
    if volumes:
        told = "what they hold has to be copied: nothing of an agent of Mesos is read"
        yield Finding("agents", count_of(volumes, "persistent volume"), Verdict.DIFFERS, told)
    if providers:
        what = f"resource providers on {count_of(providers, 'agent')}"
        yield Finding("agents", what, Verdict.MISSING, "there are none here")
    if domains:
        told = "regions and zones are attributes of agents"
        yield Finding("agents", f"domains of {count_of(domains, 'agent')}", Verdict.DIFFERS, told)


def _roles(master: Json) -> Iterator[Finding]:
    quota = _dict(master.get("quota"))
    if count := len(_list(quota.get("configs")) or _list(quota.get("infos"))):
        told = "set it anew: `pymesos-cli quota set`, or UPDATE_QUOTA"
        yield Finding("roles", f"quota of {count_of(count, 'role')}", Verdict.DIFFERS, told)
    if count := len(_list(master.get("weights"))):
        told = "set it anew: `pymesos-cli weights set`, or UPDATE_WEIGHTS"
        yield Finding("roles", f"weights of {count_of(count, 'role')}", Verdict.DIFFERS, told)
    for path in ("roles", "quota", "weights", "flags"):
        if problem := _dict(master.get(path)).get("problem"):
            told = f"not known: {cut(str(problem), 200)}"
            yield Finding("master", f"/{path}", Verdict.DIFFERS, told)


# Flags.


def _flags(of: str, flags: Json, rules: Mapping[str, Rule]) -> Iterator[Finding]:
    for flag, value in sorted(flags.items()):
        rule = rules.get(flag)
        if rule is not None and str(value) not in rule.usual:
            what = f"--{flag}={cut(str(value), MAX_SHOWN)}"
            yield Finding(f"flags of the {of}", what, rule.verdict, rule.told)


def _of_agents(agents: Iterable[AgentFlags]) -> Iterator[Finding]:
    for one in agents:
        if one.flags is None:
            told = f"its flags are not known: {cut(one.problem, 200)}"
            yield Finding("flags of agents", cut(one.agent, MAX_SHOWN), Verdict.DIFFERS, told)
            continue
        yield from _flags("agents", one.flags, AGENT_FLAGS)
        for flag, known in (("isolation", ISOLATORS), ("image_providers", IMAGE_PROVIDERS)):
            parts = {part.strip() for part in one.flags.get(flag, "").lower().split(",")}
            for part in sorted(parts - known - {""}):
                what = f"--{flag}: {cut(part, MAX_SHOWN)}"
                yield Finding("flags of agents", what, Verdict.MISSING, "there is no such here")
