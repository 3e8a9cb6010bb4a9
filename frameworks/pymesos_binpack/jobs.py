"""Job files: YAML or JSON in, checked Job out. The schema is `job.schema.json`."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources as package_files
from typing import Any

import jsonschema
import yaml

from pymesos_binpack.constraints import Constraint, ConstraintError, parse_constraint
from pymesos_binpack.containers import Life, life_of, life_problem
from pymesos_binpack.packing.shape import ShapeError, shape_of
from pymesos_core.ids import role_problem
from pymesos_core.resources import ResourceError, parse_milli

MAX_BYTES = 512 * 1024
MAX_INSTANCES = 20_000
UNREACHABLE_REPLACE_S = 60.0  # of a service without volumes
DEFAULT_SCALARS = {"cpus": 100, "mem": 32_000}


class JobError(ValueError):
    """A job that cannot be: the message says where, what was expected, and what came near."""


@dataclass(frozen=True)
class VolumeSpec:
    """A directory that is there again when the instance is started again, on the same agent."""

    name: str
    path: str
    size_milli: int


@dataclass(frozen=True)
class TaskSpec:
    """One kind of task of a job. `scalars` in thousandths, those of its sidecars included."""

    name: str
    kind: str  # "service" or "batch"
    instances: int
    command: str | None
    image: str | None
    user: str | None
    scalars: Mapping[str, int]
    ports: int
    env: Mapping[str, str]
    constraints: tuple[Constraint, ...]
    retries: int
    kill_grace_s: float
    gang: bool = False  # all instances are placed together, or none
    volumes: tuple[VolumeSpec, ...] = ()
    life: Life = field(default_factory=Life)
    sidecars: tuple[TaskSpec, ...] = ()
    unreachable_replace_s: float | None = None  # None: it is waited for, however long that takes

    @property
    def is_service(self) -> bool:
        """Whether it is replaced when it ends."""
        return self.kind == "service"


@dataclass(frozen=True)
class Job:
    """A job as it was submitted; `document` is its JSON."""

    name: str
    role: str
    tasks: tuple[TaskSpec, ...]
    document: str
    priority: int = 0
    preempt: bool = False  # whether tasks of lower priority may be killed for it


@cache
def schema() -> dict[str, Any]:
    """The published schema."""
    text = (package_files.files("pymesos_binpack") / "job.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


class _Loader(yaml.SafeLoader):
    """YAML without aliases (they can grow without bound) and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise JobError(f"line {mark.line + 1}: anchors and aliases (&, *) are not supported")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise JobError(f"line {line}: the key {key!r} is not text")
            if key in seen:
                raise JobError(f"line {line}: the key {key!r} is given twice")
            seen.add(key)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def load_document(text: str | bytes) -> Any:
    """Parse YAML or JSON (which is YAML). Raises JobError with the line."""
    if len(text) > MAX_BYTES:
        raise JobError(f"the job file has {len(text)} bytes; at most {MAX_BYTES} are read")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, made stricter
    except UnicodeDecodeError as error:
        raise JobError(f"the job file is not UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise JobError(f"{where}not YAML or JSON: {problem}") from error
    except RecursionError:
        raise JobError("the job file is nested too deeply") from None


def parse_job(document: Any) -> Job:
    """Check a document and make it a Job. Raises JobError."""
    if not isinstance(document, dict):
        raise JobError("a job is a mapping with the keys name and tasks")
    _check_numbers(document, "")
    validator = jsonschema.Draft202012Validator(schema())
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is not None:
        raise JobError(_explain(error))
    if problem := role_problem(document.get("role", "*")):
        raise JobError(f"role: {problem}")
    tasks = tuple(
        _parse_task(task, f"tasks[{index}]") for index, task in enumerate(document["tasks"])
    )
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise JobError(f"tasks: the name {name!r} is given twice")
    if sum(task.instances for task in tasks) > MAX_INSTANCES:
        raise JobError(f"tasks: a job has at most {MAX_INSTANCES} instances in all")
    _check_references(tasks, document.get("role", "*"))
    return Job(
        document["name"],
        document.get("role", "*"),
        tasks,
        json.dumps(document),
        document.get("priority", 0),
        document.get("preempt", False),
    )


def _check_references(tasks: tuple[TaskSpec, ...], role: str) -> None:
    """What a task says of others. Raises JobError."""
    names = {task.name for task in tasks}
    for index, task in enumerate(tasks):
        for constraint in task.constraints:
            if constraint.operator in ("WITH", "AWAY") and constraint.value not in names:
                raise JobError(
                    f"tasks[{index}].constraints: {constraint}: the job has no task"
                    f" {constraint.value!r}; it has {', '.join(sorted(names))}"
                )
        if task.volumes and role == "*":
            raise JobError(
                f"tasks[{index}].volumes: volumes are of reserved disk, and nothing can be reserved"
                f" for the role '*': give the job another role"
            )


def _check_numbers(value: Any, where: str) -> None:
    """NaN and infinity pass every comparison of a schema, so they are found first."""
    if isinstance(value, float) and not math.isfinite(value):
        raise JobError(f"{where}: {value} is not a finite number")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_numbers(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_numbers(inner, f"{where}[{index}]")


def _explain(error: jsonschema.exceptions.ValidationError) -> str:
    """A schema violation in words, with the nearest known key."""
    where = ""
    for part in error.absolute_path:
        where += f"[{part}]" if isinstance(part, int) else f"{'.' if where else ''}{part}"
    prefix = f"{where}: " if where else ""
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(_properties(error))
        for key in error.instance:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1, 0.4)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
                return f"{prefix}unknown key {key!r}{hint}"
    if error.validator == "required":
        return f"{prefix}{error.message.replace('is a required property', 'is missing')}"
    if error.validator == "pattern":
        return f"{prefix}{error.instance!r} does not match {error.validator_value}"
    if error.validator == "enum":
        return (
            f"{prefix}{error.instance!r} is not one of {', '.join(_strings(error.validator_value))}"
        )
    if error.validator == "type":
        expected = " or ".join(_strings(error.validator_value))
        return f"{prefix}{str(error.instance)[:100]!r} is not a value of type {expected}"
    if error.validator in ("minimum", "maximum"):
        bound = "at least" if error.validator == "minimum" else "at most"
        return f"{prefix}{error.instance} is out of range; {bound} {error.validator_value}"
    return f"{prefix}{error.message[:300]}"


def _properties(error: jsonschema.exceptions.ValidationError) -> Mapping[str, Any]:
    found = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    return dict(found)


def _strings(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _parse_task(task: Mapping[str, Any], where: str) -> TaskSpec:
    given = task.get("resources", {})
    scalars = dict(DEFAULT_SCALARS)
    try:
        for name, value in given.items():
            if name != "ports":
                scalars[name] = parse_milli(name, repr(value))
        constraints = tuple(parse_constraint(text) for text in task.get("constraints", ()))
        shape_of(scalars)
    except (ResourceError, ShapeError) as error:
        raise JobError(f"{where}.resources: {error}") from error
    except ConstraintError as error:
        raise JobError(f"{where}.constraints: {error}") from error
    scalars = {name: value for name, value in scalars.items() if value}
    if not scalars and not given.get("ports"):
        raise JobError(f"{where}.resources: a task needs some resource")
    if not task.get("command") and not task.get("image"):
        raise JobError(f"{where}: a task needs a command, or an image that has one")
    if "\0" in (task.get("command") or "") or any("\0" in v for v in task.get("env", {}).values()):
        raise JobError(f"{where}: a command or environment cannot hold a NUL character")
    if problem := life_problem(task):
        raise JobError(f"{where}.{problem}")
    if task.get("volumes") and "unreachable_replace_s" in task:
        raise JobError(
            f"{where}.unreachable_replace_s: a task with volumes is not replaced while its agent"
            f" may come back, since its data are there: leave the key out"
        )
    sidecars = _parse_sidecars(task, where)
    for sidecar in sidecars:
        for name, amount in sidecar.scalars.items():
            scalars[name] = scalars.get(name, 0) + amount
    return TaskSpec(
        name=task["name"],
        kind=task.get("kind", "batch"),
        instances=task.get("instances", 1),
        command=task.get("command"),
        image=task.get("image"),
        user=task.get("user"),
        scalars=scalars,
        ports=given.get("ports", 0),
        env=dict(task.get("env", {})),
        constraints=constraints,
        retries=task.get("retries", 0),
        kill_grace_s=float(task.get("kill_grace_s", 3)),
        gang=task.get("gang", False),
        volumes=_parse_volumes(task.get("volumes", ()), where),
        life=life_of(task),
        sidecars=sidecars,
        unreachable_replace_s=_unreachable_replace_s(task),
    )


def _unreachable_replace_s(task: Mapping[str, Any]) -> float | None:
    """How long an unreachable instance is waited for: a batch task would run twice."""
    if task.get("volumes"):
        return None
    usual = UNREACHABLE_REPLACE_S if task.get("kind") == "service" else None
    given = task.get("unreachable_replace_s", usual)
    return None if given is None else float(given)


def _parse_sidecars(task: Mapping[str, Any], where: str) -> tuple[TaskSpec, ...]:
    """They run where the task runs, and in its network. Raises JobError."""
    shared = {name: task[name] for name in ("network", "runtime", "kill_grace_s") if name in task}
    out: list[TaskSpec] = []
    for index, sidecar in enumerate(task.get("sidecars", ())):
        there = f"{where}.sidecars[{index}]"
        for name in ("ports", "gpus"):
            if sidecar.get("resources", {}).get(name):
                raise JobError(f"{there}.resources.{name}: the task has them, not its sidecars")
        if sidecar["name"] in [task["name"], *(other.name for other in out)]:
            raise JobError(f"{where}.sidecars: the name {sidecar['name']!r} is given twice")
        out.append(_parse_task({**sidecar, **shared}, there))
    return tuple(out)


def _parse_volumes(volumes: Any, where: str) -> tuple[VolumeSpec, ...]:
    out: list[VolumeSpec] = []
    for index, volume in enumerate(volumes):
        try:
            size = parse_milli("size", repr(volume["size"]))
        except ResourceError as error:
            raise JobError(f"{where}.volumes[{index}]: {error}") from error
        path = volume["path"]
        if "\0" in path or ".." in path.split("/"):
            raise JobError(f"{where}.volumes[{index}].path: {path!r} leads elsewhere")
        if volume["name"] in [other.name for other in out]:
            raise JobError(f"{where}.volumes: the name {volume['name']!r} is given twice")
        out.append(VolumeSpec(volume["name"], path, size))
    return tuple(out)
