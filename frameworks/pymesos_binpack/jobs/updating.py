"""What a job file says of how its instances are replaced, as rules for rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymesos_binpack.jobs.rollouts.rules import (
    DAEMON,
    HOST_PORTS,
    NONE,
    STOP_FIRST,
    Amount,
    OnFailure,
    Promote,
    UpdateRules,
)
from pymesos_binpack.specs import Job, TaskSpec

USUAL_DELAY_S = 15.0  # as the contract has it
MAX_WARNINGS = 20
_SECONDS = ("min_healthy_s", "healthy_deadline_s", "progress_deadline_s")


def rules_of(spec: TaskSpec) -> UpdateRules:
    """Return the rules of a task. Raises RulesError."""
    given = spec.update
    usual = _usual_rules(spec)
    said: dict[str, Any] = {key: float(given[key]) for key in _SECONDS if key in given}
    return UpdateRules(
        max_surge=_amount(given, "max_surge", usual.max_surge),
        max_unavailable=_amount(given, "max_unavailable", usual.max_unavailable),
        canary=_amount(given, "canary", NONE),
        canary_promote=Promote(given.get("canary_promote", Promote.MANUAL)),
        canary_serve=given.get("canary_serve", True),
        on_failure=OnFailure(given.get("on_failure", OnFailure.ROLLBACK)),
        stop_first=usual.stop_first,
        moves_first=usual.moves_first,
        of_agents=usual.of_agents,
        **said,
    )


def update_warnings(job: Job) -> list[str]:
    """Return the tasks of which no changed instance could become stable in time, as sentences."""
    out = []
    for spec in job.tasks:
        checks = (spec.container.health_check, spec.container.readiness_check)
        delays = [float(check.get("delay_s", USUAL_DELAY_S)) for check in checks if check]
        rules = rules_of(spec)
        least_s = max(delays, default=0.0) + rules.min_healthy_s
        if spec.is_service and least_s >= rules.healthy_deadline_s:
            out.append(
                f"{spec.name}: a changed instance is stable {least_s:g} s after its start at the"
                f" earliest (delay_s of its check and min_healthy_s), and has failed after"
                f" {rules.healthy_deadline_s:g} s (healthy_deadline_s): let delay_s be less, or"
                f" healthy_deadline_s more"
            )
    return out[:MAX_WARNINGS]


def _usual_rules(spec: TaskSpec) -> UpdateRules:
    if spec.is_daemon:
        return DAEMON
    return STOP_FIRST if spec.volumes else HOST_PORTS if spec.host_ports else UpdateRules()


def _amount(given: Mapping[str, Any], key: str, usual: Amount) -> Amount:
    value = given.get(key)
    if value is None:
        return usual
    if not isinstance(value, str):
        return Amount(int(value))  # 1.0 is a whole number, too
    return Amount(int(value.removesuffix("%")), percent=value.endswith("%"))
