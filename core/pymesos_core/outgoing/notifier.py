"""The notifier: tells receivers of alerts, each in its form, until they have taken it.

What fires is sent to Alertmanagers again and again, with an end that comes by itself when nobody
sends it any more: the alerts of a process that is dead are resolved.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_core.exits import RoleError
from pymesos_core.outgoing import formats
from pymesos_core.outgoing.lanes import Lane, UnsentError
from pymesos_core.outgoing.mailing import send_mail
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.posting import Poster
from pymesos_core.outgoing.receivers import (
    Alertmanager,
    Email,
    PagerDuty,
    Receiver,
    ReceiversError,
    Webhook,
    read_receivers_file,
)
from pymesos_core.outgoing.secret_files import read_secret
from pymesos_core.outgoing.telling import MakeTells, TellsNobody, Unreached
from pymesos_core.outgoing.testing import Tests
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.streams import in_own_thread
from pymesos_core.tasks import until_first

log = logging.getLogger(__name__)

AGAIN_S = 60.0  # after which an Alertmanager is told again of what fires
AT_ONCE = 100  # alerts in one request to an Alertmanager
JSON = {"Content-Type": "application/json", "User-Agent": "pymesos"}

Taken = Callable[[Notice], None]
Send = Callable[[Sequence[Notice]], Awaitable[None]]


def telling(path: Path | None) -> MakeTells:
    """Return what makes the teller of alerts, by the file of receivers. Raises RoleError."""
    if path is None:
        return TellsNobody
    try:
        return partial(Notifier, read_receivers_file(path))
    except ReceiversError as error:
        raise RoleError(f"--receivers: {error}") from None


class Notifier:
    """One lane for each receiver, and for each Alertmanager of a set."""

    def __init__(
        self, receivers: Mapping[str, Receiver], taken: Taken, outside: Outside = OUTSIDE
    ) -> None:
        """`taken` is told of each notice that its receiver has; of a set, that one of them has."""
        self._receivers = receivers
        self._taken = taken
        self._outside = outside
        self._posters: list[Poster] = []
        self._tests = Tests(outside.mono_s)
        self._firing: dict[str, Notice] = {}  # of Alertmanagers, by key
        self._lanes: dict[str, list[Lane[Notice]]] = {}
        for name, receiver in receivers.items():
            self._lanes[name] = list(self._lanes_of(receiver))

    @property
    def names(self) -> Collection[str]:
        """The names of the receivers."""
        return self._receivers.keys()

    @property
    def unreached(self) -> Mapping[str, Unreached]:
        """The receivers that do not take what they are sent; of a set, one that does not."""
        found = {
            name: [lane for lane in lanes if lane.problem] for name, lanes in self._lanes.items()
        }
        return {
            name: Unreached(f"{lanes[0].name}: {lanes[0].problem}", lanes[0].problem_since_s)
            for name, lanes in found.items()
            if lanes
        }

    def tell(self, notice: Notice) -> None:
        """Have its receiver told: that it fires always before that it is resolved."""
        receiver = self._receivers.get(notice.receiver)
        if receiver is None:
            log.error(
                "alert %s: there is no receiver %s any more, so that nobody is told",
                ascii(notice.key), ascii(notice.receiver),
            )  # fmt: skip
            if notice.is_over:
                self._taken(notice)
            return
        repeated = isinstance(receiver, Alertmanager)
        self._firing.pop(notice.key, None)
        if notice.is_over:
            if not notice.known:
                self._put(replace(notice, ended_s=0.0))
            self._put(notice)
        elif repeated or not notice.known:
            self._put(notice)
        if repeated and not notice.is_over:
            self._firing[notice.key] = notice

    async def test(self, name: str) -> None:
        """Tell a receiver that nothing is wrong, and that it is over.

        Raises UnsentError, and CallError where it was tested just now.
        """
        now_s = self._outside.wall_s()
        labels = {"alertname": "PymesosTest", "receiver": name}
        text = "a test of pymesos: nothing is wrong"
        notice = Notice(f"test/{name}", name, labels, text, now_s)
        with self._tests.of(name):
            for lane in self._lanes[name]:
                try:
                    await lane.once(notice)
                    await lane.once(replace(notice, ended_s=now_s + 1))
                except UnsentError as error:
                    which = f"{lane.name}: " if len(self._lanes[name]) > 1 else ""
                    raise UnsentError(f"{which}{error}") from error

    def _put(self, notice: Notice) -> None:
        for lane in self._lanes[notice.receiver]:
            lane.put(f"{notice.status} {notice.key}", notice, notice.key)

    async def run(self) -> None:
        """Send until cancelled."""
        lanes = [lane for lanes in self._lanes.values() for lane in lanes]
        try:
            await until_first(self._repeat(), *(lane.run() for lane in lanes))
        finally:
            for poster in self._posters:
                await poster.close()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            for notice in self._firing.values():
                self._put(notice)

    def _lanes_of(self, receiver: Receiver) -> Iterator[Lane[Notice]]:
        name = receiver.name
        match receiver:
            case Alertmanager(urls=urls):
                for number, url in enumerate(urls, 1):
                    send = self._to_alertmanager(receiver, url)
                    which = f"{name} (address {number})" if len(urls) > 1 else name
                    yield self._lane(which, send, AT_ONCE)
            case Webhook():
                yield self._lane(name, self._to_webhook(receiver))
            case PagerDuty():
                yield self._lane(name, self._to_pagerduty(receiver))
            case Email():
                yield self._lane(name, self._to_people(receiver))

    def _lane(self, name: str, send: Send, at_once: int = 1) -> Lane[Notice]:
        return Lane(name, send, self._taken, self._outside, at_once, self._given_up)

    def _given_up(self, notice: Notice) -> None:
        """A receiver never takes a notice: that it is over need be kept for it no longer."""
        if notice.is_over:
            self._taken(notice)

    def _poster(self, authorities: Path | None) -> Poster:
        made = Poster(authorities)
        self._posters.append(made)
        return made

    def _to_alertmanager(self, receiver: Alertmanager, url: str) -> Send:
        poster = self._poster(receiver.authorities)

        async def send(notices: Sequence[Notice]) -> None:
            body = formats.alertmanager(notices, self._outside.wall_s())
            await poster.post(f"{url}/api/v2/alerts", _json(body), _headers(receiver.token))

        return send

    def _to_webhook(self, receiver: Webhook) -> Send:
        poster = self._poster(receiver.authorities)

        async def send(notices: Sequence[Notice]) -> None:
            for notice in notices:
                url = receiver.url or read_secret(receiver.url_file)
                body, headers = _json(formats.webhook(notice)), _headers(receiver.token)
                await poster.post(
                    url, body, headers, quiet=bool(receiver.url_file or receiver.token)
                )

        return send

    def _to_pagerduty(self, receiver: PagerDuty) -> Send:
        poster = self._poster(receiver.authorities)

        async def send(notices: Sequence[Notice]) -> None:
            for notice in notices:
                key = read_secret(receiver.routing_key)
                body = formats.pagerduty(notice, key, receiver.severity)
                await poster.post(receiver.url, _json(body), JSON, quiet=True)

        return send

    def _to_people(self, receiver: Email) -> Send:
        async def send(notices: Sequence[Notice]) -> None:
            for notice in notices:
                message = formats.mail(notice, receiver.sender, receiver.to)
                # SMTP blocks, for as long as a server says nothing: only its own mail.
                await in_own_thread(f"mail-{receiver.name}", send_mail, receiver, message)

        return send


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _headers(token: Path | None) -> Mapping[str, str]:
    return JSON if token is None else {**JSON, "Authorization": f"Bearer {read_secret(token)}"}
