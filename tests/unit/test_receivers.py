"""Receivers are read and checked, and each is told in its form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pymesos_core.outgoing import formats
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.receivers import (
    Alertmanager,
    Email,
    PagerDuty,
    ReceiversError,
    Tls,
    Webhook,
    read_receivers_file,
)

LABELS = {"alertname": "PymesosUnhealthy", "job": "db", "task": "postgres"}
FIRES = Notice("db-1/postgres/unhealthy/oncall", "oncall", LABELS, "1 of 3 is unhealthy", 1.8e9)
OVER = Notice(FIRES.key, "oncall", LABELS, FIRES.summary, 1.8e9, 1.8e9 + 90.5)


def written(folder: Path, text: str, secret: str = "s3cret\n") -> Path:
    (folder / "key").write_text(secret)
    (folder / "key").chmod(0o600)
    (folder / "url").write_text("https://example.org/s3cret\n")
    (folder / "url").chmod(0o600)
    path = folder / "receivers.yaml"
    text = text.replace("KEY", str(folder / "key")).replace("URL", str(folder / "url"))
    path.write_text(text)
    return path


def test_each_kind_is_read(tmp_path: Path) -> None:
    read = read_receivers_file(
        written(
            tmp_path,
            """
am: {kind: alertmanager, urls: ["http://a:9093/", "https://b:9093/x"], token_file: KEY}
hook: {kind: webhook, url: "https://example.org/hook"}
hidden: {kind: webhook, url_file: URL}
oncall: {kind: pagerduty, routing_key_file: KEY, severity: warning}
team:
  kind: email
  smtp: mail.example.org
  from: pymesos@example.org
  to: [a@example.org, b@example.org]
  username: u
  password_file: KEY
