"""Where events are sent."""

from __future__ import annotations

from pymesos_core.json_access import webhook_json
from pymesos_core.limits import WEBHOOK_URL
from pymesos_master.http.asking import Asked, document, flag, one_of, text
from pymesos_master.http.routes.table import Route, deed
from pymesos_master.http.schemas import MAYBE_TEXT, record, whole_list
from pymesos_proto.v1 import operator_pb2 as pb

# As JSON has them; no master sends those that are absent.
KINDS = [name.lower() for name in pb.ClusterEvent.Kind.keys()[1:] if not name.endswith("_ABSENT")]
NAME = text("name", "The name of the webhook.", required=True)


def _set(asked: Asked) -> pb.SetWebhookRequest:
    return pb.SetWebhookRequest(
        name=asked.text("name"),
        url=asked.text("url"),
        kinds=[kind.upper() for kind in asked.several("kinds")],
        secret_role=asked.text("secret_role"),
        secret_name=asked.text("secret_name"),
        link_local=asked.flag("link_local"),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/webhooks",
        "Where events are sent, and why that has not taken what it was sent last.",
        "ListWebhooks",
        whole_list("webhooks", "Webhook"),
        lambda asked: pb.ListWebhooksRequest(),
        lambda answer: {"webhooks": [*map(webhook_json, answer.webhooks)]},
    ),
    deed(
        "/v1/webhooks/set",
        "Have events sent to a URL, in the place of the webhook of that name if there is one.",
        "SetWebhook",
        _set,
        (
            NAME,
            document("url", "http:// or https://.", WEBHOOK_URL.most, required=True),
            one_of("kinds", "Of these kinds.", KINDS, many=True, required=True),
            text("secret_role", "The role of a secret by which requests are signed."),
            text("secret_name", "The name of that secret; without one they are not signed."),
            flag("link_local", "Also to addresses of the masters' link, as 169.254.169.254."),
        ),
    ),
    deed(
        "/v1/webhooks/remove",
        "Send nothing there any more.",
        "RemoveWebhook",
        lambda asked: pb.RemoveWebhookRequest(name=asked.text("name")),
        (NAME,),
    ),
    Route(
        "/v1/webhooks/test",
        "Send one request that says that it is a test.",
        "TestWebhook",
        record("Why it was not taken; null: it was.", problem=MAYBE_TEXT),
        lambda asked: pb.TestWebhookRequest(name=asked.text("name")),
        lambda answer: {"problem": answer.problem or None},
        method="POST",
        body=(NAME,),
    ),
)
