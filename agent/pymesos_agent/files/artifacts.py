"""What a task wants in its sandbox before it starts: fetched, checked, unpacked.

A file whose checksum the task gives is kept for the next that wants it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import socket
import stat
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from pymesos_agent.containers.hostpaths import HostPathError, judged
from pymesos_agent.containers.settings import AllowedPath
from pymesos_agent.files.archives import ArchiveError, Unpacker
from pymesos_agent.files.below import OutsideError, open_real, parts_of
from pymesos_agent.files.unpacking import UnpackingStoppedError, User, extract, open_as
from pymesos_proto.v1 import types_pb2 as pb

CHUNK_BYTES = 1024 * 1024
MAX_BYTES = 16 * 1024**3
TIMEOUT_S = 30.0  # without a byte
SHA256 = re.compile(r"[0-9a-f]{64}")
WRITABLE_IN_A_URI = re.compile(r"[!-~]+")
MOST_STATUSES = 100  # of one answer
WHOLE = (200, 203)  # answers that are all of a file


OnSocket = Callable[[socket.socket], None]


class ArtifactError(Exception):
    """An artifact cannot be fetched: the message says why."""


class Artifacts:
    """Fetches into sandboxes; `directory` is the cache."""

    def __init__(self, directory: Path, host_paths: Sequence[AllowedPath], cache_mib: int) -> None:
        self._directory = directory
        self._host_paths = tuple(host_paths)
        self._cache_bytes = cache_mib * 1024 * 1024

    def fetch(
        self,
        artifact: pb.Artifact,
        sandbox: Path,
        owner: tuple[int, int] | None,
        stopped: Callable[[], bool],
        on_socket: OnSocket = lambda _: None,
        reader: User | None = None,
    ) -> None:
        """One of a task's; files of the machine are read as `reader`. Blocking; `stopped` is asked
        when something has come, and `on_socket` hears of what to shut down so that nothing is
        waited for. Raises ArtifactError.
        """
        if problem := artifact_problem(artifact):
            raise ArtifactError(problem)
        uri = artifact.uri[:1000]

        def go_on() -> None:
            if stopped():
                raise ArtifactError(f"{uri} is not wanted any more")

        try:
            with (
                self._file(artifact, go_on, on_socket, reader) as file,
                Unpacker(sandbox, owner, go_on) as into,
            ):
                if artifact.extract:
                    extract(file, sandbox, artifact.path, owner, stopped)
                else:
                    into.write(name_of(artifact), file, 0o755 if artifact.executable else 0o644)
        except ArtifactError:
            raise
        except UnpackingStoppedError as error:
            raise ArtifactError(f"{uri} is not wanted any more") from error
        except OutsideError as error:
            raise ArtifactError(f"{uri}: {error}") from error
        except ArchiveError as error:
            raise ArtifactError(f"{uri} {error}") from error
        except urllib.error.URLError as error:
            raise ArtifactError(f"{uri} cannot be fetched: {error.reason}") from error
        except http.client.IncompleteRead as error:
            raise ArtifactError(f"{uri} was cut off before its end") from error
        except Exception as error:  # whatever a peer sends, the task is told
            text = str(error) or type(error).__name__
            raise ArtifactError(f"{uri} cannot be fetched: {text}") from error

    @contextlib.contextmanager
    def _file(
        self,
        artifact: pb.Artifact,
        go_on: Callable[[], None],
        on_socket: OnSocket,
        reader: User | None,
    ) -> Iterator[IO[bytes]]:
        """From the cache; else fetched, and kept if its checksum was given.

        What is here is not kept: another task's user may not read it.
        """
        self._directory.mkdir(mode=0o700, exist_ok=True)
        kept = artifact.sha256 and urlsplit(artifact.uri).scheme != "file"
        if kept and (cached := self._cached(artifact.sha256)) is not None:
            with cached:
                yield cached
            return
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="new-") as new:
            digest = hashlib.sha256()
            with contextlib.closing(self._open(artifact.uri, on_socket, reader)) as source:
                announced = getattr(source, "length", None)  # none where it comes in chunks
                size = 0
                while data := source.read1(CHUNK_BYTES):
                    size += len(data)
                    if size > MAX_BYTES:
                        raise ArtifactError(f"{artifact.uri} has more than {MAX_BYTES} bytes")
                    go_on()
                    digest.update(data)
                    new.write(data)
                if announced is not None and size != announced:
                    raise ArtifactError(
                        f"{artifact.uri} was cut off: {size} of {announced} bytes came"
                    )
            go_on()  # what came may have ended because it was to
            new.flush()
            if artifact.sha256 and digest.hexdigest() != artifact.sha256:
                raise ArtifactError(
                    f"{artifact.uri} is not what was asked for: its SHA-256 is {digest.hexdigest()}"
                )
            if kept:
                os.fsync(new.fileno())  # under its final name it is whole, whatever happens
                with contextlib.suppress(FileExistsError):
                    os.link(new.name, self._directory / artifact.sha256)
                self._collect(self._directory / artifact.sha256)
            new.seek(0)
            yield new

    def _cached(self, sha256: str) -> IO[bytes] | None:
        """What was kept under a checksum, if it still has it. Raises OSError."""
        kept = self._directory / sha256
        try:
            file = kept.open("rb")
        except FileNotFoundError:
            return None
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            file.close()
            kept.unlink(missing_ok=True)
            return None
        with contextlib.suppress(FileNotFoundError):
            os.utime(kept)
        file.seek(0)
        return file

    def _open(self, uri: str, on_socket: OnSocket, reader: User | None) -> Any:
        """With `read1` and `close`. Raises ArtifactError, OSError, ValueError, HTTPException."""
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return self._open_here(unquote(parts.path), reader)
        opener = _opener(on_socket)
        answer: http.client.HTTPResponse | None = opener.open(uri, timeout=TIMEOUT_S)
        if answer is None:
            raise ArtifactError(f"{uri} leads to what is not HTTP")
        if answer.status not in WHOLE:
            answer.close()
            raise ArtifactError(f"{uri} was answered with {answer.status}, not with a whole file")
        return answer

    def _open_here(self, path: str, reader: User | None) -> IO[bytes]:
        """A file of the machine. Raises ArtifactError, OSError."""
        mount = pb.ContainerMount(host_path=path, read_only=True)
        try:
            real = judged(mount, self._host_paths)
            if reader is None:
                file = open_real(real, os.O_RDONLY | os.O_NONBLOCK)
            else:
                file = open_as(reader, real)
        except HostPathError as error:
            raise ArtifactError(str(error)) from error
        except PermissionError:
            who = "the user of the task" if reader is None else f"the user {reader[0]}"
            raise ArtifactError(
                f"{path} may not be read by {who}, as which it is read; chmod o+r lets everybody"
            ) from None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise ArtifactError(f"{path} is not a file")
        return os.fdopen(file, "rb")

    def _collect(self, newest: Path) -> None:
        """Remove what was not used for longest until the rest fits."""
        kept: list[tuple[float, int, Path]] = []
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # by another fetch that collects
                if SHA256.fullmatch(path.name):
                    kept.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total > self._cache_bytes and path != newest:
                total -= size
                path.unlink(missing_ok=True)

    def remove_unfinished(self) -> None:
        """What an earlier agent was fetching when it was killed."""
        for path in self._directory.glob("new-*"):
            path.unlink(missing_ok=True)


class _Answer(http.client.HTTPResponse):
    """An answer, before which a server may say a few times only that it goes on (100 Continue).

    One that says it for ever would keep a thread, and with it the agent, busy.
    """

    _statuses = 0

    def _read_status(self) -> tuple[str, int, str]:
        self._statuses += 1
        if self._statuses > MOST_STATUSES:
            raise http.client.HTTPException("its server says only that it goes on")
        read: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        return read


def _opener(on_socket: OnSocket) -> urllib.request.OpenerDirector:
    """An opener for HTTP alone of all that urllib can open: no redirection leads to a file."""

    class Plain(http.client.HTTPConnection):
        response_class = _Answer

        def connect(self) -> None:
            super().connect()
            on_socket(self.sock)

    class Secure(http.client.HTTPSConnection):
        response_class = _Answer

        def connect(self) -> None:
            super().connect()
            on_socket(self.sock)

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        PlainHandler(),
        SecureHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def artifact_problem(artifact: pb.Artifact) -> str | None:
    """What can be said without fetching it."""
    uri = artifact.uri[:200]
    try:
        parts = urlsplit(artifact.uri)
        parts.port  # noqa: B018 - raises ValueError for what is no number
    except ValueError:
        return f"{uri!r} is no address: its host or its port is none"
    if parts.scheme not in ("http", "https", "file"):
        return f"{uri!r} is not http, https or file"
    if not WRITABLE_IN_A_URI.fullmatch(artifact.uri):
        return (
            f"{uri!r} is no address: a space, and whatever is no ASCII character, is written as"
            f" %XX in it (a space as %20)"
        )
    if "@" in parts.netloc:
        return f"the address at {parts.hostname!r} has credentials in it, which are not supported"
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        return f"{uri!r} names the host {parts.netloc!r}; a file is written as file:///its/path"
    if parts.scheme != "file" and not parts.hostname:
        return f"{uri!r} names no host"
    if artifact.sha256 and not SHA256.fullmatch(artifact.sha256):
        return f"{artifact.sha256[:80]!r} is no SHA-256: 64 hexadecimal digits"
    if artifact.extract and artifact.executable:
        return f"{uri}: either extract or executable"
    if not artifact.extract and not name_of(artifact):
        return f"{uri} has no name; give it a path"
    try:
        parts_of(artifact.path if artifact.extract else name_of(artifact))
    except OutsideError as error:
        return f"{uri}: the path {error}"
    return None


def name_of(artifact: pb.Artifact) -> str:
    """Where it goes below the sandbox: as asked, else the last part of its address."""
    return artifact.path or unquote(urlsplit(artifact.uri).path).rpartition("/")[2]
