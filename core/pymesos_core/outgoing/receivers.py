"""Receivers: who is told, by which names, read from a YAML file and checked.

oncall: {kind: pagerduty, routing_key_file: /etc/pymesos/pagerduty}
alertmanagers: {kind: alertmanager, urls: ["http://am1:9093", "http://am2:9093"]}
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymesos_core.addresses import AddressError, HostPort, parse_host_port
from pymesos_core.documents import DocumentError, Items, Plain, Section, read_yaml
from pymesos_core.nearest import hint
from pymesos_core.outgoing.secret_files import read_secret, secret_problem
from pymesos_core.private import read_file
from pymesos_core.text import os_problem, quoted

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 256 * 1024
MAX_RECEIVERS = 1000
MAX_URLS = 16
MAX_ADDRESSES = 50
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
SEVERITIES = ("critical", "error", "warning", "info")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
# Without quotes, comments and lists, which RFC 5322 has, too.
_WORD, _LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9-]{1,63}"
_MAIL = re.compile(rf"{_WORD}(\.{_WORD})*@{_LABEL}(\.{_LABEL})*")
MAX_MAIL = 254


class ReceiversError(ValueError):
    """The file of receivers cannot be used: the message begins with the file and the line."""


class Tls(StrEnum):
    """How mail is protected on its way to the server."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Every Alertmanager of a set, each of which is told."""

    name: str
    urls: tuple[str, ...]
    token: Path | None = None
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that is sent what Alertmanager's webhooks send. It is given, or in a file."""

    name: str
    url: str | None = None
    url_file: Path | None = None
    token: Path | None = None
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """A service of PagerDuty."""

    name: str
    routing_key: Path
    url: str = PAGERDUTY
    severity: str = "critical"
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class Email:
    """People, by mail."""

    name: str
    server: HostPort
    sender: str
    to: tuple[str, ...]
    tls: Tls = Tls.STARTTLS
    username: str = ""
    password: Path | None = None
    authorities: Path | None = None


Receiver = Alertmanager | Webhook | PagerDuty | Email


