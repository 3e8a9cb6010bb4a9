"""Notices in the forms that receivers read: Alertmanager's, PagerDuty's, and mail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from pymesos_core.outgoing.notices import Notice
from pymesos_core.text import one_line

# An Alertmanager refuses what ends before it begins, as of a clock that has been set back; and an
# end that is ahead by its own clock is none: it holds on to the one it was told of before.
CLOCKS_APART_S = 2.0
ENDS_IN_S = 240.0  # after a notice, unless it is sent again: as when nobody is there to end it
MAX_DEDUP_KEY = 255
MAX_SUMMARY = 1024
LAST_S = 253_402_300_799.0  # the end of the year 9999
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time, which means none
_FNV_OFFSET, _FNV_PRIME = 14695981039346656037, 1099511628211


def rfc3339(wall_s: float) -> str:
    """A Unix time as text, to the millisecond."""
    when = _moment(wall_s)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(wall_s: float) -> datetime:
    """A Unix time; of a clock that shows no day the last one that there is."""
    return datetime.fromtimestamp(min(wall_s, LAST_S), UTC)


def alertmanager(notices: Iterable[Notice], now_s: float) -> list[dict[str, Any]]:
    """The body of POST /api/v2/alerts. What fires ends by itself unless it is sent again."""
    body = []
    for notice in notices:
        latest_s = now_s - CLOCKS_APART_S if notice.is_over else now_s
        begins_s = min(notice.began_s, latest_s)
        ends_s = max(begins_s, min(notice.ended_s, latest_s))
        body.append(
            {
                "labels": dict(notice.labels),
                "annotations": {"summary": notice.summary},
                "startsAt": rfc3339(begins_s),
                "endsAt": rfc3339(ends_s if notice.is_over else now_s + ENDS_IN_S),
            }
        )
    return body


def webhook(notice: Notice) -> dict[str, Any]:
    """The body of a webhook, as Alertmanager sends it in version 4."""
    annotations = {"summary": notice.summary}
    return {
        "version": "4",
        "groupKey": notice.key,
        "truncatedAlerts": 0,
        "status": notice.status,
        "receiver": notice.receiver,
        "groupLabels": dict(notice.labels),
        "commonLabels": dict(notice.labels),
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [
            {
                "status": notice.status,
                "labels": dict(notice.labels),
                "annotations": annotations,
                "startsAt": rfc3339(notice.began_s),
                "endsAt": rfc3339(notice.ended_s) if notice.is_over else NEVER,
                "generatorURL": "",
                "fingerprint": fingerprint(notice.labels),
            }
        ],
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """What Alertmanager calls an alert of these labels: FNV-1a of them, in their order."""
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in b"\xff".join([name.encode(), labels[name].encode(), b""]):
            value = (value ^ byte) * _FNV_PRIME % 2**64
    return f"{value:016x}"


def pagerduty(notice: Notice, routing_key: str, severity: str) -> dict[str, Any]:
    """An event of PagerDuty's Events API v2."""
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if notice.is_over else "trigger",
        "dedup_key": dedup_key(notice.key),
    }
    if not notice.is_over:
        event["client"] = "pymesos"
        event["payload"] = {
            "summary": notice.summary[:MAX_SUMMARY],
            "source": notice.key,
            "severity": severity,
            "timestamp": rfc3339(notice.began_s),
            "custom_details": dict(notice.labels),
        }
    return event


def dedup_key(key: str) -> str:
    """A key that PagerDuty takes: one that is too long ends in a digest of all of it."""
    if len(key.encode()) <= MAX_DEDUP_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key.encode()[: MAX_DEDUP_KEY - 1 - len(digest)].decode('utf-8', 'ignore')}-{digest}"


def mail(notice: Notice, sender: str, to: Iterable[str]) -> EmailMessage:
    """A mail. Those of one alert are one thread, and a mail that comes twice is the same one."""
    thread = hashlib.sha256(f"{notice.key} {notice.began_s}".encode()).hexdigest()[:32]
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = f"[{notice.status}] {one_line(notice.summary, 150)}"
    message["Date"] = _moment(notice.ended_s or notice.began_s)
    message["Message-ID"] = f"<{thread}.{notice.status}@pymesos.invalid>"
    message["References"] = f"<{thread}.firing@pymesos.invalid>"
    lines = [notice.summary, "", f"since {rfc3339(notice.began_s)}"]
    if notice.is_over:
        lines.append(f"until {rfc3339(notice.ended_s)}")
    lines += ["", *(f"{name}: {value}" for name, value in notice.labels.items())]
    message.set_content("\n".join(lines) + "\n")
    return message
