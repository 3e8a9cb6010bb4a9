"""Periodic tasks as a job file has them: when they run, and with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymesos_binpack.periodic.rules import (
    ArgsError,
    Overlap,
    Parameter,
    PeriodicRules,
    Type,
    args_of,
    value_problem,
)
from pymesos_binpack.periodic.times import ScheduleError, check_schedule
from pymesos_binpack.specs import JobError

OF_PERIODIC = ("schedule", "time_zone", "overlap", "start_deadline_s", "keep", "parameters")


def periodic_rules(task: Mapping[str, Any], where: str) -> PeriodicRules | None:
    """Return when a task runs; None of other kinds. Raises JobError."""
    if task.get("kind") != "periodic":
        for key in OF_PERIODIC:
            if task.get(key):
                raise JobError(f"{where}.{key}: it is of periodic tasks: let the kind be that")
        return None
    usual = PeriodicRules()
    rules = PeriodicRules(
        task.get("schedule", ""),
        task.get("time_zone", usual.time_zone),
        Overlap(task.get("overlap", usual.overlap)),
        float(task.get("start_deadline_s", usual.start_deadline_s)),
        task.get("keep", usual.keep),
        tuple(
            _parameter(each, f"{where}.parameters[{index}]")
            for index, each in enumerate(task.get("parameters", ()))
        ),
    )
    names = [parameter.name for parameter in rules.parameters]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise JobError(f"{where}.parameters: the name {twice} is given twice")
    if both := next((name for name in names if name in task.get("env", {})), None):
        raise JobError(f"{where}.parameters: {both} is in env, too: leave it out of one of them")
    if not rules.schedule:
        return rules
    try:
        check_schedule(rules.schedule, rules.time_zone)
        args_of(rules, {})
    except ScheduleError as error:
        raise JobError(f"{where}.{error}") from error
    except ArgsError as error:
        lacking = next(p.name for p in rules.parameters if p.default is None)
        raise JobError(
            f"{where}.parameters: {lacking} needs a default, which runs by the schedule are given"
        ) from error
    return rules


def _parameter(given: Mapping[str, Any], where: str) -> Parameter:
    value = given.get("default")
    if isinstance(value, bool):
        value = "true" if value else "false"
    type_ = Type(given.get("type", "text"))
    if type_ is Type.INTEGER and isinstance(value, float) and value.is_integer():
        value = int(value)  # as generators of JSON write it
    made = Parameter(given["name"], type_, None if value is None else str(value))
    if made.name.startswith("PYMESOS_"):
        raise JobError(f"{where}.name: names that begin with PYMESOS_ are the agents' own")
    if made.default is not None and (problem := value_problem(made, made.default)):
        raise JobError(f"{where}.default: {problem}")
    return made