""",
        )
    )
    key = tmp_path / "key"
    assert read["am"] == Alertmanager("am", ("http://a:9093", "https://b:9093/x"), key)
    assert read["hook"] == Webhook("hook", "https://example.org/hook")
    assert read["hidden"] == Webhook("hidden", None, tmp_path / "url")
    assert read["oncall"] == PagerDuty("oncall", key, severity="warning")
    team = read["team"]
    assert isinstance(team, Email) and str(team.server) == "mail.example.org:587"
    assert (team.tls, team.to) == (Tls.STARTTLS, ("a@example.org", "b@example.org"))


@pytest.mark.parametrize("text", ["", "# none yet\n", "{}"])
def test_a_file_without_any_is_warned_of(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_receivers_file(written(tmp_path, text)) == {}
    assert "names no receivers: nobody is told of any alert" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "1: receivers are a mapping"),
        ("a-: {kind: webhook}", "1: the name 'a-' cannot be used"),
        ("a: webhook", "1: a has to be a mapping, as in a: {kind: …}"),
        ("a: {}", "a.kind: it is missing"),
        ("\na: {kind: pager}", "2: a.kind is 'pager'; expected is one of alertmanager, webhook"),
        ("a: {kind: webhook}", "a.url: give the address here, or a file"),
        ("a: {kind: webhook, url: 'ftp://x'}", "a.url: an address that begins with http://"),
        ("a: {kind: webhook, url: 'http://x:99999'}", "a.url: an address that begins"),
        ("a: {kind: webhook, url: 'http://x', urll: y}", "a.urll: unknown key; did you mean url?"),
        ("a: {kind: alertmanager, urls: []}", "a.urls: a list of 1 to 16 texts"),
        ("a: {kind: alertmanager, urls: ['http://x', 'http://x/']}", "is given twice"),
        ("a: {kind: pagerduty}", "a.routing_key_file: it is missing"),
        ("a: {kind: pagerduty, routing_key_file: /nowhere}", "/nowhere: No such file"),
        ("a: {kind: email, smtp: x, from: me, to: [a@b]}", "a.from: 'me' is not an address"),
        ("a: {kind: email, smtp: x, from: a@b, to: [a@b], username: u}", "are given together"),
        ("a: {kind: webhook, url_file: KEY}", "a.url_file: an address that begins with http://"),
        (
            "a: {kind: webhook, url: 'http://u:p@x', token_file: KEY}",
            "a.url: it has a user, and there is a token_file, too: give one of them",
        ),
        ("a: {kind: alertmanager, urls: ['http://x', 'http://u:p@x?y']}", "urls: address 2 has ?"),
        (
            "a: {kind: email, smtp: x, from: a@b, to: [a@b], username: jörg, password_file: KEY}",
            "a.username: it is to be ASCII",
        ),
        (
            "a: {kind: email, smtp: x, from: a@b, to: [a@b], username: u, password_file: KEY,"
            " tls: none}",
            "a.tls: a password is not sent in the clear",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ReceiversError) as error:
        read_receivers_file(written(tmp_path, text))
    assert said in str(error.value) and "receivers.yaml" in str(error.value)


@pytest.mark.parametrize("secret", ["", "two\nlines", "ä"])
def test_a_secret_is_one_line_and_is_not_repeated(tmp_path: Path, secret: str) -> None:
    text = "a: {kind: pagerduty, routing_key_file: KEY}"
    with pytest.raises(ReceiversError) as error:
        read_receivers_file(written(tmp_path, text, secret))
    assert not secret or secret not in str(error.value)


def test_a_secret_that_others_can_read_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, "a: {kind: webhook, url_file: KEY}")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ReceiversError, match="chmod 600"):
        read_receivers_file(path)


def test_what_fires_ends_for_alertmanager_unless_it_is_sent_again() -> None:
    fires, _ = formats.alertmanager([FIRES, OVER], now_s=1.8e9 + 30)
    (over,) = formats.alertmanager([OVER], now_s=1.8e9 + 95)
    assert fires["labels"] == over["labels"] == LABELS
    assert fires["startsAt"] == over["startsAt"] == "2027-01-15T08:00:00.000Z"
    assert fires["endsAt"] == "2027-01-15T08:04:30.000Z"
    assert over["endsAt"] == "2027-01-15T08:01:30.500Z"


def test_what_is_over_ends_by_the_clock_of_alertmanager_too() -> None:
    """One whose clock is behind takes an end for one that is ahead, and goes on for minutes."""
    (told_at_once,) = formats.alertmanager([OVER], now_s=OVER.ended_s + 0.01)
    assert told_at_once["endsAt"] == "2027-01-15T08:01:28.510Z"
    (begun_at_once,) = formats.alertmanager([replace(OVER, ended_s=1.8e9 + 1)], now_s=1.8e9)
    assert begun_at_once["startsAt"] == begun_at_once["endsAt"] == "2027-01-15T07:59:58.000Z"


def test_a_clock_that_was_ahead_keeps_no_alert_from_alertmanager() -> None:
    """Alertmanager refuses an alert that ends before it begins, and all that come with it."""
    fires, over = formats.alertmanager([FIRES, OVER], now_s=1.8e9 - 3600)
    assert fires["startsAt"] == "2027-01-15T07:00:00.000Z" < fires["endsAt"]
    assert over["startsAt"] == over["endsAt"] == "2027-01-15T06:59:58.000Z"


def test_a_clock_that_shows_no_day_keeps_no_alert_from_anybody() -> None:
    never = replace(FIRES, began_s=2.0**40)
    assert formats.webhook(never)["alerts"][0]["startsAt"] == "9999-12-31T23:59:59.000Z"
    assert "9999" in formats.mail(never, "p@example.org", ["a@example.org"])["Date"]


def test_a_webhook_gets_version_4() -> None:
    body = formats.webhook(FIRES)
    assert (body["version"], body["status"], body["groupKey"]) == ("4", "firing", FIRES.key)
    (alert,) = body["alerts"]
    assert alert["endsAt"] == "0001-01-01T00:00:00Z" and alert["labels"] == LABELS
    assert formats.webhook(OVER)["alerts"][0]["status"] == "resolved"
    # As Alertmanager 0.25 answers for these labels.
    assert formats.fingerprint({"alertname": "a", "job": "b"}) == "b1929844e23ab434"
    assert formats.fingerprint({**LABELS, "task": "ä"}) == "2e1e0ddaf88dd059"


def test_pagerduty_gets_one_key_for_both() -> None:
    trigger = formats.pagerduty(FIRES, "key", "critical")
    resolve = formats.pagerduty(OVER, "key", "critical")
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == FIRES.key
    assert trigger["payload"]["summary"] == FIRES.summary
    assert len(json.dumps(trigger)) < 2000
    long = formats.dedup_key("ä" * 200), formats.dedup_key("ä" * 199 + "b")
    assert all(len(key.encode()) <= 255 for key in long) and long[0] != long[1]


def test_mail_of_one_alert_is_one_thread() -> None:
    first = formats.mail(FIRES, "p@example.org", ["a@example.org", "b@example.org"])
    second = formats.mail(OVER, "p@example.org", ["a@example.org"])
    assert first["Subject"] == "[firing] 1 of 3 is unhealthy"
    assert second["References"] == first["Message-ID"] != second["Message-ID"]
    hostile = Notice("k", "r", {}, "a\nBcc: x@example.org\x1b[2J", 1.8e9)
    assert "\n" not in formats.mail(hostile, "p@example.org", ["a@example.org"])["Subject"]
