"""What lets somebody in, and what is kept from others: tokens, revocations and secrets."""

from __future__ import annotations

from collections.abc import Callable

from pymesos_core.caller import Caller
from pymesos_core.clock import Now
from pymesos_core.security.audit import Entry
from pymesos_core.security.needs import NEEDS
from pymesos_core.security.policy import Decision, Verb, roles_for
from pymesos_master.core import access_tokens, enrolment, secrets
from pymesos_master.core.records import REVOCATION, Revocation
from pymesos_master.core.registry import place_of
from pymesos_master.core.state import ClusterState
from pymesos_master.queries.paging import Listing, PageRequest, Pages
from pymesos_master.queries.permits import Permits
from pymesos_master.queries.views import sealed_view
from pymesos_proto.v1 import operator_pb2 as pb


class Access:
    """Reads of tokens, access tokens, revocations and secrets, of those who may."""

    def __init__(
        self, state: ClusterState, permits: Permits, pages: Pages, clock: Callable[[], Now]
    ) -> None:
        self._state = state
        self._permits = permits
        self._pages = pages
        self._clock = clock

    def tokens(self, caller: Caller) -> list[pb.TokenView]:
        """Tokens that have not ended, by their principals. Raises RequestError (DENIED)."""
        self._permits.check(caller, "Operator.ListTokens")
        now_s = self._clock().wall_s
        return [
            pb.TokenView(
                digest=bytes.fromhex(digest),
                principal=token.principal,
                ends_at_s=token.ends_at_s,
                made_by=token.made_by,
                used=bool(token.key),
            )
            for digest, token in sorted(
                self._state.tokens().items(), key=lambda item: (item[1].principal, item[0])
            )
            if not enrolment.has_ended(token, now_s)
        ]

    def access_tokens(self, caller: Caller) -> list[pb.AccessTokenView]:
        """Access tokens that are good: the caller's own, or with `policy` all."""
        state, now_s = self._state, self._clock().wall_s
        good = (
            (token_id, token)
            for token_id, token in state.access_tokens().items()
            if not token.revoked and not access_tokens.has_ended(token, now_s)
        )
        return [
            pb.AccessTokenView(
                id=token_id,
                principal=token.principal,
                name=token.name,
                rights=token.rights,
                made_at_s=token.made_at_s,
                ends_at_s=token.ends_at_s,
            )
            for token_id, token in sorted(
                good, key=lambda item: (item[1].principal, item[1].made_at_s)
            )
            if access_tokens.may_see(state, caller, token_id, token)
        ]

    def access_token(self, digest: str, peer: str) -> Caller | None:
        """Who asks by the access token whose secret has this digest, if it is good."""
        return access_tokens.find(self._state, digest, self._clock().wall_s, peer)

    def revocations(self, caller: Caller) -> list[pb.RevocationView]:
        """What is let in no more, by name; of a record that cannot be read, its name.

        Raises RequestError (DENIED).
        """
        self._permits.check(caller, "Operator.ListRevocations")
        made = self._state.image.durable(REVOCATION)
        return [
            pb.RevocationView(name=name, at_s=one.at_s, made_by=one.made_by)
            if isinstance(one := made[name], Revocation)
            else pb.RevocationView(name=name)
            for name in sorted(made)
        ]

    def secrets(self, caller: Caller, role: str = "") -> list[pb.SecretView]:
        """Secrets by role and name, without their values; none named: of all roles that are his.

        Raises RequestError (DENIED).
        """
        self._permits.check(caller, "Operator.ListSecrets", (role,) if role else ())
        may = roles_for(self._state.policy, caller, Verb.SECRETS)
        using = secrets.counts(self._state)
        found = ((*place_of(key), record) for key, record in self._state.secrets().items())
        return [
            pb.SecretView(
                role=of,
                name=name,
                version=record.version,
                set_by=record.set_by,
                set_at_s=record.set_at_s,
                tasks=using[of, name],
            )
            for of, name, record in sorted(found, key=lambda item: item[:2])
            if of in may and role in ("", of)
        ]

    def check_backup(self, caller: Caller) -> Entry:
        """The line that tells that a caller backs the secrets up.

        A backup by one who may not see all would lack what nobody misses until it is restored: it
        is for those who may read everything, and use every secret. Raises RequestError (DENIED).
        """
        call = "Operator.ListSealedSecrets"
        self._permits.check(caller, call)
        for also in ("Operator.ListRoles", "Operator.ListSecrets"):
            verb = NEEDS[also].verb
            assert verb is not None
            if not roles_for(self._state.policy, caller, verb).every:
                problem = (
                    f"{caller.principal} may not {verb.words} in every role, and a backup is of all"
                    f" of them: a rule {{who: {caller.principal}, do: [{verb}], role: '**'}} would"
                    f" allow it"
                )
                raise self._permits.refused(caller, call, Decision(problem))
        return self._permits.read(caller, call)

    def sealed_secrets(self, caller: Caller, page: PageRequest) -> Listing[pb.SealedSecret]:
        """Every secret as it is kept, by role and name, for who has passed `check_backup`."""
        return self._pages.page(
            caller.taker,
            page,
            lambda: sorted(self._state.secrets().items(), key=lambda item: place_of(item[0])),
            lambda item: True,
            lambda item: sealed_view(*item),
            of="sealed_secrets",
        )
