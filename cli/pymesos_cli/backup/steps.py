"""What a restore would do, step by step: each thing of a backup held against what is there."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial

from pymesos_cli.backup.gathering import plainly_reserved
from pymesos_cli.backup.records import Backup
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_core.reservations import retagged
from pymesos_core.resource_tags import Tag
from pymesos_core.resource_values import format_milli, to_milli
from pymesos_core.resources import Resources, from_proto, tagged, to_proto, total
from pymesos_core.security.secrets import Keyring, OpeningError, Sealed
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


class Kind(StrEnum):
    """What a thing of a backup is, as the summary of a restore counts it."""

    POLICY = "policy"
    REVOCATIONS = "revocations"
    WEIGHTS = "weights"
    QUOTAS = "quotas"
    SECRETS = "secrets"
    AGENTS = "agents"  # of which nothing is restored, as they are not here
    CORDONS = "cordons"
    MAINTENANCE = "maintenance windows"
    RESERVATIONS = "reservations"
    WEBHOOKS = "webhooks"
    SILENCES = "silences"
    VARIABLES = "variables"
    JOBS = "jobs"


class Found(StrEnum):
    """How something of a backup is in the cluster."""

    MISSING = "missing"  # it is added
    SAME = "the same"
    DIFFERS = "differs"  # it is replaced on demand only
    LEFT_OUT = "left out"  # it has no place here
    STUCK = "cannot be"  # it is in the way of the rest, unless that is restored without it


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing of a backup, how it is in the cluster, and what makes it as in the backup."""

    kind: Kind
    what: str
    found: Found
    why: str = ""
    do: Callable[[], Awaitable[object]] | None = None
    keeps_out: bool = False  # somebody, who else would have what the steps after it restore


async def steps_of(cluster: Cluster, backup: Backup, keyring: Keyring | None) -> list[Step]:
    """Return the steps, in the order in which they are done, but for those of jobs.

    The policy and who is revoked come first, so that nobody gets at the rest who is kept out.
    Raises CliError.
    """
    return [
        *await _of_policy(cluster, backup.policy),
        *await _of_revocations(cluster, backup.revoked),
        *await _of_roles(cluster, backup.roles),
        *await _of_secrets(cluster, backup, keyring),
        *await _of_agents(cluster, backup.agents),
    ]


async def stuck_if_refused(kind: Kind, what: str, ask: Callable[[], Awaitable[Step]]) -> Step:
    """Return a step, or that it cannot be. Raises CliError when no master is reached."""
    try:
        return await ask()
    except CliError as error:
        if error.exit_code == EXIT_NO_MASTER:
            raise
        return Step(kind, what, Found.STUCK, error.format_message())


async def _of_policy(cluster: Cluster, document: str | None) -> Sequence[Step]:
    if document is None:
        return ()
    there = await cluster.call(lambda s, t: s.GetPolicy(pb.GetPolicyRequest(), timeout=t))
    request = pb.SetPolicyRequest(document=document, instead_of=there.version)

    async def do() -> None:
        await cluster.call(lambda s, t: s.SetPolicy(request, timeout=t))

    if there.document == document:
        return (Step(Kind.POLICY, "the policy", Found.SAME),)
    if not there.version:
        return (
            Step(
                Kind.POLICY, "the policy", Found.MISSING, "nobody has set one", do, keeps_out=True
            ),
        )
    by = f", set by {there.set_by}" if there.set_by else ""
    why = f"version {there.version} is there{by}"
    return (Step(Kind.POLICY, "the policy", Found.DIFFERS, why, do, keeps_out=True),)


async def _of_roles(cluster: Cluster, roles: Iterable[backup_pb.BackupRole]) -> list[Step]:
    views = await cluster.call(lambda s, t: s.ListRoles(pb.ListRolesRequest(), timeout=t))
    there = {view.role: view for view in views.roles}
    steps: list[Step] = []
    for role in sorted(roles, key=lambda role: role.role):
        view = there.get(role.role, pb.RoleView(role=role.role, weight=1))
        if role.weight != 1 or view.weight != 1:
            steps.append(_of_weight(cluster, role, view.weight))
        if role.HasField("quota"):
            steps.append(_of_quota(cluster, role, view.quota))
    return steps


def _of_weight(cluster: Cluster, role: backup_pb.BackupRole, there: float) -> Step:
    request = pb.SetWeightRequest(role=role.role, weight=role.weight, instead_of=there)

    async def do() -> None:
        await cluster.call(lambda s, t: s.SetWeight(request, timeout=t))

    what = f"the weight of {role.role}, {_weight_said(role.weight)}"
    if there == role.weight:
        return Step(Kind.WEIGHTS, what, Found.SAME)
    if there == 1:
        return Step(Kind.WEIGHTS, what, Found.MISSING, do=do)
    return Step(Kind.WEIGHTS, what, Found.DIFFERS, f"it is {_weight_said(there)} here", do)


