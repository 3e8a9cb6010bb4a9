"""The sender of webhooks: what happens is POSTed to each until that has taken it, in its order.

The history of events is the outbox, and so bounded. Who is too far behind, and whoever is told by a
new leader, is told first that something may be missing (`reset`): the state says what became of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pymesos_core.caller import Caller, Method
from pymesos_core.complaints import Complaints
from pymesos_core.errors import RequestError, denied
from pymesos_core.json_dialect import event_json, to_json
from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.posting import Poster
from pymesos_core.outgoing.targets import CheckedResolver
from pymesos_core.outgoing.testing import Tests
from pymesos_core.security.policy import Roles
from pymesos_core.security.secrets import KeyringError, OpeningError
from pymesos_core.streams import in_thread
from pymesos_core.text import one_line
from pymesos_master.core.records import WebhookRecord
from pymesos_master.core.secrets import key_of
from pymesos_master.event_filter import EventFilter
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader
from pymesos_master.watching import Batch, View

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0  # at which webhooks there are
PACE_S = 0.5  # between two requests to one, in which events are gathered
RETRY_S = (1.0, 300.0)  # between two tries
GIVE_UP_S = 6 * 3600.0  # after which a request is dropped; the next one says `reset`
REFUSED_S = 60.0  # until it is looked again whether its maker may read


class Webhooks:
    """Sends while this process leads."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._outside = leadership.outside
        self._complaints = Complaints(log, leadership.outside.mono_s)
        self._tests = Tests(leadership.outside.mono_s)
        self.problems: dict[str, str] = {}  # why one has not taken what it was sent, by name

    async def run(self) -> None:
        """Send until cancelled."""
        sending: dict[tuple[int, str, WebhookRecord], asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                leader = self._leadership.leader
                found = leader.core.state.webhooks() if leader is not None else {}
                wanted = {(id(leader), name, hook): name for name, hook in found.items()}
                for key in [key for key in sending if key not in wanted]:
                    sending.pop(key).cancel()
                    self.problems.pop(key[1], None)
                for key in wanted.keys() - sending.keys():
                    assert leader is not None
                    sending[key] = group.create_task(self._send_all(leader, key[1], key[2]))
                await asyncio.sleep(LOOK_AGAIN_S)

    async def test(self, name: str) -> str:
        """Send one request that says that it is a test; why it is not taken, or nothing.

        Raises CallError where it was tested just now.
        """
        with self._tests.of(name):
            return await self._test(name)

    async def _test(self, name: str) -> str:
        leader = self._leadership.here()
        poster = _poster(hook := leader.core.state.webhooks()[name])
        try:
            await self._post(leader, poster, name, hook, _body(name, Batch([], None), test=True))
        except UnsentError as error:
            return str(error)
        finally:
            await poster.close()
        return ""

    async def _send_all(self, leader: Leader, name: str, hook: WebhookRecord) -> None:
        poster = _poster(hook)
        try:
            while True:
                try:
                    await self._follow(leader, poster, name, hook)
                    return  # the leader is none any more
                except RequestError as error:
                    self._say(name, error.problem.message)
                except Exception:  # of this one, and no reason to end the others
                    log.exception("the webhook %s has failed", name)
                await asyncio.sleep(REFUSED_S)
        finally:
            await poster.close()

    async def _follow(self, leader: Leader, poster: Poster, name: str, hook: WebhookRecord) -> None:
        """Send what happens to the end of the leader. Raises RequestError."""
        wanted = EventFilter(kinds=frozenset(hook.kinds))
        view = View(_may(leader, hook), wanted, without_state=True)
        lost = False
        with leader.watching.watch("", view) as watch:
            while (batch := await watch.batch()) is not None:
                reset = replace(batch, snapshot_begins=batch.snapshot_begins or lost)
                lost = not await self._taken(leader, poster, name, hook, _body(name, reset))
                await asyncio.sleep(PACE_S)

    async def _taken(
        self, leader: Leader, poster: Poster, name: str, hook: WebhookRecord, body: bytes
    ) -> bool:
        """Send a request again and again, until it is taken, or given up."""
        backoff, began_s = self._outside.backoff(*RETRY_S), self._outside.mono_s()
        while True:
            try:
                await self._post(leader, poster, name, hook, body)
                self.problems.pop(name, None)
                return True
            except UnsentError as error:
                self._say(name, str(error))
                if self._outside.mono_s() - began_s > GIVE_UP_S:
                    return False
                await asyncio.sleep(max(error.after_s, backoff.next_s()))

    def _say(self, name: str, problem: str) -> None:
        self.problems[name] = one_line(problem, 300)
        self._complaints.say(name, "a webhook has not taken what it was sent", problem)

    async def _post(
        self, leader: Leader, poster: Poster, name: str, hook: WebhookRecord, body: bytes
    ) -> None:
        """Raises UnsentError."""
        secret = await self._secret(leader, hook)
        headers = signed(body, secret, self._outside.wall_s())
        await poster.post(hook.url, body, headers, quiet=True)

    async def _secret(self, leader: Leader, hook: WebhookRecord) -> bytes | None:
        """What signs; None: nothing does. Raises UnsentError."""
        role, name = hook.secret
        if not name:
            return None
        record = leader.core.state.secrets().get(key_of(role, name))
        if record is None:
            raise UnsentError(f"the secret {name} of {role}, which signs, is not there any more")
        try:
            if leader.keyring is None:
                leader.keyring = await in_thread(self._leadership.keys.read)
            return leader.keyring.open(role, name, record.sealed)
        except (KeyringError, OpeningError) as error:
            raise UnsentError(str(error)) from None


def signed(body: bytes, secret: bytes | None, now_s: float) -> Mapping[str, str]:
    """The headers of a request: who has the secret knows by them who sent it, and when."""
    sent_at = str(int(now_s))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "pymesos",
        "Pymesos-Timestamp": sent_at,
    }
    if secret is not None:
        digest = hmac.new(secret, f"{sent_at}.".encode() + body, hashlib.sha256)
        headers["Pymesos-Signature"] = f"sha256={digest.hexdigest()}"
    return headers


def _body(name: str, batch: Batch, *, test: bool = False) -> bytes:
    epoch = batch.cursor.epoch if batch.cursor is not None else 0
    said: dict[str, Any] = {
        "webhook": name,
        "test": test,
        "reset": batch.snapshot_begins,
        "cursor": str(batch.cursor) if batch.cursor is not None else None,
        "events": [
            {"id": f"{epoch}-{event.sequence}", **event_json(event)} for event in batch.events
        ],
    }
    return to_json(said, None).encode()


def _poster(hook: WebhookRecord) -> Poster:
    return Poster(resolver=None if hook.link_local else CheckedResolver())


def _may(leader: Leader, hook: WebhookRecord) -> Callable[[], Roles]:
    """What it is shown: what its maker may read, as long as that may. Raises RequestError."""
    maker = Caller(hook.set_by, Method.CERT if hook.set_by else None, via="webhook")
    readable = leader.queries.permits.watching(maker)

    def may() -> Roles:
        if hook.set_by in leader.core.state.revoked():
            raise denied(f"{hook.set_by}, who has set it, is revoked")
        return readable()

    return may
