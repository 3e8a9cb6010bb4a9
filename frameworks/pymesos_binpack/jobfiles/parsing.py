"""Job files: YAML or JSON in, checked Job out. The schema is `job.schema.json`.

A job that is taken can be launched: every task of it is built to the end, down to what a master
would be sent, before it is stored anywhere.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources as package_files
from pathlib import Path
from typing import Any

import jsonschema

from pymesos_binpack.constraints import ConstraintError, parse_constraint
from pymesos_binpack.containers import container_problem, container_spec
from pymesos_binpack.jobfiles import checks, variables
from pymesos_binpack.jobfiles.alerts import alert_rules
from pymesos_binpack.jobfiles.daemons import daemon_problem
from pymesos_binpack.jobfiles.dependencies import check_order, dependencies
from pymesos_binpack.jobfiles.documents import read_document, read_text
from pymesos_binpack.jobfiles.periodic import periodic_rules
from pymesos_binpack.jobfiles.ports import check_neighbours, exposure, named_ports, with_named_ports
from pymesos_binpack.jobfiles.revisions import digest
from pymesos_binpack.jobfiles.revocable import revocable_problem
from pymesos_binpack.jobfiles.scaling import scale_rules
from pymesos_binpack.jobfiles.templates import References, references
from pymesos_binpack.jobfiles.trial import launch_problem
from pymesos_binpack.jobs.rollouts.rules import RulesError
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.placement.packing.shape import ShapeError, shape_of
from pymesos_binpack.specs import (
    Job,
    JobError,
    PackageSpec,
    RestartRules,
    TaskSpec,
    VolumeSpec,
)
from pymesos_core import limits
from pymesos_core.ids import role_problem, secret_name_problem, size_of
from pymesos_core.images import image_problem
from pymesos_core.resource_names import meant_resource
from pymesos_core.resource_values import ResourceError, to_milli
from pymesos_core.stop_signals import TERM
from pymesos_core.text import quoted

__all__ = [
    "Job",
    "JobError",
    "TaskSpec",
    "VolumeSpec",
    "load_document",
    "parse_job",
    "parse_stored",
    "schema",
]

MAX_BYTES = limits.JOB.most
MAX_INSTANCES = 20_000
UNREACHABLE_REPLACE_S = 60.0  # of a service without volumes
LOSE_DATA = "lose_data"  # what a volume may say of `migrate`
MAX_ERRORS = 100  # that are looked at for the one to tell
DEFAULT_SCALARS = {"cpus": 100, "mem": 32_000}


@cache
def schema() -> dict[str, Any]:
    """The published schema."""
    text = (package_files.files("pymesos_binpack.jobfiles") / "job.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def _schema_in_full() -> dict[str, Any]:
    """As documents are checked by: to look each $ref up takes a fifth of the time of a check."""
    full: dict[str, Any] = checks.in_full(schema(), schema())
    return full


@cache
def _validator() -> Any:
    return checks.validator_class()(_schema_in_full())


@cache
def _task_defaults() -> dict[str, Any]:
    """The values of a task that the schema gives those who say nothing."""
    keys = _schema_in_full()["properties"]["tasks"]["items"]["properties"]
    return {key: node["default"] for key, node in keys.items() if "default" in node}


def load_document(text: str | bytes, *, only_json: bool = False) -> Any:
    """Parse YAML or JSON. Raises JobError with the line."""
    size = size_of(text) if isinstance(text, str) else len(text)
    if problem := limits.JOB.problem(size, "the job file"):
        raise JobError(problem)
    return read_document(read_text(text), only_json=only_json)


def read_job_file(path: Path) -> Any:
    """The document of a job file; `-` is what comes on stdin. Raises JobError naming the file."""
    try:
        if str(path) == "-":
            return load_document(sys.stdin.buffer.read(MAX_BYTES + 1))
        with path.open("rb") as file:
            return load_document(file.read(MAX_BYTES + 1), only_json=path.suffix == ".json")
    except OSError as error:
        raise JobError(f"cannot read {path}: {error.strerror}") from error
    except JobError as error:
        raise JobError(f"{path}: {error}") from error


def parse_job(document: Any) -> Job:
    """Check a document and make it a Job that can be launched. Raises JobError."""
    if not isinstance(document, dict):
        what = "it is empty" if document is None else f"it is {checks.kind_of(document)}"
        raise JobError(f"{what}; a job is a mapping with the keys name and tasks")
    try:
        checks.check_values(document)
    except RecursionError:
        raise JobError("the job file is nested too deeply") from None
    given = checks.with_whole_numbers(document, _schema_in_full())
    errors = itertools.islice(_validator().iter_errors(given), MAX_ERRORS)
    error = jsonschema.exceptions.best_match(errors)
    if error is not None:
        raise JobError(checks.explain(error, document))
    stored = json.dumps(given, ensure_ascii=False)
    if problem := limits.JOB.problem(size_of(stored), "the job, written as JSON,"):
        raise JobError(problem)
    job = _parse(given, stored)
    if problem := launch_problem(job):
        raise JobError(problem)
    return job


def parse_stored(document: str) -> Job:
    """Read a job back from its document. Raises JobError."""
    return parse_job(load_document(document, only_json=True))


def _parse(document: Mapping[str, Any], stored: str) -> Job:
    role = document.get("role", "*")
    if problem := role_problem(role):
        raise JobError(f"role: {problem}")
    for index, task in enumerate(document["tasks"]):
        _check_templates(task, f"tasks[{index}]", document)
    values = document.get(variables.KEY, {})
    tasks = tuple(
        _parse_task(
            variables.with_values(task, values, (role, document["name"])), f"tasks[{index}]"
        )
        for index, task in enumerate(document["tasks"])
    )
    _check_unique("tasks", (task.name for task in tasks))
    before = dependencies(document["tasks"])
    tasks = tuple(
        replace(task, depends_on=those) for task, those in zip(tasks, before, strict=True)
    )
    check_order(tasks)
    if sum(task.scale.max if task.scale else task.instances for task in tasks) > MAX_INSTANCES:
        raise JobError(f"tasks: a job has at most {MAX_INSTANCES} instances in all")
    _check_references(tasks, role)
    check_neighbours(tasks)
    priority, preempt = document.get("priority", 0), document.get("preempt", False)
    missing = tuple(name for name in variables.names_in(document) if name not in values)
    package = _package(document.get("package"))
    return Job(document["name"], role, tasks, stored, priority, preempt, values, missing, package)


def _package(given: Mapping[str, Any] | None) -> PackageSpec | None:
    """The package that a job was made from, if it was made from one."""
    if given is None:
        return None
    source = given.get("repository", {"name": "", "key": ""})
    return PackageSpec(given["name"], given["version"], source["name"], source["key"])


def _check_templates(task: Mapping[str, Any], where: str, document: Mapping[str, Any]) -> None:
    """Raises JobError for a template that cannot be rendered, with its line."""
    for index, file in enumerate(task.get("config", ())):
        try:
            used = references(file.get("template", ""))
        except JobError as error:
            raise JobError(f"{where}.config[{index}].template: {error}") from None
        if problem := _addresses_problem(file, used, document):
            raise JobError(f"{where}.config[{index}]{problem}")
        if used.secrets and (problem := secret_name_problem(file["path"])):
            raise JobError(
                f"{where}.config[{index}].path: with secrets it is a file in $PYMESOS_SECRETS, and"
                f" {problem}"
            )
    for index, sidecar in enumerate(task.get("sidecars", ())):
        _check_templates(sidecar, f"{where}.sidecars[{index}]", document)


def _addresses_problem(
    file: Mapping[str, Any], used: References, document: Mapping[str, Any]
) -> str | None:
    """What is wrong with whose addresses a template uses, or None."""
    if not used.addresses:
        given = next((key for key in ("on_change", "signal") if key in file), None)
        return given and (
            f".{given}: it is for a template that uses addresses, since what else changes reaches"
            f" tasks by rollouts: leave it out"
        )
    if "signal" in file and file.get("on_change") != "signal":
        return ".signal: it goes with on_change: signal"
    names = [task["name"] for task in document["tasks"]]
    for name in used.addresses:
        job, _, task = name.rpartition(".")
        if job in ("", document["name"]) and task not in names:
            return (
                f".template: it uses the addresses of {quoted(task)}, and the job has the tasks"
                f" {', '.join(names[:10])}; one of another job is addresses['JOB.TASK']"
            )
    return None


def _check_unique(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise JobError(f"{where}: the name {quoted(name)} is given twice")
        seen.add(name)


def _check_references(tasks: tuple[TaskSpec, ...], role: str) -> None:
    """What a task says of others. Raises JobError."""
    names = {task.name for task in tasks}
    for index, task in enumerate(tasks):
        for constraint in task.constraints:
            if constraint.operator in ("WITH", "AWAY") and constraint.value not in names:
                known = ", ".join(sorted(names)[:10])
                raise JobError(
                    f"tasks[{index}].constraints: {constraint}: the job has no task"
                    f" {quoted(constraint.value)}; it has {known}"
                )
        if task.volumes and role == "*":
            raise JobError(
                f"tasks[{index}].volumes: volumes are of reserved disk, and nothing can be reserved"
                f" for the role '*': give the job another role"
            )


def _parse_scalars(given: Mapping[str, Any], where: str) -> dict[str, int]:
    scalars = dict(DEFAULT_SCALARS)
    try:
        for name, value in given.items():
            if (meant := meant_resource(name)) is not None:
                raise ResourceError(f"unknown resource {name}; did you mean {meant}?")
            if name != "ports":
                scalars[name] = _milli(name, value)
        shape_of(scalars)
    except (ResourceError, ShapeError) as error:
        raise JobError(f"{where}.resources: {error}") from error
    scalars = {name: value for name, value in scalars.items() if value}
    if not scalars and not given.get("ports"):
        raise JobError(f"{where}.resources: a task needs some resource")
    return scalars


def _milli(name: str, value: float) -> int:
    """Rounded to three decimals, as on the wire. Raises ResourceError."""
    milli = to_milli(name, value)
    if value and not milli:
        raise ResourceError(f"{name} is {value:g}, which rounds to zero: three decimals are kept")
    return milli


def _parse_task(task: Mapping[str, Any], where: str, *, is_sidecar: bool = False) -> TaskSpec:
    written, task = task, with_named_ports(task, where)
    given = task.get("resources", {})
    scalars = _parse_scalars(given, where)
    try:
        constraints = tuple(parse_constraint(text) for text in task.get("constraints", ()))
    except ConstraintError as error:
        raise JobError(f"{where}.constraints: {error}") from error
    if not task.get("command") and not task.get("image"):
        raise JobError(f"{where}: a task needs a command, or an image that has one")
    if task.get("image") and (problem := image_problem(task["image"])):
        raise JobError(f"{where}.image: {problem}")
    if problem := container_problem(task, in_group=is_sidecar or bool(task.get("sidecars"))):
        raise JobError(f"{where}.{problem}")
    if _keeps_data(task) and "unreachable_replace_s" in task:
        raise JobError(
            f"{where}.unreachable_replace_s: a task with volumes is not replaced while its agent"
            f" may come back, since its data are there: leave the key out, or say `migrate:"
            f" lose_data` of each volume"
        )
    if problem := (
        _of_services_problem(task) or daemon_problem(task, constraints) or revocable_problem(task)
    ):
        raise JobError(f"{where}.{problem}")
    sidecars = _parse_sidecars(task, where)
    for sidecar in sidecars:
        for name, amount in sidecar.scalars.items():
            scalars[name] = scalars.get(name, 0) + amount
    shutdown = task.get("shutdown", {})
    spec = TaskSpec(
        name=task["name"],
        kind=task.get("kind", "batch"),
        instances=0 if task.get("kind") == "daemon" else task.get("instances", 1),
        command=task.get("command"),
        image=task.get("image"),
        user=task.get("user"),
        scalars=scalars,
        ports=given.get("ports", 0),
        env=dict(task.get("env", {})),
        constraints=constraints,
        retries=task.get("retries", 0),
        kill_grace_s=float(shutdown.get("grace_s", task.get("kill_grace_s", 3))),
        kill_signal=shutdown.get("signal", TERM),
        gang=task.get("gang", False),
        revocable=task.get("revocable", False),
        volumes=_parse_volumes(task.get("volumes", ()), where),
        container=container_spec(task),
        sidecars=sidecars,
        unreachable_replace_s=_unreachable_replace_s(task),
        restart=_restart_rules(task.get("restart", {})),
        alerts=alert_rules(task, where),
        drain_s=float(shutdown.get("drain_s", 0)),
        update=dict(task.get("update", {})),
        periodic=periodic_rules(task, where),
        scale=scale_rules(task, named_ports(task, where), where),
        named_ports=named_ports(task, where),
        exposure=exposure(task, where),
        digest=digest(written, _task_defaults()),
    )
    if spec.scale is not None:
        spec = replace(spec, instances=spec.scale.bounded(spec.instances))
    try:
        rules_of(spec)
    except RulesError as error:
        raise JobError(f"{where}.update: {error}") from error
    return spec


def _of_services_problem(task: Mapping[str, Any]) -> str | None:
    """What the schema cannot say of the keys by which a service goes on running."""
    for key, what in (("update", "replaced while it runs"), ("restart", "run for ever")):
        if key in task and task.get("kind") not in ("service", "daemon"):
            more = ", and use `retries`" if key == "restart" else ""
            return (
                f"{key}: a batch task is not {what}: let the kind be service, or leave it out{more}"
            )
    if "kill_grace_s" in task and "grace_s" in task.get("shutdown", {}):
        return "shutdown.grace_s: it is the same as kill_grace_s: give one of them"
    shutdown = task.get("shutdown", {})
    if "signal" in shutdown and not shutdown.get("grace_s", task.get("kill_grace_s", 3)):
        return (
            "shutdown.signal: SIGKILL would come at the same time: let grace_s be more than 0, or"
            " leave the signal out"
        )
    restart = task.get("restart", {})
    least, most = restart.get("backoff_min_s", 0.5), restart.get("backoff_max_s", 60)
    if least > most:
        return (
            f"restart: backoff_min_s is {least:g}, and at most backoff_max_s, {most:g}, is expected"
        )
    return None


def _restart_rules(given: Mapping[str, Any]) -> RestartRules:
    usual = RestartRules()
    return RestartRules(
        given.get("max", usual.max),
        float(given.get("within_s", usual.within_s)),
        float(given.get("backoff_min_s", usual.backoff_min_s)),
        float(given.get("backoff_max_s", usual.backoff_max_s)),
        given.get("on_max") == "fail",
    )


def _unreachable_replace_s(task: Mapping[str, Any]) -> float | None:
    """How long an unreachable instance is waited for: a batch task would run twice."""
    if _keeps_data(task):
        return None
    usual = UNREACHABLE_REPLACE_S if task.get("kind") == "service" else None
    given = task.get("unreachable_replace_s", usual)
    return None if given is None else float(given)


def _keeps_data(task: Mapping[str, Any]) -> bool:
    """Whether a task has volumes without which it is not to begin elsewhere."""
    return any(volume.get("migrate") != LOSE_DATA for volume in task.get("volumes", ()))


def _parse_sidecars(task: Mapping[str, Any], where: str) -> tuple[TaskSpec, ...]:
    """Parse the sidecars of a task, which run where it runs and in its network. Raises JobError."""
    shared = {
        name: task[name]
        for name in ("network", "runtime", "kill_grace_s", "shutdown")
        if name in task
    }
    out: list[TaskSpec] = []
    for index, sidecar in enumerate(task.get("sidecars", ())):
        there = f"{where}.sidecars[{index}]"
        for name in ("ports", "gpus"):
            if sidecar.get("resources", {}).get(name):
                raise JobError(f"{there}.resources.{name}: the task has them, not its sidecars")
        out.append(_parse_task({**sidecar, **shared}, there, is_sidecar=True))
    _check_unique(f"{where}.sidecars", (task["name"], *(sidecar.name for sidecar in out)))
    return tuple(out)


def _parse_volumes(volumes: Any, where: str) -> tuple[VolumeSpec, ...]:
    out: list[VolumeSpec] = []
    for index, volume in enumerate(volumes):
        there = f"{where}.volumes[{index}]"
        try:
            size = _milli("size", volume["size"])
        except ResourceError as error:
            raise JobError(f"{there}: {error}") from error
        if not size:
            raise JobError(f"{there}.size: a volume needs some disk")
        if ".." in volume["path"].split("/"):
            raise JobError(f"{there}.path: {checks.shown(volume['path'])} leads elsewhere")
        may_be_lost = volume.get("migrate") == LOSE_DATA
        out.append(VolumeSpec(volume["name"], volume["path"], size, may_be_lost))
    if len({volume.may_be_lost for volume in out}) > 1:
        kept = next(volume.name for volume in out if not volume.may_be_lost)
        raise JobError(
            f"{where}.volumes: a task begins elsewhere without any of its volumes, or waits for"
            f" all: say `migrate: {LOSE_DATA}` of {kept}, too, or of none"
        )
    _check_unique(f"{where}.volumes", (volume.name for volume in out))
    return tuple(out)