def _weight_said(weight: float) -> str:
    """In full, so that two that differ are not said to be the same."""
    return repr(weight).removesuffix(".0")


def _of_quota(cluster: Cluster, role: backup_pb.BackupRole, there: types_pb2.Quota) -> Step:
    # Agents may still be on their way, so that the cluster has less than is guaranteed.
    request = pb.SetQuotaRequest(role=role.role, quota=role.quota, force=True, instead_of=there)

    async def do() -> None:
        await cluster.call(lambda s, t: s.SetQuota(request, timeout=t))

    what = f"the quota of {role.role}, {_quota_said(role.quota)}"
    if _amounts_of(there) == _amounts_of(role.quota):
        return Step(Kind.QUOTAS, what, Found.SAME)
    if not (there.guarantees or there.limits):
        return Step(Kind.QUOTAS, what, Found.MISSING, do=do)
    return Step(Kind.QUOTAS, what, Found.DIFFERS, f"it is {_quota_said(there)} here", do)


def _amounts_of(quota: types_pb2.Quota) -> dict[tuple[str, str], int]:
    """How many thousandths are guaranteed or allowed of what; a limit of zero is one, too."""
    return {
        (what, message.name): to_milli(message.name, message.scalar)
        for what, of in (("guaranteed", quota.guarantees), ("at most", quota.limits))
        for message in sorted(of, key=lambda message: message.name)
    }


def _quota_said(quota: types_pb2.Quota) -> str:
    amounts = _amounts_of(quota).items()
    return ", ".join(f"{what} {name} {format_milli(milli)}" for (what, name), milli in amounts)


async def _of_secrets(cluster: Cluster, backup: Backup, keyring: Keyring | None) -> list[Step]:
    return [
        await stuck_if_refused(
            Kind.SECRETS, _secret_said(each), partial(_of_secret, cluster, each, keyring)
        )
        for each in backup.secrets
    ]


def _secret_said(secret: pb.SealedSecret) -> str:
    return f"the secret {secret.name} of {secret.role}"


async def _of_secret(cluster: Cluster, secret: pb.SealedSecret, keyring: Keyring | None) -> Step:
    """Raises CliError, as where nobody has the key."""
    request = pb.RestoreSecretRequest(secret=secret, dry_run=True)
    if keyring is not None and keyring.has(secret.key_id):
        sealed = Sealed(secret.key_id, secret.nonce, secret.sealed)
        try:
            request.value = keyring.open(secret.role, secret.name, sealed)
        except OpeningError as error:
            raise CliError(str(error)) from None
    answer = await cluster.call(lambda s, t: s.RestoreSecret(request, timeout=t))

    async def do() -> None:
        wet = pb.RestoreSecretRequest()
        wet.CopyFrom(request)
        wet.dry_run, wet.replace = False, found is Found.DIFFERS
        wet.instead_of = answer.version  # which is what was shown, and no newer one
        done = await cluster.call(lambda s, t: s.RestoreSecret(wet, timeout=t))
        if done.outcome == pb.RestoreSecretResponse.DIFFERS:
            raise CliError(
                "somebody has set another value meanwhile: restore again, which shows it"
            )

    found = _SECRET_FOUND[answer.outcome]
    why = "another value is set here" if found is Found.DIFFERS else ""
    return Step(Kind.SECRETS, _secret_said(secret), found, why, do)


_SECRET_FOUND = {
    pb.RestoreSecretResponse.ADDED: Found.MISSING,
    pb.RestoreSecretResponse.SAME: Found.SAME,
    pb.RestoreSecretResponse.DIFFERS: Found.DIFFERS,
}


async def _of_agents(cluster: Cluster, agents: Sequence[backup_pb.BackupAgent]) -> list[Step]:
    views = [view for view in await cluster.agents() if view.state != "gone"]
    here = _same_agents(agents, views)
    steps: list[Step] = []
    for agent in agents:
        view = here.get(agent.agent_id)
        if view is None:
            what = f"what was decided of the agent {agent.agent_id} ({agent.hostname})"
            why = "there is none of that id here, nor exactly one of that host name"
            steps.append(Step(Kind.AGENTS, what, Found.LEFT_OUT, why))
            continue
        if agent.cordoned:
            steps.append(_of_cordon(cluster, view))
        if agent.HasField("maintenance"):
            steps.append(_of_maintenance(cluster, view, agent.maintenance))
        steps += _of_reserved(cluster, view, from_proto(agent.reserved))
    return steps


