"""What each call needs: a verb, and what that is done to. What is not listed is denied.

A call is named as the contract has it: `Operator.KillTask` is a method of a service, `Call.accept`
and `Operation.launch` are what the messages of a stream may be. Who may call a service at all is in
`gate.CALLERS`; cores and queries decide the rest, by the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pymesos_core.security.policy import Verb


class Object(Enum):
    """What a verb is done to."""

    ROLE = "the role that is named, or of what is named"
    ROLES = "every role of what is named"
    SOME = "any role: what is listed is of the roles in which the caller may"
    CLUSTER = "the cluster"
    OWN = "what is the caller's own"  # the kind of its certificate is enough


@dataclass(frozen=True, slots=True)
class Need:
    """What a call needs."""

    verb: Verb | None  # None: nothing more than the kind of certificate
    of: Object


OWN = Need(None, Object.OWN)
_SUBSCRIBED = Need(Verb.SUBSCRIBE, Object.ROLES)  # of what is the framework's own
_READ = Need(Verb.READ, Object.SOME)
_READ_JOBS = Need(Verb.READ, Object.ROLE)
_LAUNCH = Need(Verb.LAUNCH, Object.ROLE)
_RESERVE = Need(Verb.RESERVE, Object.ROLE)
_AGENTS = Need(Verb.AGENTS, Object.CLUSTER)
_POLICY = Need(Verb.POLICY, Object.CLUSTER)
_FILES = Need(Verb.FILES, Object.ROLE)
_SUBMIT = Need(Verb.SUBMIT, Object.ROLE)
_SECRETS = Need(Verb.SECRETS, Object.ROLE)
_STOP = Need(Verb.STOP, Object.ROLE)

NEEDS: Mapping[str, Need] = {
    # Operators, of a master.
    "Operator.GetLeader": OWN,
    "Operator.GetHealth": OWN,
    "Operator.WhoAmI": OWN,
    "Operator.Can": OWN,  # of somebody else it needs `policy`
    "Operator.ListAgents": _READ,
    "Operator.ListFrameworks": _READ,
    "Operator.ListTasks": _READ,
    "Operator.ListOffers": _READ,
    "Operator.ListRoles": _READ,
    "Operator.GetAccounting": _READ,
    "Operator.GetOverview": _READ,
    "Operator.WatchEvents": _READ,
    "Operator.ExplainFramework": _READ,
    "Operator.KillTask": Need(Verb.KILL, Object.ROLE),
    "Operator.TeardownFramework": Need(Verb.TEARDOWN, Object.ROLES),
    "Operator.SetQuota": Need(Verb.QUOTA, Object.ROLE),
    "Operator.SetWeight": Need(Verb.QUOTA, Object.ROLE),
    "Operator.Reserve": _RESERVE,
    "Operator.Unreserve": _RESERVE,
    "Operator.MarkAgentGone": _AGENTS,
    "Operator.CordonAgents": _AGENTS,
    "Operator.DrainAgents": _AGENTS,
    "Operator.ActivateAgents": _AGENTS,
    "Operator.ScheduleMaintenance": _AGENTS,
    "Operator.CancelMaintenance": _AGENTS,
    "Operator.ListQuarantinedRecords": _AGENTS,
    "Operator.ReleaseQuarantinedRecord": _AGENTS,
    "Operator.GetPolicy": _POLICY,
    "Operator.SetPolicy": _POLICY,
    "Operator.ReadAudit": Need(Verb.AUDIT, Object.CLUSTER),
    # Whoever lets others in, as whomever, could have all that they may.
    "Operator.MakeToken": _POLICY,
    "Operator.ListTokens": _POLICY,
    "Operator.RemoveToken": _POLICY,
    # Whoever asks has those of its own; others' need `policy`.
    "Operator.MakeAccessToken": OWN,
    "Operator.ListAccessTokens": OWN,
    "Operator.RevokeAccessToken": OWN,
    "Operator.SignIn": OWN,  # of whoever has a code
    "Operator.Revoke": _POLICY,
    "Operator.ListRevocations": _POLICY,
    # Whoever has events sent elsewhere lets others read what he may.
    "Operator.SetWebhook": _POLICY,  # and `secrets` in the role of the secret that signs
    "Operator.ListWebhooks": _POLICY,
    "Operator.RemoveWebhook": _POLICY,
    "Operator.TestWebhook": _POLICY,
    # What they are of is of the whole cluster, as agents are.
    "Operator.ListClusterAlerts": _AGENTS,
    "Operator.SilenceClusterAlerts": _AGENTS,
    "Operator.TestClusterReceiver": _AGENTS,
    "Operator.SetSecret": _SECRETS,
    "Operator.RemoveSecret": _SECRETS,
    "Operator.ListSecrets": Need(Verb.SECRETS, Object.SOME),
    "Operator.ListSealedSecrets": _POLICY,  # and `read` and `secrets` in every role
    "Operator.RestoreSecret": _POLICY,  # and `secrets` in its role
    # Masters, of each other.
    "Masters.ReadAudit": OWN,
    "Masters.FindAccessToken": OWN,
    "Masters.ReportHealth": OWN,
    "Masters.Relay": OWN,  # what is relayed is decided as if its caller had called the leader
    "Masters.RelayStream": OWN,  # the same
    # Masters, of a framework that serves jobs.
    "RelayedJobs.Relay": OWN,  # the same, as if its caller had called the framework
    # Resolvers are told all names; operators those of the roles that they may read.
    "Names.Follow": _READ,
    # Who joins, and whoever renews.
    "Enrolment.Join": OWN,
    "Certificates.Renew": OWN,
    # Operators, of a framework that serves jobs.
    "Jobs.SubmitJob": _SUBMIT,
    "Jobs.ApplyJob": _SUBMIT,
    "Jobs.RestoreJob": _POLICY,  # and `submit`: it says who made which version, and when
    "Jobs.ScaleJob": _SUBMIT,
    "Jobs.RestartJob": _SUBMIT,
    "Jobs.TriggerJob": _SUBMIT,
    "Jobs.RollbackJob": _SUBMIT,
    "Jobs.PauseRollout": _SUBMIT,
    "Jobs.ResumeRollout": _SUBMIT,
    "Jobs.PromoteRollout": _SUBMIT,
    "Jobs.AbortRollout": _SUBMIT,
    "Jobs.ListVersions": _READ_JOBS,  # what is in environments needs `read-env`, too
    "Jobs.DescribeJob": _READ_JOBS,  # the same
    "Jobs.ListJobs": _READ,
    "Jobs.ListInstances": _READ_JOBS,
    "Jobs.WatchJob": _READ_JOBS,
    "Jobs.ExplainPlacement": _READ_JOBS,
    "Jobs.ListQuarantined": _READ,  # the document of one needs `read-env`, too
    "Jobs.ListVolumes": _READ,
    "Jobs.StopJob": _STOP,
    "Jobs.ReleaseQuarantined": _STOP,
    "Jobs.ForgetVolume": _STOP,
    "Jobs.ListAlerts": _READ,
    "Jobs.SilenceAlerts": _SUBMIT,
    "Jobs.ListVariables": _READ,  # their values need `read-env`, too
    "Jobs.GetVariable": _READ_JOBS,  # the same
    "Jobs.SetVariable": _SUBMIT,
    "Jobs.RemoveVariable": _SUBMIT,
    "Jobs.TestReceiver": Need(Verb.SUBMIT, Object.SOME),
    "Jobs.ReadAudit": Need(Verb.AUDIT, Object.CLUSTER),
    # Operators, of tasks; through the master.
    "Sandbox.ListFiles": _FILES,
    "Sandbox.ReadFile": _FILES,
    "Sandbox.FollowFile": _FILES,
    "Sandbox.ReadLog": Need(Verb.LOGS, Object.ROLE),
    "Sandbox.GetUsage": _READ_JOBS,
    "Sandbox.Exec": Need(Verb.EXEC, Object.ROLE),
    # Masters, of an agent: what is passed on is decided by the needs of Sandbox.
    "AgentHttp.Connect": OWN,
    # Frameworks: the stream, each call on it, and what is done to offers.
    "Scheduler.Connect": _SUBSCRIBED,
    "Call.subscribe": _SUBSCRIBED,
    "Call.teardown": _SUBSCRIBED,
    "Call.accept": _SUBSCRIBED,
    "Call.decline": _SUBSCRIBED,
    "Call.revive": _SUBSCRIBED,
    "Call.suppress": _SUBSCRIBED,
    "Call.kill": _SUBSCRIBED,
    "Call.acknowledge": _SUBSCRIBED,
    "Call.reconcile": _SUBSCRIBED,
    "Call.message": _SUBSCRIBED,
    "Call.shutdown": _SUBSCRIBED,
    "Call.accept_inverse_offers": _SUBSCRIBED,
    "Call.decline_inverse_offers": _SUBSCRIBED,
    "Call.update_framework": _SUBSCRIBED,
    "Call.publish": _SUBSCRIBED,  # of its own tasks, by the roles that they were launched in
    "Operation.launch": _LAUNCH,
    "Operation.launch_group": _LAUNCH,
    "Operation.reserve": _RESERVE,
    "Operation.unreserve": _RESERVE,
    "Operation.create": _RESERVE,
    "Operation.destroy": _RESERVE,
    "Operation.grow_volume": _RESERVE,
    "Operation.shrink_volume": _RESERVE,
    # Agents speak of themselves and of their tasks.
    "Agent.Connect": OWN,
    "AgentMessage.register": OWN,
    "AgentMessage.more_tasks": OWN,
    "AgentMessage.pong": OWN,
    "AgentMessage.update": OWN,
    "AgentMessage.usage": OWN,
    "AgentMessage.executor_message": OWN,
    "AgentMessage.executor_exited": OWN,
    "AgentMessage.ended_tasks": OWN,
    "AgentMessage.leaving": OWN,
    "AgentMessage.secrets_wanted": OWN,
    "AgentMessage.slack": OWN,
    # Executors, of their agent.
    "Executor.Connect": OWN,
    "ExecutorCall.subscribe": OWN,
    "ExecutorCall.update": OWN,
    "ExecutorCall.message": OWN,
    "ExecutorCall.more_tasks": OWN,
}


def need_of_path(path: str) -> Need | None:
    """What the method of that path needs, as in /pymesos.v1.Operator/KillTask; None: denied."""
    return NEEDS.get(call_of_path(path))


def call_of_path(path: str) -> str:
    """The name of the method of that path in NEEDS, if it is there."""
    service, _, method = path.lstrip("/").rpartition("/")
    return f"{service.rpartition('.')[2]}.{method}"