def read_receivers_file(path: Path) -> Mapping[str, Receiver]:
    """The receivers of a file, by name. Raises ReceiversError."""
    try:
        data = read_file(path, MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ReceiversError(os_problem(error)) from None
    if len(data) > MAX_FILE_BYTES:
        raise ReceiversError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    try:
        found = read_receivers(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ReceiversError(f"{path} is not UTF-8") from None
    except DocumentError as error:
        raise ReceiversError(f"{path}: {error}") from None
    if not found:
        log.warning("%s names no receivers: nobody is told of any alert", path)
    return found


def read_receivers(text: str) -> Mapping[str, Receiver]:
    """The receivers of a document, by name. Raises DocumentError."""
    read = read_yaml(text)
    if isinstance(read, Plain) and read.value is None:
        return {}
    if not isinstance(read, Section):
        raise DocumentError("receivers are a mapping: NAME: {kind: …}", 1)
    if len(read) > MAX_RECEIVERS:
        raise DocumentError(f"{len(read)} receivers; at most {MAX_RECEIVERS} are accepted", 1)
    return {name: _receiver(name, read[name], read.lines[name]) for name in read}


def _receiver(name: str, read: Any, line: int) -> Receiver:
    if not _NAME.fullmatch(name):
        raise DocumentError(
            f"the name {quoted(name)} cannot be used; expected: at most 63 letters a-z and A-Z,"
            f" digits, - and _, with a letter or a digit at both ends",
            line,
        )
    if not isinstance(read, Section):
        raise DocumentError(f"{name} has to be a mapping, as in {name}: {{kind: …}}", line)
    keys = _Keys(name, read, line)
    kind = keys.text("kind", needed=True)
    if kind not in _MAKE:
        raise DocumentError(
            f"{name}.kind is {quoted(kind)}; expected is one of {', '.join(_MAKE)}", line
        )
    made = _MAKE[kind](keys)
    keys.end()
    return made


class _Keys:
    """The keys of a receiver, of which each is asked for once."""

    def __init__(self, name: str, section: Section, line: int) -> None:
        self.name = name
        self._section = section
        self._line = line
        self._asked: dict[str, None] = {}

    def wrong(self, key: str, problem: str) -> DocumentError:
        """The error for the value of a key."""
        return DocumentError(
            f"{self.name}.{key}: {problem}", self._section.lines.get(key, self._line)
        )

    def text(self, key: str, usual: str = "", *, needed: bool = False) -> str:
        """A text."""
        self._asked[key] = None
        value = self._section.get(key)
        if value is None and not needed:
            return usual
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "it is missing" if value is None else "text is expected")
        if not value.isprintable():
            raise self.wrong(key, "it has a character that nobody sees")
        return value

    def texts(self, key: str, most: int) -> tuple[str, ...]:
        """A list of texts, at least one."""
        self._asked[key] = None
        value = self._section.get(key)
        texts = tuple(value) if isinstance(value, Items) else ()
        if not 1 <= len(texts) <= most or not all(
            isinstance(text, str) and text.isprintable() for text in texts
        ):
            raise self.wrong(key, f"a list of 1 to {most} texts is expected")
        return texts

    def one_of(self, key: str, words: Iterable[str], usual: str) -> str:
        """One of some words."""
        value = self.text(key, usual)
        if value not in words:
            raise self.wrong(key, f"{quoted(value)} is not one of {', '.join(words)}")
        return value

    def url(self, key: str, value: str) -> str:
        """A URL that can be asked; it may hold a secret, and is not repeated."""
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        if not good or " " in value or not value.isascii():
            raise self.wrong(key, "an address that begins with http:// or https:// is expected")
        if "@" in parts.netloc and self._section.get("token_file") is not None:
            raise self.wrong(key, "it has a user, and there is a token_file, too: give one of them")
        return value

    def secret(self, key: str, *, needed: bool = False) -> Path | None:
        """A file with a secret, which can be read now."""
        written = self.text(key, needed=needed)
        if not written:
            return None
        path = Path(written)
        if problem := secret_problem(path):
            raise self.wrong(key, problem)
        return path

    def authorities(self) -> Path | None:
        """A PEM file."""
        written = self.text("ca_file")
        try:
            there = not written or Path(written).is_file()
        except OSError as error:
            raise self.wrong("ca_file", os_problem(error)) from None
        if not there:
            raise self.wrong("ca_file", f"there is no file {quoted(written)}")
        return Path(written) if written else None

    def end(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._section:
            if key not in self._asked:
                raise self.wrong(key[:100], f"unknown key; {hint(key, self._asked)}")


def _alertmanager(keys: _Keys) -> Receiver:
    urls = keys.texts("urls", MAX_URLS)
    checked = tuple(keys.url("urls", url).rstrip("/") for url in urls)
    for number, url in enumerate(checked, 1):
        if "?" in url or "#" in url:
            told = f"address {number} has ? or #, and a path is put behind it"
            raise keys.wrong("urls", told)
    if len(set(checked)) < len(checked):
        raise keys.wrong("urls", "an address is given twice")
    return Alertmanager(keys.name, checked, keys.secret("token_file"), keys.authorities())


def _webhook(keys: _Keys) -> Receiver:
    url, file = keys.text("url"), keys.secret("url_file")
    if bool(url) == bool(file):
        raise keys.wrong("url", "give the address here, or a file that holds it as url_file")
    checked = keys.url("url", url) if url else None
    if file:
        keys.url("url_file", read_secret(file))
    return Webhook(keys.name, checked, file, keys.secret("token_file"), keys.authorities())


def _pagerduty(keys: _Keys) -> Receiver:
    routing_key = keys.secret("routing_key_file", needed=True)
    assert routing_key is not None
    url = keys.url("url", keys.text("url", PAGERDUTY))
    severity = keys.one_of("severity", SEVERITIES, "critical")
    return PagerDuty(keys.name, routing_key, url, severity, keys.authorities())


def _email(keys: _Keys) -> Receiver:
    try:
        server = parse_host_port(keys.text("smtp", needed=True), 587)
    except AddressError as error:
        raise keys.wrong("smtp", str(error)) from None
    sender, to = keys.text("from", needed=True), keys.texts("to", MAX_ADDRESSES)
    for key, address in (("from", sender), *(("to", each) for each in to)):
        if len(address) > MAX_MAIL or not _MAIL.fullmatch(address):
            raise keys.wrong(key, f"{quoted(address)} is not an address like name@example.org")
    tls = Tls(keys.one_of("tls", tuple(Tls), Tls.STARTTLS))
    username, password = keys.text("username"), keys.secret("password_file")
    if bool(username) != bool(password):
        raise keys.wrong("username", "username and password_file are given together, or neither is")
    if not username.isascii():
        raise keys.wrong("username", "it is to be ASCII, as servers of mail take it")
    if username and tls is Tls.NONE:
        raise keys.wrong("tls", "a password is not sent in the clear: let it be starttls or tls")
    return Email(keys.name, server, sender, to, tls, username, password, keys.authorities())


_MAKE: Mapping[str, Callable[[_Keys], Receiver]] = {
    "alertmanager": _alertmanager,
    "webhook": _webhook,
    "pagerduty": _pagerduty,
    "email": _email,
}