def _same_agents(
    agents: Iterable[backup_pb.BackupAgent], views: Iterable[pb.AgentView]
) -> dict[str, pb.AgentView]:
    """By the id in the backup, the agent of that id, or else the only one of its host name."""
    by_id = {view.info.agent_id: view for view in views}
    named = defaultdict[str, list[pb.AgentView]](list)
    for view in by_id.values():
        named[view.info.address.hostname].append(view)
    times = Counter(agent.hostname for agent in agents)
    found: dict[str, pb.AgentView] = {}
    for agent in agents:
        same_name = named[agent.hostname] if times[agent.hostname] == 1 else []
        if agent.agent_id in by_id:
            found[agent.agent_id] = by_id[agent.agent_id]
        elif len(same_name) == 1:
            found[agent.agent_id] = same_name[0]
    return found


def _agent_said(view: pb.AgentView) -> str:
    return f"{view.info.agent_id} ({view.info.address.hostname})"


def _of_cordon(cluster: Cluster, view: pb.AgentView) -> Step:
    """Cordon it, also where it was drained: nothing is killed by a restore."""
    request = pb.CordonAgentsRequest(agent_ids=[view.info.agent_id])

    async def do() -> None:
        await cluster.call(lambda s, t: s.CordonAgents(request, timeout=t))

    what = f"the cordon of the agent {_agent_said(view)}"
    return (
        Step(Kind.CORDONS, what, Found.SAME)
        if view.drain.state
        else Step(Kind.CORDONS, what, Found.MISSING, do=do)
    )


def _of_maintenance(cluster: Cluster, view: pb.AgentView, window: types_pb2.Unavailability) -> Step:
    request = pb.ScheduleMaintenanceRequest(
        agent_ids=[view.info.agent_id],
        unavailability=window,
        instead_of=view.maintenance.unavailability,  # empty: none is planned
    )

    async def do() -> None:
        await cluster.call(lambda s, t: s.ScheduleMaintenance(request, timeout=t))

    what = f"the maintenance window of the agent {_agent_said(view)}"
    if not view.HasField("maintenance"):
        return Step(Kind.MAINTENANCE, what, Found.MISSING, do=do)
    if view.maintenance.unavailability == window:
        return Step(Kind.MAINTENANCE, what, Found.SAME)
    return Step(Kind.MAINTENANCE, what, Found.DIFFERS, "another is planned here", do)


def _of_reserved(cluster: Cluster, view: pb.AgentView, wanted: Resources) -> list[Step]:
    """What is reserved, role by role: what is there already is not reserved again."""
    # The disk of a volume was reserved before it became one, and counts as that.
    there = plainly_reserved(
        retagged(
            from_proto(view.total), lambda tag: dataclasses.replace(tag, volume=None, shared=False)
        )
    )
    steps: list[Step] = []
    for role in sorted({tag.role for tag in wanted.tagged}):
        of_role, has = _plain(wanted, role), _plain(there, role)
        missing = of_role.minus_what_is_there(has)
        what = f"{of_role}, reserved for {role} on the agent {_agent_said(view)}"
        if not missing:
            steps.append(Step(Kind.RESERVATIONS, what, Found.SAME))
            continue
        request = pb.ReserveRequest(
            agent_id=view.info.agent_id, role=role, resources=to_proto(missing)
        )
        steps.append(Step(Kind.RESERVATIONS, what, Found.MISSING, do=_reserving(cluster, request)))
    return steps


def _plain(bag: Resources, role: str) -> Resources:
    """What of it is reserved for a role, without the reservation; GPUs are of their device."""
    return total(
        tagged(Tag(device=tag.device), part) for tag, part in bag.parts() if tag.role == role
    )


def _reserving(cluster: Cluster, request: pb.ReserveRequest) -> Callable[[], Awaitable[object]]:
    async def do() -> None:
        await cluster.call(lambda s, t: s.Reserve(request, timeout=t))

    return do


async def _of_revocations(cluster: Cluster, names: Iterable[str]) -> list[Step]:
    request = pb.ListRevocationsRequest()
    seen = await cluster.call(lambda s, t: s.ListRevocations(request, timeout=t))
    there = {view.name for view in seen.revocations}

    def step(name: str) -> Step:
        async def do() -> None:
            request = pb.RevokeRequest(name=name)
            await cluster.call(lambda s, t: s.Revoke(request, timeout=t))

        what = f"the revocation of {name}"
        if name in there:
            return Step(Kind.REVOCATIONS, what, Found.SAME)
        return Step(Kind.REVOCATIONS, what, Found.MISSING, do=do, keeps_out=True)

    return [step(name) for name in names]
