"""Who may do what, who comes in, and secrets."""

from __future__ import annotations

import base64

from pymesos_core.addresses import HostPort
from pymesos_core.json_access import (
    access_token_json,
    can_json,
    join_token_json,
    policy_json,
    revocation_json,
    secret_json,
    who_json,
)
from pymesos_core.json_dialect import Json
from pymesos_core.limits import KIB, POLICY, RIGHT, RIGHTS, SECRET
from pymesos_core.security.policy import Verb
from pymesos_core.transport import CallError, Code
from pymesos_master.core.access_tokens import MAX_SCRAPING_S
from pymesos_master.core.enrolment import MAX_LIFETIME_S
from pymesos_master.http.asking import (
    Asked,
    binary,
    digest,
    document,
    flag,
    one_of,
    seconds,
    text,
    texts,
    whole,
)
from pymesos_master.http.routes.table import Route, deed
from pymesos_master.http.schemas import NUMBER, TEXT, WHOLE, record, ref, whole_list
from pymesos_proto.v1 import operator_pb2 as pb

OF_A_TEXT = 512 * KIB  # a body with a long text, of which each character may be escaped
MOST_VERSION = 2**63 - 1
ROLE = text("role", "The role.", required=True)
SECRET_NAME = text("name", "The name of the secret.", required=True)
DIGEST = digest("digest", "The SHA-256 of the token's secret, which is 32 random bytes.")


def _set_secret(asked: Asked) -> pb.SetSecretRequest:
    value, coded = asked.text("value").encode(), asked.value("value_base64")
    if bool(value) == bool(coded):
        told = "give `value` or `value_base64`, which is not empty, and not both"
        raise CallError(Code.INVALID_ARGUMENT, told)
    return pb.SetSecretRequest(
        role=asked.text("role"), name=asked.text("name"), value=value or coded
    )


def _made_token_json(made: pb.MakeTokenResponse) -> Json:
    root = base64.urlsafe_b64encode(made.root).decode().rstrip("=")
    return {"root": root, "join_at": str(HostPort(made.join_at.ip, made.join_at.port))}


