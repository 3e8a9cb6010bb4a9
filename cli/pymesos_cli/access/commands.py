"""Commands on who may do what, who did, and secrets."""

from __future__ import annotations

from pathlib import Path

import click

from pymesos_cli import completing
from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import Lifetime, WholeRange

room = Room()


@room.group()
def policy() -> None:
    """Show, check and set what operators and frameworks may do: docs/security.md has the rules."""


@policy.command("show")
@json_option
@pass_settings
def show_policy(settings: Settings, as_json: bool) -> None:
    """Show the policy in force, and its version."""
    from pymesos_cli.access import policy as policies

    with_cluster(settings, lambda cluster: policies.show_policy(cluster, as_json=as_json))


@policy.command("check")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
def check_policy(file: str) -> None:
    """Say whether FILE is a policy, and if not, what is wrong in which line; - is stdin."""
    from pymesos_cli.access import policy as policies

    policies.check_policy(file)


@policy.command("set")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option(
    "--instead-of",
    type=WholeRange(0),
    required=True,
    metavar="VERSION",
    help="The version that it replaces, as `policy show` says; if another is there by now, nothing"
    " is set.",
)
@pass_settings
def set_policy(settings: Settings, file: str, instead_of: int) -> None:
    """Set the policy in FILE. It is in force everywhere when this has ended."""
    from pymesos_cli.access import policy as policies

    with_cluster(settings, lambda cluster: policies.set_policy(cluster, file, instead_of))


@room.command("can")
@click.argument("who", metavar="KIND/NAME")
@click.argument("verb")
@click.argument("role", default="", required=False, shell_complete=completing.roles)
@json_option
@pass_settings
def can(settings: Settings, who: str, verb: str, role: str, as_json: bool) -> None:
    """Say whether somebody may do something in a ROLE, and which rule says so.

    The exit status is 1 if not. `agents`, `policy` and `audit` are of the whole cluster, and need
    no ROLE.
    """
    from pymesos_cli.access import policy as policies

    with_cluster(settings, lambda cluster: policies.can(cluster, who, verb, role, as_json=as_json))


@room.command("whoami")
@json_option
@pass_settings
def whoami(settings: Settings, as_json: bool) -> None:
    """Say who you are to the cluster, by your certificate, and which rules name you."""
    from pymesos_cli.access import policy as policies

    with_cluster(settings, lambda cluster: policies.who_am_i(cluster, as_json=as_json))


@room.command("audit")
@click.option("--since", type=Lifetime(), metavar="TIME", help="Only of the last 90s, 30m, 1h, 7d.")
@click.option(
    "--who", default="", metavar="KIND/NAME", help="Only of this principal; * is anything."
)
@click.option("--verb", default="", help="Only of this verb, as in the policy.")
@click.option("--denied", is_flag=True, help="Only what was denied.")
@json_option
@pass_settings
def audit(
    settings: Settings, since: float | None, who: str, verb: str, denied: bool, as_json: bool
) -> None:
    """Show who changed what, and what was denied: as the masters, and frameworks of jobs, wrote it.

    With --json each line is as it is in the file, with its `source`. The exit status is 1 if one of
    them was not reached.
    """
    from pymesos_cli.access import audit as audits

    wanted = audits.Wanted(since, who, verb, denied)
    with_cluster(settings, lambda cluster: audits.show_audit(cluster, wanted, as_json=as_json))


@room.group("token")
def token() -> None:
    """Make access tokens, by which programs ask a master by HTTP as you; list and revoke them.

    \b
    (umask 077; pymesos-cli token make --right read:prod/** --ttl 8h > token)
    curl --cacert roots.pem -H "Authorization: Bearer $(cat token)" \\
      --resolve master.CLUSTER.pymesos:5080:ADDRESS https://master.CLUSTER.pymesos:5080/v1/tasks

    The master's certificate names master.CLUSTER.pymesos, at whatever ADDRESS it is.
    `cluster token` makes those with which agents and others join.
    """


@token.command("make")
@click.option(
    "--ttl",
    type=Lifetime(),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long it is good: 30m, 1h, 7d; at most 30d, with --scrape 365d.",
)
@click.option(
    "--right",
    "rights",
    multiple=True,
    metavar="VERB:ROLE",
    help="What of all that you may, as in read:prod, read,logs:prod/**, *:** or audit; may be given"
    " more than once.",
)
@click.option("--scrape", is_flag=True, help="For Prometheus: it may ask /v1/sd, and nothing else.")
@click.option("--name", default="", metavar="TEXT", help="What it is for, to know it again.")
@pass_settings
def make_token(
    settings: Settings, ttl: float, rights: tuple[str, ...], scrape: bool, name: str
) -> None:
    """Print a new access token. Who has it may what you may, as far as its rights go.

    It is good until its time is over, or it is revoked, or you are. Nobody can show it again.
    """
    from pymesos_cli.access import tokens

    wanted = tokens.wanted_rights(rights, scrape=scrape)
    with_cluster(settings, lambda cluster: tokens.make_token(cluster, ttl, wanted, name))


