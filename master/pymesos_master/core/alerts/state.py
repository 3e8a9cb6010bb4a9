"""Alerts of the cluster and their silences, as they are kept: all that the next leader needs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pymesos_core.outgoing.alert import Alert, is_time
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.notices import Notice
from pymesos_core.resource_values import ResourceError
from pymesos_core.text import quoted
from pymesos_proto.v1 import registry_pb2 as pb


class When(StrEnum):
    """What an alert of the cluster is about."""

    AGENT_UNREACHABLE = "agent_unreachable"
    QUOTA_UNMET = "quota_unmet"
    DISK_FULL = "disk_full"
    CERTIFICATE_NOT_RENEWED = "certificate_not_renewed"
    NO_LEADER = "no_leader"  # which masters tell that do not lead, and nobody stores


NAMES = {
    When.AGENT_UNREACHABLE: "PymesosAgentUnreachable",
    When.QUOTA_UNMET: "PymesosQuotaUnmet",
    When.DISK_FULL: "PymesosDiskFull",
    When.CERTIFICATE_NOT_RENEWED: "PymesosCertificateNotRenewed",
    When.NO_LEADER: "PymesosNoLeader",
}


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What the registry holds of an alert that is not quiet, by its key."""

    state: State
    since_s: float
    fired_s: float
    ended_s: float
    known: bool
    told: bool
    summary: str

    def message(self) -> pb.ClusterAlertRecord:
        """The wire form."""
        return pb.ClusterAlertRecord(
            state=self.state,
            since_s=self.since_s,
            fired_s=self.fired_s,
            ended_s=self.ended_s,
            known=self.known,
            told=self.told,
            summary=self.summary,
        )


@dataclass(slots=True, eq=False)
class ClusterAlert(Alert):
    """One of the cluster that is not quiet. All its times are Unix times."""

    @property
    def when(self) -> When:
        """What it is about."""
        return When(self.key.partition("/")[0])

    @property
    def subject(self) -> str:
        """What of that it is about: the id of an agent, a role, or the address of a master."""
        return self.key.partition("/")[2].rpartition("/")[0]

    @property
    def receiver(self) -> str:
        """Who is told."""
        return self.key.rpartition("/")[2]

    def notice(self) -> Notice:
        """What its receiver is to be told of it now."""
        labels = {"alertname": NAMES[self.when], "receiver": self.receiver}
        if self.subject:
            labels["subject"] = self.subject
        return Notice(
            self.key,
            self.receiver,
            labels,
            self.summary,
            self.fired_s,
            self.over_s,
            self.known,
        )

    def record(self) -> AlertRecord | None:
        """What is kept of it; what is quiet is not."""
        if self.state is State.QUIET:
            return None
        return AlertRecord(
            self.state,
            self.since_s,
            self.fired_s,
            self.ended_s,
            self.known,
            self.told,
            self.summary,
        )


def alert_key(when: When, subject: str, receiver: str) -> str:
    """The key of an alert, the same under every leader. Names of receivers have no slash."""
    return f"{when}/{subject}/{receiver}"


def read_alert(key: str, message: pb.ClusterAlertRecord) -> AlertRecord:
    """Read one back. Raises ResourceError."""
    parts = key.split("/")
    if len(parts) < 3 or not parts[-1] or parts[0] not in tuple(When):
        raise ResourceError(f"{quoted(key)} is no key of an alert of the cluster")
    if message.state not in (State.PENDING, State.FIRING, State.RESOLVED):
        raise ResourceError(f"its state is {quoted(message.state)}")
    record = AlertRecord(
        State(message.state),
        message.since_s,
        message.fired_s,
        message.ended_s,
        message.known,
        message.told,
        message.summary,
    )
    alert = alert_of(key, record)
    if problem := alert.times_problem():
        raise ResourceError(f"it {problem}")
    try:
        alert.check()
    except AssertionError as error:
        raise ResourceError(f"{error}") from None
    return record


def alert_of(key: str, record: AlertRecord) -> ClusterAlert:
    """The alert that a record is of."""
    return ClusterAlert(
        key,
        record.state,
        record.since_s,
        record.fired_s,
        record.ended_s,
        record.known,
        record.told,
        record.summary,
    )


@dataclass(frozen=True, slots=True)
class Silence:
    """What the registry holds of a silence of alerts of the cluster; empty: of all."""

    when: str
    subject: str
    until_s: float  # Unix time
    by: str
    why: str

    @property
    def key(self) -> str:
        """The key of its record."""
        return f"{self.when}/{self.subject}"

    def covers(self, when: str, subject: str) -> bool:
        """Whether it is of such an alert."""
        return self.when in ("", when) and self.subject in ("", subject)

    def message(self) -> pb.ClusterSilenceRecord:
        """The wire form."""
        return pb.ClusterSilenceRecord(until_s=self.until_s, by=self.by, why=self.why)


def read_silence(key: str, message: pb.ClusterSilenceRecord) -> Silence:
    """Read one back. Raises ResourceError."""
    when, slash, subject = key.partition("/")
    if not slash or when not in ("", *When):
        raise ResourceError(f"{quoted(key)} is no key of a silence")
    if not is_time(message.until_s) or math.isnan(message.until_s):
        raise ResourceError(f"it ends at {message.until_s}")
    return Silence(when, subject, message.until_s, message.by, message.why)


def silence_of(silences: Iterable[Silence], when: str, subject: str) -> Silence | None:
    """The one that lasts longest of those that cover an alert."""
    found = [silence for silence in silences if silence.covers(when, subject)]
    return max(found, key=lambda silence: silence.until_s, default=None)
