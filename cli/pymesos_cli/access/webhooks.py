"""`webhook`: where events of the cluster are sent."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.output import moment, print_json, print_table
from pymesos_core.json_access import webhook_json
from pymesos_core.outgoing.targets import url_problem
from pymesos_core.states import kind_name
from pymesos_proto.v1 import operator_pb2 as pb

KINDS = [name.lower() for name in pb.ClusterEvent.Kind.keys()[1:] if not name.endswith("_ABSENT")]


async def add_webhook(
    cluster: Cluster, url: str, kinds: Sequence[str], name: str, secret: str, *, link_local: bool
) -> None:
    """`pymesos-cli webhook add`."""
    problem = url_problem(url, link_local=link_local)
    if problem and url_problem(url, link_local=True) is None:
        problem = f"{problem}: --link-local allows it"
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        problem = f"{unknown[0][:100]!r} is no kind of events; these are: {', '.join(KINDS)}"
    role, colon, secret_name = secret.rpartition(":")
    if secret and not (role and colon and secret_name):
        problem = "--secret is ROLE:NAME, of a secret that `pymesos-cli secret set` has set"
    if problem:
        raise CliError(problem, EXIT_USAGE)
    request = pb.SetWebhookRequest(
        name=name or urlsplit(url).hostname or "",
        url=url,
        kinds=[kind.upper() for kind in kinds],
        secret_role=role,
        secret_name=secret_name,
        link_local=link_local,
    )
    await cluster.call(lambda stub, timeout_s: stub.SetWebhook(request, timeout=timeout_s))
    print(f"{request.name} is set; `pymesos-cli webhook test {request.name}` sends it a request")


async def list_webhooks(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli webhook list`."""
    request = pb.ListWebhooksRequest()
    seen = await cluster.call(lambda stub, timeout_s: stub.ListWebhooks(request, timeout=timeout_s))
    if as_json:
        print_json([webhook_json(view) for view in seen.webhooks])
        return
    rows = [
        (
            view.name,
            view.url,
            ",".join(kind_name(kind) for kind in view.kinds),
            f"{view.secret_role}:{view.secret_name}" if view.secret_name else "-",
            moment(view.set_at_s),
            view.set_by or "-",
            view.problem or "-",
        )
        for view in seen.webhooks
    ]
    headers = ("NAME", "URL", "KINDS", "SIGNED BY", "SET AT", "BY", "PROBLEM")
    print_table(headers, rows, "no webhooks; `pymesos-cli webhook add` adds one")


async def remove_webhook(cluster: Cluster, name: str) -> None:
    """`pymesos-cli webhook remove`."""
    request = pb.RemoveWebhookRequest(name=name)
    await cluster.call(lambda stub, timeout_s: stub.RemoveWebhook(request, timeout=timeout_s))
    print(f"{name} is removed")


async def test_webhook(cluster: Cluster, name: str) -> None:
    """`pymesos-cli webhook test`."""
    request = pb.TestWebhookRequest(name=name)
    done = await cluster.call(lambda stub, timeout_s: stub.TestWebhook(request, timeout=timeout_s))
    if done.problem:
        raise CliError(f"{name} has not taken it: {done.problem}")
    print(f"{name} has taken it")
