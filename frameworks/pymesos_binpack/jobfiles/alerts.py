"""Alerts of a task: what the schema cannot say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymesos_binpack.specs import AlertRule, JobError, When

# A batch task ends by itself: that fewer of it run is no trouble.
OF_SERVICES = (When.BELOW, When.CRASH_LOOP, When.ROLLOUT_FAILED, When.DRAIN_BLOCKED)


def alert_rules(task: Mapping[str, Any], where: str) -> tuple[AlertRule, ...]:
    """Return the alerts that a task asks for. Raises JobError."""
    out: list[AlertRule] = []
    for index, given in enumerate(task.get("alerts", ())):
        rule = _rule(given)
        if problem := _problem(rule, given, task):
            raise JobError(f"{where}.alerts[{index}].{problem}")
        if any((rule.when, rule.to) == (other.when, other.to) for other in out):
            raise JobError(
                f"{where}.alerts[{index}]: {rule.to} is told of {rule.when} already: say it once"
            )
        out.append(rule)
    return tuple(out)


def _rule(given: Mapping[str, Any]) -> AlertRule:
    usual = AlertRule(When(given["when"]), given["to"])
    below = given.get("below", "100%")
    is_share = isinstance(below, str) and below.endswith("%")
    # 1.0 is a whole number, too.
    number = int(below.removesuffix("%") if isinstance(below, str) else below)
    return AlertRule(usual.when, usual.to, float(given.get("for_s", usual.for_s)), number, is_share)


def _problem(rule: AlertRule, given: Mapping[str, Any], task: Mapping[str, Any]) -> str | None:
    if rule.when in OF_SERVICES and task.get("kind") not in ("service", "daemon"):
        return f"when: {rule.when} is of services: let the kind be service, or leave it out"
    if rule.when is When.UNHEALTHY and "health_check" not in task:
        return "when: the task has no health_check by which it would be unhealthy: give it one"
    if "below" in given and rule.when is not When.BELOW:
        return f"below: it is of the alert below, and this one is {rule.when}: leave it out"
    if rule.when is When.BELOW and not rule.below:
        return "below: there are never fewer than none: let it be more"
    is_daemon = task.get("kind") == "daemon"
    if not (rule.is_share or is_daemon) and rule.below > task.get("instances", 1):
        return (
            f"below: the task has {task.get('instances', 1)} instances, which is always below"
            f" {rule.below}: let it be as many at most, or a share like 80%"
        )
    return None
