"""What a person can do with the CLI can be done by HTTP: each command has routes, or a reason."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pymesos_cli.main import main
from pymesos_master.http.answering import ALL

OF_FILES = "it is about files of this machine, and asks no cluster"
OF_CONTEXTS = "contexts are files of who uses the CLI"
OF_REPOSITORIES = "repositories, and the keys that are trusted, are of who uses the CLI"
NOT_YET = "there is no route yet"  # which is a gap, and no reason

# What each command does, by HTTP; or a sentence that says why it does nothing there.
BY_HTTP: dict[str, str | tuple[str, ...]] = {
    "accounting": ("GET /v1/accounting",),
    "activate": ("POST /v1/agents/activate",),
    "agents": ("GET /v1/agents",),
    "variables history": ("GET /v1/variables/history",),
    "variables list": ("GET /v1/variables",),
    "variables remove": ("POST /v1/variables/remove",),
    "variables set": ("POST /v1/variables/set",),
    "alerts list": ("GET /v1/alerts", "GET /v1/cluster-alerts"),
    "alerts receivers": ("GET /v1/alerts", "GET /v1/cluster-alerts"),
    "alerts silence": ("POST /v1/alerts/silence", "POST /v1/cluster-alerts/silence"),
    "alerts test": ("POST /v1/alerts/test", "POST /v1/cluster-alerts/test"),
    "apply": ("POST /v1/jobs/apply", "POST /v1/whatif"),
    "attach": NOT_YET,
    "audit": ("GET /v1/audit",),
    "backup": "it makes a file of many calls, and HTTP answers no secret, sealed or not",
    "can": ("GET /v1/can",),
    "cat": ("GET /v1/tasks/{task_id}/file",),
    "cluster init": OF_FILES,
    "cluster issue": OF_FILES,
    "cluster join": "who joins has no certificate yet, and asks at the port for that",
    "cluster revoke": ("POST /v1/revocations/revoke",),
    "cluster revoked": ("GET /v1/revocations",),
    "cluster secrets-key": OF_FILES,
    "cluster show": OF_FILES,
    "cluster token": ("POST /v1/join-tokens/make",),
    "cluster tokens": ("GET /v1/join-tokens", "POST /v1/join-tokens/remove"),
    "completion": "it is for the shell of who uses the CLI",
    "context add": OF_CONTEXTS,
    "context list": OF_CONTEXTS,
    "context remove": OF_CONTEXTS,
    "context show": OF_CONTEXTS,
    "context use": OF_CONTEXTS,
    "cordon": ("POST /v1/agents/cordon",),
    "cp": ("GET /v1/tasks/{task_id}/files", "GET /v1/tasks/{task_id}/file"),
    "describe": ("GET /v1/jobs/{job}", "GET /v1/jobs/{job}/document"),
    "drain": ("POST /v1/agents/drain", "GET /v1/drains"),
    "events": ("GET /v1/events",),
    "exec": ("GET /v1/tasks/{task_id}/exec",),
    "explain framework": ("GET /v1/frameworks/{framework_id}/explain",),
    "explain task": ("GET /v1/tasks/{task_id}/placement", "GET /v1/jobs/{job}/instances"),
    "frameworks": ("GET /v1/frameworks",),
    "gone": ("POST /v1/agents/gone",),
    "history": ("GET /v1/jobs/{job}/versions", "GET /v1/jobs/{job}/document"),
    "jobs": ("GET /v1/jobs",),
    "kill": ("POST /v1/tasks/kill",),
    "leader": ("GET /v1/leader",),
    "local": "it starts a cluster, and there is none to ask yet",
    "logs": ("GET /v1/tasks/{task_id}/logs",),
    "ls": ("GET /v1/tasks/{task_id}/files",),
    "maintenance cancel": ("POST /v1/maintenance/cancel",),
    "maintenance list": ("GET /v1/maintenance",),
    "maintenance schedule": ("POST /v1/maintenance/schedule",),
    "migrate check": "it asks a master of Mesos, and no cluster of ours",
    "offers": ("GET /v1/offers",),
    "package install": ("POST /v1/jobs/apply",),
    "package list": ("GET /v1/jobs",),
    "package remove": ("POST /v1/jobs/stop",),
    "package repository add": OF_REPOSITORIES,
    "package repository list": OF_REPOSITORIES,
    "package repository remove": OF_REPOSITORIES,
    "package search": OF_REPOSITORIES,
    "package show": OF_REPOSITORIES,
    "package update": ("GET /v1/jobs/{job}/document", "POST /v1/jobs/apply"),
    "policy check": OF_FILES,
    "policy set": ("POST /v1/policy/set",),
    "policy show": ("GET /v1/policy",),
    "quarantine list": ("GET /v1/quarantine", "GET /v1/quarantined-jobs"),
    "quarantine release": ("POST /v1/quarantine/release", "POST /v1/quarantined-jobs/release"),
    "quarantine show": ("GET /v1/quarantine", "GET /v1/quarantined-jobs"),
    "quota remove": ("POST /v1/quota/remove",),
    "quota set": ("POST /v1/quota/set",),
    "reserve": ("POST /v1/reservations/reserve",),
    "restart": ("POST /v1/jobs/restart",),
    "restore": "it makes many calls of a file, and sealed secrets are for gRPC alone",
    "roles": ("GET /v1/roles", "GET /v1/quota", "GET /v1/weights"),
    "rollback": ("POST /v1/jobs/rollback",),
    "rollout abort": ("POST /v1/jobs/abort",),
    "rollout pause": ("POST /v1/jobs/pause",),
    "rollout promote": ("POST /v1/jobs/promote",),
    "rollout resume": ("POST /v1/jobs/resume",),
    "rollout status": ("GET /v1/jobs/{job}",),
    "run": ("POST /v1/jobs/submit", "GET /v1/jobs/{job}"),
    "scale": ("POST /v1/jobs/scale",),
    "secret list": ("GET /v1/secrets",),
    "secret remove": ("POST /v1/secrets/remove",),
    "secret set": ("POST /v1/secrets/set",),
    "stats": ("GET /v1/tasks/{task_id}/usage",),
    "stop": ("POST /v1/jobs/stop",),
    "tasks": ("GET /v1/tasks",),
    "teardown": ("POST /v1/frameworks/teardown",),
    "token list": ("GET /v1/access-tokens",),
    "token make": ("POST /v1/access-tokens/make",),
    "token revoke": ("POST /v1/access-tokens/revoke",),
    "top": ("GET /v1/agents",),
    "trigger": ("POST /v1/jobs/trigger",),
    "unreserve": ("POST /v1/reservations/unreserve", "GET /v1/reservations"),
    "volumes list": ("GET /v1/volumes",),
    "volumes remove": ("POST /v1/volumes/forget", "POST /v1/reservations/unreserve"),
    "watch": NOT_YET,
    "web": ("POST /v1/access-tokens/make", "POST /v1/sign-in", "POST /v1/sign-out"),
    "webhook add": ("POST /v1/webhooks/set",),
    "webhook list": ("GET /v1/webhooks",),
    "webhook remove": ("POST /v1/webhooks/remove",),
    "webhook test": ("POST /v1/webhooks/test",),
    "weights": ("POST /v1/weights/set",),
    "whatif": OF_FILES,
    "whoami": ("GET /v1/whoami",),
}
# For programs and pages, which have no command.
OF_NO_COMMAND = {"GET /health", "GET /v1/sd", "GET /v1/overview", "GET /v1/agents/map"}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command below one, as it is typed."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from commands(inner, (*path, name))


def test_every_command_has_its_routes_or_a_reason() -> None:
    there = set(commands(main))
    assert there - BY_HTTP.keys() == set(), "say in BY_HTTP what does the same by HTTP"
    assert BY_HTTP.keys() - there == set(), "there is no such command any more"


def test_every_route_is_that_of_a_command() -> None:
    routes = {f"{route.method} {route.path}" for route in ALL}
    named = {one for of in BY_HTTP.values() if isinstance(of, tuple) for one in of}
    assert named - routes == set(), "there is no such route"
    assert routes >= OF_NO_COMMAND
    unnamed = routes - named - OF_NO_COMMAND
    assert unnamed == set(), "say in BY_HTTP which commands do the same, in place of NOT_YET"