@token.command("list")
@json_option
@pass_settings
def list_tokens(settings: Settings, as_json: bool) -> None:
    """List the access tokens that are good: yours, or all if you may `policy`."""
    from pymesos_cli.access import tokens

    with_cluster(settings, lambda cluster: tokens.list_tokens(cluster, as_json=as_json))


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@pass_settings
def revoke_token(settings: Settings, token_id: str) -> None:
    """Let an access token in no more, by its id, as `token list` shows it."""
    from pymesos_cli.access import tokens

    with_cluster(settings, lambda cluster: tokens.revoke_token(cluster, token_id))


@room.group("secret")
def secret() -> None:
    """Set secrets, which tasks of a role may use; list and remove them.

    \b
    pymesos-cli secret set prod/web db < password.txt
    in a job of the role prod/web:  secrets: [{name: db, path: db-password}]

    The task finds the file db-password in the folder $PYMESOS_SECRETS.
    """


ROLE = click.argument("role", shell_complete=completing.roles)


@secret.command("set")
@ROLE
@click.argument("name")
@click.option(
    "--file",
    type=click.Path(path_type=Path, allow_dash=True),
    default=None,
    metavar="PATH",
    help="A file with the value, byte by byte; - is standard input.  [default: standard input]",
)
@pass_settings
def set_secret(settings: Settings, role: str, name: str, file: Path | None) -> None:
    """Set the secret NAME of a ROLE, from standard input or a file.

    Services that use it are given this one by a rollout; other tasks that run keep what they have.
    """
    from pymesos_cli.access import secrets

    with_cluster(settings, lambda cluster: secrets.set_secret(cluster, role, name, file))


@secret.command("list")
@click.argument("role", default="", required=False, shell_complete=completing.roles)
@json_option
@pass_settings
def list_secrets(settings: Settings, role: str, as_json: bool) -> None:
    """List secrets, of one ROLE or of all in which you may: who set them when, and who uses them.

    No command shows a value.
    """
    from pymesos_cli.access import secrets

    with_cluster(settings, lambda cluster: secrets.list_secrets(cluster, role, as_json=as_json))


@secret.command("remove")
@ROLE
@click.argument("name")
@click.option("--force", is_flag=True, help="Also while live tasks use it.")
@pass_settings
def remove_secret(settings: Settings, role: str, name: str, force: bool) -> None:
    """Remove the secret NAME of a ROLE: tasks that want it are not started any more."""
    from pymesos_cli.access import secrets

    with_cluster(settings, lambda cluster: secrets.remove_secret(cluster, role, name, force=force))


@room.group("webhook")
def webhook() -> None:
    """Have events of the cluster sent to URLs; list, remove and test these.

    \b
    pymesos-cli webhook add https://hooks.example.org/in --on task_updated --on agent_unreachable

    docs/http-api.md says what is sent, and how a receiver knows who sent it.
    """


# As webhooks.KINDS, for which protobuf would have to be imported.
KINDS = (
    "agent_added, agent_disconnected, agent_unreachable, agent_gone, agent_leaving, "
    "agent_reserved, framework_subscribed, framework_disconnected, framework_removed, "
    "task_added, task_updated, task_refused, offer_sent, offer_accepted, offer_declined, "
    "offer_rescinded, message_dropped, quota_set, weight_set, agent_present, framework_present, "
    "task_present, offer_present, policy_set, agent_cordoned, agent_draining, agent_drained, "
    "agent_activated, maintenance_scheduled, maintenance_cancelled, framework_updated"
)


@webhook.command("add")
@click.argument("url")
@click.option(
    "--on",
    "kinds",
    multiple=True,
    required=True,
    metavar="KIND",
    help=f"Of this kind; may be given again. Kinds are {KINDS}.",
)
@click.option("--name", default="", help="What it is called.  [default: the host in URL]")
@click.option(
    "--secret",
    default="",
    metavar="ROLE:NAME",
    help="A secret by which requests are signed, as `secret set` has set it.",
)
@click.option(
    "--link-local", is_flag=True, help="Also to addresses of the link, as 169.254.169.254."
)
@pass_settings
def add_webhook(
    settings: Settings, url: str, kinds: tuple[str, ...], name: str, secret: str, link_local: bool
) -> None:
    """Have events sent to URL as JSON, in the place of the webhook of that name if there is one."""
    from pymesos_cli.access import webhooks

    with_cluster(
        settings,
        lambda cluster: webhooks.add_webhook(
            cluster, url, kinds, name, secret, link_local=link_local
        ),
    )


@webhook.command("list")
@json_option
@pass_settings
def list_webhooks(settings: Settings, as_json: bool) -> None:
    """List webhooks, with why one has not taken what it was sent last."""
    from pymesos_cli.access import webhooks

    with_cluster(settings, lambda cluster: webhooks.list_webhooks(cluster, as_json=as_json))


@webhook.command("remove")
@click.argument("name")
@pass_settings
def remove_webhook(settings: Settings, name: str) -> None:
    """Send nothing to the webhook NAME any more."""
    from pymesos_cli.access import webhooks

    with_cluster(settings, lambda cluster: webhooks.remove_webhook(cluster, name))


@webhook.command("test")
@click.argument("name")
@pass_settings
def test_webhook(settings: Settings, name: str) -> None:
    """Send the webhook NAME one request that says that it is a test, and say whether it took it."""
    from pymesos_cli.access import webhooks

    with_cluster(settings, lambda cluster: webhooks.test_webhook(cluster, name))
