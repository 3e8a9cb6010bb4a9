"""Quotas, as Mesos' operators set them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_master.mesos.operators.reading import REGISTERED, Reading
from pymesos_master.mesos.operators.showing import has_quota
from pymesos_master.mesos.rules import quotas as rules
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2

Call = mesos_master.Call
OK = 200


async def update_quotas(reading: Reading, said: Call.UpdateQuota) -> int:
    """Give roles quotas, all of them or none. Raises RefusalError, RequestError."""
    for config in said.quota_configs:
        if (problem := rules.config_problem(config)) is not None:
            raise bad_request(f"Invalid QuotaConfig: {problem}")
    wanted = {
        config.role: {name: one.value for name, one in config.guarantees.items()}
        for config in said.quota_configs
    }
    if not said.force and (problem := _overcommit(reading, wanted)) is not None:
        raise bad_request(
            f"Invalid QuotaConfig: total quota guarantees {problem} (use 'force' flag to bypass"
            f" this check)"
        )
    quotas = [
        (
            config.role,
            types_pb2.Quota(guarantees=_scalars(config.guarantees), limits=_scalars(config.limits)),
        )
        for config in said.quota_configs
    ]
    if quotas:
        with _in_words("Invalid QuotaConfig: "):
            await reading.leader.commands.set_quotas(reading.caller, quotas, force=said.force)
    return OK


async def set_quota(reading: Reading, said: mesos_master.QuotaRequest) -> int:
    """In this older call what is guaranteed is the limit, too."""
    problem = "Failed to validate set quota request: "
    if (wrong := rules.request_problem(said)) is not None:
        raise bad_request(f"{problem}{wrong}")
    if any(view.role == said.role and has_quota(view) for view in reading.roles()):
        known = f"Cannot set quota for role '{said.role}' which already has quota"
        raise bad_request(f"{problem}{known}")
    wanted = {said.role: {one.name: one.scalar.value for one in said.guarantee}}
    if not said.force and (too_much := _overcommit(reading, wanted)) is not None:
        raise RefusalError(
            409,
            f"Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total"
            f" quota guarantees {too_much}",
        )
    amounts = [types_pb2.Resource(name=one.name, scalar=one.scalar.value) for one in said.guarantee]
    quota = types_pb2.Quota(guarantees=amounts, limits=amounts)
    with _in_words(problem):
        await reading.leader.commands.set_quota(reading.caller, said.role, quota, force=said.force)
    return OK


async def remove_quota(reading: Reading, role: str, path: str = "") -> int:
    """Take a role's quota away, by the call or its older path.

    Raises RefusalError, RequestError.
    """
    if path and not role:
        found = path.count("/")
        raise bad_request(
            f"Failed to parse remove quota request for path '{path}': expected 3 tokens, found"
            f" {found} tokens"
        )
    if not any(view.role == role and has_quota(view) for view in reading.roles()):
        by = f" for path '{path}'" if path else ""
        raise bad_request(f"Failed to remove quota{by}: Role '{role}' has no quota set")
    await reading.leader.commands.set_quota(reading.caller, role, types_pb2.Quota())
    return OK


def _overcommit(reading: Reading, wanted: Mapping[str, rules.Quantities]) -> str | None:
    """How guarantees would exceed what agents have, with those that are there; or None."""
    quotas = {
        view.role: {one.name: one.scalar for one in view.quota.guarantees}
        for view in reading.roles()
        if has_quota(view)
    }
    there = [  # all of it, also what is reserved for roles that who asks may not see
        {
            one.name: one.scalar
            for one in agent.info.resources
            if one.WhichOneof("value") == "scalar" and not one.revocable
        }
        for agent in reading.leader.core.state.agents.values()
        if agent.state_name in REGISTERED
    ]
    return rules.overcommit({**quotas, **wanted}, there)


@contextmanager
def _in_words(before: str) -> Iterator[None]:
    """Have a refusal of what is invalid begin so."""
    try:
        yield
    except RequestError as error:
        if error.problem.kind is not ProblemKind.INVALID:
            raise
        raise bad_request(f"{before}{error.problem.message}") from None


def _scalars(amounts: Mapping[str, mesos.Value.Scalar]) -> list[types_pb2.Resource]:
    return [
        types_pb2.Resource(name=name, scalar=one.value) for name, one in sorted(amounts.items())
    ]
