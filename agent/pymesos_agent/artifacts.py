"""What a task wants in its sandbox before it starts: fetched, checked, unpacked.

A file whose checksum the task gives is kept for the next that wants it. Archives come from
anywhere, so no member leaves the sandbox: not by its name, not through a link of an earlier one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from pymesos_agent.below import FOLDER, OutsideError, parent_of, parts_of
from pymesos_agent.isolation import host_path_problem
from pymesos_agent.runtimes.interface import AllowedPath
from pymesos_proto.v1 import types_pb2 as pb

CHUNK_BYTES = 1024 * 1024
MAX_BYTES = 16 * 1024**3
MAX_MEMBERS = 1_000_000
TIMEOUT_S = 30.0  # without a byte
SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactError(Exception):
    """It cannot be had: the message says why."""


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
    ) -> None:
        """One of a task's. Blocking; `stopped` is asked now and then. Raises ArtifactError."""
        if problem := artifact_problem(artifact):
            raise ArtifactError(problem)
        try:
            with self._file(artifact, stopped) as file:
                if artifact.extract:
                    _extract(file, sandbox, artifact.path, owner)
                else:
                    _copy(file, sandbox, name_of(artifact), owner, artifact.executable)
        except OutsideError as error:
            raise ArtifactError(f"{artifact.uri}: {error}") from error
        except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            raise ArtifactError(f"{artifact.uri} is no archive, or damaged: {error}") from error
        except urllib.error.URLError as error:
            raise ArtifactError(f"{artifact.uri} cannot be fetched: {error.reason}") from error
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{artifact.uri} cannot be fetched: {error}") from error

    @contextlib.contextmanager
    def _file(self, artifact: pb.Artifact, stopped: Callable[[], bool]) -> Iterator[IO[bytes]]:
        """From the cache; else fetched, and kept if its checksum was given."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        kept = self._directory / artifact.sha256
        if artifact.sha256 and kept.is_file():
            os.utime(kept)
            with kept.open("rb") as file:
                yield file
            return
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="new-") as new:
            digest = hashlib.sha256()
            with self._open(artifact.uri) as source:
                size = 0
                while data := source.read(CHUNK_BYTES):
                    size += len(data)
                    if size > MAX_BYTES:
                        raise ArtifactError(f"{artifact.uri} has more than {MAX_BYTES} bytes")
                    if stopped():
                        raise ArtifactError(f"{artifact.uri} is not wanted any more")
                    digest.update(data)
                    new.write(data)
            new.flush()
            if artifact.sha256 and digest.hexdigest() != artifact.sha256:
                raise ArtifactError(
                    f"{artifact.uri} is not what was asked for: its SHA-256 is {digest.hexdigest()}"
                )
            if artifact.sha256:
                with contextlib.suppress(FileExistsError):
                    os.link(new.name, kept)
                self._collect(kept)
            new.seek(0)
            yield new

    def _open(self, uri: str) -> IO[bytes]:
        parts = urlsplit(uri)
        if parts.scheme == "file":
            path = unquote(parts.path)
            mount = pb.ContainerMount(host_path=path, read_only=True)
            if problem := host_path_problem(mount, self._host_paths):
                raise ArtifactError(problem)
            file = os.open(os.path.realpath(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                raise ArtifactError(f"{path} is not a file")
            return os.fdopen(file, "rb")
        # Of all that urllib can open only this: a redirection must not lead to a file.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
        ):
            opener.add_handler(handler)
        answer: IO[bytes] | None = opener.open(uri, timeout=TIMEOUT_S)
        if answer is None:
            raise ArtifactError(f"{uri} leads to what is not HTTP")
        return answer

    def _collect(self, newest: Path) -> None:
        """Remove what was not used for longest until the rest fits."""
        kept = [p for p in self._directory.iterdir() if SHA256.fullmatch(p.name)]
        kept.sort(key=lambda p: p.stat().st_mtime)
        total = sum(p.stat().st_size for p in kept)
        for path in kept:
            if total > self._cache_bytes and path != newest:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)


def artifact_problem(artifact: pb.Artifact) -> str | None:
    """What can be said without fetching it."""
    try:
        scheme = urlsplit(artifact.uri).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https", "file"):
        return f"{artifact.uri[:200]!r} is not http, https or file"
    if artifact.sha256 and not SHA256.fullmatch(artifact.sha256):
        return f"{artifact.sha256[:80]!r} is no SHA-256: 64 hexadecimal digits"
    if artifact.extract and artifact.executable:
        return f"{artifact.uri[:200]}: either extract or executable"
    if not artifact.extract and not name_of(artifact):
        return f"{artifact.uri[:200]} has no name; give it a path"
    return None


def name_of(artifact: pb.Artifact) -> str:
    """Where it goes below the sandbox: as asked, else the last part of its address."""
    return artifact.path or unquote(urlsplit(artifact.uri).path).rpartition("/")[2]


def _copy(
    source: IO[bytes], sandbox: Path, path: str, owner: tuple[int, int] | None, executable: bool
) -> None:
    root = os.open(sandbox, FOLDER)
    try:
        _write(root, path, source, 0o755 if executable else 0o644, owner)
    finally:
        os.close(root)


def _write(
    root: int, path: str, source: IO[bytes], mode: int, owner: tuple[int, int] | None
) -> None:
    parts = parts_of(path)
    if not parts:
        raise OutsideError(f"{path!r} is no name of a file")
    with parent_of(root, parts, owner) as parent:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(parts[-1], dir_fd=parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(parts[-1], flags, 0o600, dir_fd=parent), "wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
            if owner is not None:
                os.fchown(target.fileno(), *owner)
            os.fchmod(target.fileno(), mode)


def _extract(file: IO[bytes], sandbox: Path, path: str, owner: tuple[int, int] | None) -> None:
    """Files, folders and links; nothing else of an archive is wanted in a sandbox."""
    root = os.open(sandbox, FOLDER)
    try:
        prefix = f"{path}/" if path else ""
        if zipfile.is_zipfile(file):
            file.seek(0)
            _extract_zip(file, root, prefix, owner)
        else:
            file.seek(0)
            _extract_tar(file, root, prefix, owner)
    finally:
        os.close(root)


def _extract_zip(file: IO[bytes], root: int, prefix: str, owner: tuple[int, int] | None) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_BYTES:
            raise ArtifactError("the archive is too large")
        for member in members:
            if member.is_dir():
                _make_folder(root, prefix + member.filename, owner)
                continue
            executable = (member.external_attr >> 16) & 0o100
            with archive.open(member) as source:
                mode = 0o755 if executable else 0o644
                _write(root, prefix + member.filename, source, mode, owner)


def _extract_tar(file: IO[bytes], root: int, prefix: str, owner: tuple[int, int] | None) -> None:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        size = 0
        for number, member in enumerate(archive):
            size += member.size
            if number > MAX_MEMBERS or size > MAX_BYTES:
                raise ArtifactError("the archive is too large")
            if member.isdir():
                _make_folder(root, prefix + member.name, owner)
            elif member.isreg():
                source = archive.extractfile(member)
                assert source is not None
                mode = 0o755 if member.mode & 0o100 else 0o644
                _write(root, prefix + member.name, source, mode, owner)
            elif member.issym():
                _make_link(root, prefix + member.name, member.linkname, owner)
            else:
                raise OutsideError(f"{member.name[:200]!r} is neither a file, a folder nor a link")


def _make_folder(root: int, path: str, owner: tuple[int, int] | None) -> None:
    with parent_of(root, [*parts_of(path), "."], owner):
        return


def _make_link(root: int, path: str, target: str, owner: tuple[int, int] | None) -> None:
    """One that stays within the archive's folder; what the agent writes follows no link anyway."""
    parts = parts_of(path)
    depth = len(parts) - 1
    for part in target.split("/"):
        depth += {"..": -1, "": 0, ".": 0}.get(part, 1)
        if depth < 0 or target.startswith("/"):
            raise OutsideError(f"{path[:200]!r} is a link that leads out")
    with parent_of(root, parts, owner) as parent:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(parts[-1], dir_fd=parent)
        os.symlink(target, parts[-1], dir_fd=parent)
        if owner is not None:
            os.chown(parts[-1], *owner, dir_fd=parent, follow_symlinks=False)
