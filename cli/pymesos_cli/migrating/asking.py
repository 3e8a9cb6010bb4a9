"""Asks a master of Mesos, and its agents, what they are and have: GETs, and nothing else."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pymesos_cli.errors import EXIT_NO_MASTER, EXIT_USAGE, CliError
from pymesos_cli.given import given
from pymesos_core.text import cut, one_line, os_problem, quoted

MAX_SAID = 400  # characters of what a master says as it refuses
MAX_BYTES = 256 * 1024 * 1024  # of an answer: a large cluster's tasks
MAX_SECRET_BYTES = 4096
TIMEOUT_S = 30.0
AGENT_TIMEOUT_S = 5.0
MOST_REDIRECTIONS = 3
PATHS = ("version", "flags", "frameworks", "slaves", "roles", "weights", "quota")
_PID = re.compile(r"[^@]{1,100}@([^@/\s]{1,255}:[0-9]{1,5})")

_USUAL_PORTS = {"http": 80, "https": 443}

Json = dict[str, Any]


@dataclass(frozen=True)
class AgentFlags:
    """The flags of one agent; None: why they are not known."""

    agent: str
    flags: Mapping[str, str] | None
    problem: str = ""


def master_at(text: str) -> SplitResult:
    """Return the URL of a master: HOST:PORT, or in full. Raises CliError."""
    split = _split(text if "://" in text else f"http://{text}")
    if split is None or split.scheme not in ("http", "https") or split.username:
        raise CliError(f"{quoted(text)} is no URL such as http://HOST:5050", EXIT_USAGE)
    return split


def read_secret(file: Path) -> str:
    """Return the line that a file holds; - is standard input. Raises CliError."""
    with given(file) as stream:
        data = stream.read(MAX_SECRET_BYTES + 1)
    try:
        secret = data.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise CliError("the secret is no text in UTF-8", EXIT_USAGE) from error
    if len(data) > MAX_SECRET_BYTES or not secret:
        told = f"1 to {MAX_SECRET_BYTES} bytes are expected, and {len(data)} are there, or more"
        raise CliError(f"the secret of {quoted(str(file))}: {told}", EXIT_USAGE)
    return secret


def by_password(principal: str, file: Path) -> str:
    """What shows a master a principal and the secret in a file. Raises CliError."""
    shown = f"{principal}:{read_secret(file)}"
    return f"Basic {base64.b64encode(shown.encode()).decode()}"


def by_token(file: Path) -> str:
    """What shows a master the access token in a file. Raises CliError."""
    token = read_secret(file)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CliError(
            f"the token of {quoted(str(file))}: one word of ASCII is expected, without `Bearer`",
            EXIT_USAGE,
        )
    return f"Bearer {token}"


def _place(split: SplitResult) -> tuple[str, int]:
    """The host and the port, in one way of writing."""
    return (split.hostname or "").lower(), split.port or _USUAL_PORTS[split.scheme]


def _split(url: str) -> SplitResult | None:
    """The parts of a URL that names a host; None: it does not, or no request can be made of it."""
    try:
        split = urlsplit(url)
        # A port beyond 65535 is a ValueError, which a socket would take for another.
        is_one = split.hostname and split.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        return None
    return split if is_one else None


class Asking:
    """Asks the master at a URL, and the one that leads, where it sends there.

    Credentials are shown to the master that was named, and to `others` that were: who can answer in
    the place of a master could have them sent anywhere.
    """

    def __init__(
        self, url: str, credentials: str | None = None, others: Iterable[str] = ()
    ) -> None:
        """`credentials` are what `by_password` or `by_token` returns.

        Raises CliError for what is no URL of a master.
        """
        split = master_at(url)
        self._base = f"{split.scheme}://{split.netloc}"
        self._scheme = split.scheme
        self._credentials = credentials
        named = (master_at(one if "://" in one else f"{split.scheme}://{one}") for one in others)
        self._trusted = {_place(split), *map(_place, named)}
        self._slaves: list[Json] = []

    def master(self) -> Json:
        """Return what the master that leads says, by path. Raises CliError."""
        out = {path: self._get(path) for path in PATHS}
        slaves = out["slaves"].get("slaves") if isinstance(out["slaves"], dict) else None
        self._slaves = [one for one in listed(slaves) if isinstance(one, dict)]
        return out

    def agents_flags(self, most: int) -> Iterator[AgentFlags]:
        """Yield the flags of the first agents. One that does not answer is told of."""
        for slave in self._slaves[:most]:
            name = str(slave.get("hostname", slave.get("id", "?")))
            found = _PID.fullmatch(str(slave.get("pid", "")))
            if found is None:
                yield AgentFlags(name, None, "its address is not told")
                continue
            try:
                url = f"{self._scheme}://{found[1]}/flags"
                answer = self._open(url, AGENT_TIMEOUT_S, known=False)
                told = _parsed(url, answer) if isinstance(answer, bytes) else None
                yield AgentFlags(name, _flags(told))
            except CliError as error:
                yield AgentFlags(name, None, error.message)

    def _get(self, path: str) -> Any:
        try:
            return self._ask(f"{self._base}/{path}")
        except CliError as error:
            if path in ("quota", "weights", "roles", "flags"):  # not everybody may see these
                return {"problem": error.message}
            raise

    def _ask(self, url: str) -> Any:
        """The JSON at a URL; a master that does not lead sends to the one that does."""
        for _ in range(MOST_REDIRECTIONS):
            answer = self._open(url, TIMEOUT_S, known=True)
            if isinstance(answer, bytes):
                return _parsed(url, answer)
            url = f"{self._scheme}:{answer}" if answer.startswith("//") else answer
            split = _split(url)
            if split is None or split.scheme != self._scheme:
                raise CliError(f"{quoted(url)} is no place to be sent to", EXIT_NO_MASTER)
            if self._credentials is not None and _place(split) not in self._trusted:
                place = quoted(split.netloc)
                raise CliError(
                    f"{self._base} sends to {place} as the master that leads, which is not shown"
                    f" your credentials, as you have not named it: if it is a master of yours, add"
                    f" --also {place}",
                    EXIT_USAGE,
                )
            self._base = f"{split.scheme}://{split.netloc}"
        raise CliError(f"{url[:200]}: masters send from one to the other", EXIT_NO_MASTER)

    def _open(self, url: str, timeout_s: float, *, known: bool) -> bytes | str:
        """The body of an answer, or where it sends to. `known`: who asks is shown, to masters."""
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
        if known and self._credentials is not None:
            request.add_header("Authorization", self._credentials)
        try:
            with _OPENER.open(request, timeout=timeout_s) as answer:
                data: bytes = answer.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            location = error.headers.get("Location")
            if error.code in (302, 307) and location:
                return str(location)
            raise CliError(f"{url} answers {_refusal(error)}", EXIT_NO_MASTER) from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # URLError is one
            reason = getattr(error, "reason", error)
            told = os_problem(reason) if isinstance(reason, OSError) else str(reason)
            raise CliError(f"{url} cannot be asked: {cut(told, 300)}", EXIT_NO_MASTER) from None
        if len(data) > MAX_BYTES:
            raise CliError(f"{url} answers with more than {MAX_BYTES} bytes", EXIT_NO_MASTER)
        return data


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Redirections are followed by `Asking`, within one scheme."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""
        return


_OPENER = urllib.request.build_opener(_NoRedirection, urllib.request.ProxyHandler({}))


def _refusal(error: urllib.error.HTTPError) -> str:
    """The status of a refusal, what its sender says of it, and what helps."""
    said = ""
    if error.headers.get_content_type() == "text/plain":
        with contextlib.suppress(OSError, http.client.HTTPException):
            said = one_line(error.read(MAX_SAID).decode("utf-8", "replace").strip(), MAX_SAID)
    told = f" ({said})" if said else ""
    helps = {
        401: "; give --principal and --secret-file, or --token-file",
        403: "; give --principal and --secret-file, or --token-file, of one who may read it",
    }
    return f"{error.code}{told}{helps.get(error.code, '')}"


def _parsed(url: str, data: bytes) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise CliError(f"{url} answers no JSON: is it a master of Mesos?", EXIT_NO_MASTER) from None
    if not isinstance(value, dict | list):
        raise CliError(f"{url} answers no object: is it a master of Mesos?", EXIT_NO_MASTER)
    return value


def listed(value: Any) -> list[Any]:
    """What is said of several things; of what is no list, nothing."""
    return value if isinstance(value, list) else []


def _flags(answer: Any) -> Mapping[str, str]:
    flags = answer.get("flags") if isinstance(answer, dict) else None
    return {str(k): str(v) for k, v in flags.items()} if isinstance(flags, dict) else {}