SIGN_IN_ROUTE = Route(
    "/v1/sign-in",
    "Sign a browser in, with the header `Authorization: Bearer CODE`: the access token with the"
    " right `sign-in` that `pymesos-cli web --code` makes, which is good once, for five"
    " minutes. The session is in a cookie that scripts do not see. With it POST needs the header"
    " `Pymesos-Csrf`, with what the cookie `__Host-pymesos-csrf` says.",
    "SignIn",
    record("The session has begun.", lifetime_s=NUMBER),
    lambda asked: pb.SignInRequest(),
    lambda answer: {"lifetime_s": answer.lifetime_s},
    method="POST",
)
SIGN_OUT_ROUTE = deed(
    "/v1/sign-out",
    "End the session by which this is asked.",
    "RevokeAccessToken",
    lambda asked: pb.RevokeAccessTokenRequest(),
    (),
)
ROUTES: tuple[Route, ...] = (
    SIGN_IN_ROUTE,
    SIGN_OUT_ROUTE,
    Route(
        "/v1/whoami",
        "Who you are to the cluster, and which rules of the policy name you.",
        "WhoAmI",
        ref("WhoAmI"),
        lambda asked: pb.WhoAmIRequest(),
        who_json,
    ),
    Route(
        "/v1/can",
        "Whether somebody may do something in a role, or in the cluster, and which rule says so.",
        "Can",
        ref("Can"),
        lambda asked: pb.CanRequest(
            who=asked.text("who"), verb=asked.text("verb"), role=asked.text("role")
        ),
        can_json,
        (
            text("who", "A principal, as in `operator/alice`; you, if it is left out."),
            one_of("verb", "What is to be done.", [*Verb], required=True),
            text("role", "In which role; `agents`, `policy` and `audit` need none."),
        ),
    ),
    Route(
        "/v1/policy",
        "The policy in force, and its version.",
        "GetPolicy",
        ref("Policy"),
        lambda asked: pb.GetPolicyRequest(),
        policy_json,
    ),
    Route(
        "/v1/policy/set",
        "Set the policy. It is in force everywhere when this is answered.",
        "SetPolicy",
        record("The new version.", version=WHOLE),
        lambda asked: pb.SetPolicyRequest(
            document=asked.text("document"), instead_of=asked.number("instead_of")
        ),
        lambda answer: {"version": answer.version},
        method="POST",
        body=(
            document("document", "The policy, in YAML.", POLICY.most, required=True),
            whole(
                "instead_of",
                "The version that it replaces; if another is there by now, nothing is set.",
                0,
                MOST_VERSION,
                required=True,
            ),
        ),
        body_bytes=OF_A_TEXT,
    ),
    Route(
        "/v1/secrets",
        "Secrets of a role, or of all in which you may: who set them when, and how many live tasks"
        " use them. Nothing answers a value.",
        "ListSecrets",
        whole_list("secrets", "Secret"),
        lambda asked: pb.ListSecretsRequest(role=asked.text("role")),
        lambda answer: {"secrets": [*map(secret_json, answer.secrets)]},
        (text("role", "Only those of this role."),),
    ),
    Route(
        "/v1/secrets/set",
        "Set a secret. Tasks that run keep what they were given.",
        "SetSecret",
        record("The new version.", version=WHOLE),
        _set_secret,
        lambda answer: {"version": answer.version},
        method="POST",
        body=(
            ROLE,
            SECRET_NAME,
            document("value", "The value, if it is text.", SECRET.most),
            binary("value_base64", "The value, if it is not.", SECRET.most),
        ),
        body_bytes=OF_A_TEXT,
    ),
    deed(
        "/v1/secrets/remove",
        "Remove a secret: tasks that want it are not started any more.",
        "RemoveSecret",
        lambda asked: pb.RemoveSecretRequest(
            role=asked.text("role"), name=asked.text("name"), force=asked.flag("force")
        ),
        (ROLE, SECRET_NAME, flag("force", "Also while live tasks use it.")),
    ),
    Route(
        "/v1/join-tokens",
        "Tokens to join with that have not ended.",
        "ListTokens",
        whole_list("join_tokens", "JoinToken"),
        lambda asked: pb.ListTokensRequest(),
        lambda answer: {"join_tokens": [*map(join_token_json, answer.tokens)]},
    ),
    Route(
        "/v1/join-tokens/make",
        "Let a principal join, once; with a certificate only. Who asks has made the secret, and"
        " sends its digest: the token is `pymesos.ROOT.SECRET@JOIN_AT`, with the secret in base64"
        " for URLs, without `=`.",
        "MakeToken",
        record("What the token is made of, beside the secret.", root=TEXT, join_at=TEXT),
        lambda asked: pb.MakeTokenRequest(
            digest=asked.value("digest"),
            principal=asked.text("principal"),
            lifetime_s=asked.number("lifetime_s"),
        ),
        _made_token_json,
        method="POST",
        body=(
            DIGEST,
            text("principal", "Who joins, as in `agent/node-1`.", required=True),
            seconds("lifetime_s", "How long it can be used.", MAX_LIFETIME_S, required=True),
        ),
    ),
    deed(
        "/v1/join-tokens/remove",
        "Take a token back: nobody joins with it any more.",
        "RemoveToken",
        lambda asked: pb.RemoveTokenRequest(digest=asked.value("digest")),
        (DIGEST,),
    ),
    Route(
        "/v1/access-tokens",
        "Access tokens that are good: yours, or with the verb `policy` all.",
        "ListAccessTokens",
        whole_list("access_tokens", "AccessToken"),
        lambda asked: pb.ListAccessTokensRequest(),
        lambda answer: {"access_tokens": [*map(access_token_json, answer.tokens)]},
    ),
    Route(
        "/v1/access-tokens/make",
        "Make an access token, by which a program asks as you; with a certificate only. Who asks"
        " has made it, as `pymesos_at_SECRET` with 32 random bytes in base64 for URLs, without `=`,"
        " and sends the digest of the whole.",
        "MakeAccessToken",
        record("Its id, by which it is revoked.", id=TEXT),
        lambda asked: pb.MakeAccessTokenRequest(
            digest=asked.value("digest"),
            name=asked.text("name"),
            lifetime_s=asked.number("lifetime_s"),
            rights=asked.several("rights"),
        ),
        lambda answer: {"id": answer.id},
        method="POST",
        body=(
            digest("digest", "The SHA-256 of the token."),
            text("name", "What people call it."),
            seconds(
                "lifetime_s",
                "How long it is good: up to 30 days, with the right `scrape` up to 365, with"
                " `sign-in` up to 10 minutes.",
                MAX_SCRAPING_S,
                required=True,
            ),
            texts(
                "rights",
                "What of all that you may, as in `read,logs:prod/**` or `audit`; `scrape` alone is"
                " for `/v1/sd`, and `sign-in` alone for `/v1/sign-in`, once.",
                RIGHTS.most,
                RIGHT.most,
                required=True,
            ),
        ),
        body_bytes=64 * KIB,
    ),
    deed(
        "/v1/access-tokens/revoke",
        "Let an access token in no more: one of yours, or with the verb `policy` anybody's.",
        "RevokeAccessToken",
        lambda asked: pb.RevokeAccessTokenRequest(id=asked.text("id")),
        (text("id", "Its id.", required=True),),
    ),
    Route(
        "/v1/revocations",
        "Principals and certificates that are let in no more.",
        "ListRevocations",
        whole_list("revocations", "Revocation"),
        lambda asked: pb.ListRevocationsRequest(),
        lambda answer: {"revocations": [*map(revocation_json, answer.revocations)]},
    ),
    deed(
        "/v1/revocations/revoke",
        "Let a principal, or one certificate, in no more. What it has open ends within seconds; its"
        " tasks run on.",
        "Revoke",
        lambda asked: pb.RevokeRequest(name=asked.text("name"), undo=asked.flag("undo")),
        (
            text("name", "`KIND/NAME`, or the serial number of a certificate.", required=True),
            flag("undo", "Let it in again."),
        ),
    ),
)
