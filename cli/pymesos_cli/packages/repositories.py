"""The repositories of a user: where each is, the key that signs its index, and what was seen of it.

They are in one file of the user's configuration, beside the contexts.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pymesos_cli.packages.fetching import check_location, fetch
from pymesos_cli.packages.index import INDEX, Entry, Index, key_text, parse_key, read_index
from pymesos_cli.packages.package import Origin, Package, read_package
from pymesos_cli.packages.parts import (
    MAX_INDEX_BYTES,
    MAX_PACKAGE_BYTES,
    PackageError,
    Version,
)
from pymesos_core.contexts import own_contexts
from pymesos_core.nearest import nearest
from pymesos_core.private import open_regular
from pymesos_core.text import os_problem, quoted

FILE, LOCK = "packages.json", "packages.lock"
MAX_FILE_BYTES = 256 * 1024
MAX_REPOSITORIES = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NO_REPOSITORY = "there is no repository yet: `pymesos-cli package repository add` adds one"


@dataclass(frozen=True)
class Repository:
    """Where packages come from. `serial`: of the latest index that was seen."""

    name: str
    location: str
    key: str
    serial: int = 0

    @property
    def origin(self) -> Origin:
        """What a job says of where its package came from: each key is written in one way."""
        return Origin(self.name, key_text(parse_key(self.key)))


@dataclass(frozen=True)
class Found:
    """A version of a package, and the repository that has it."""

    repository: Repository
    entry: Entry


class Repositories:
    """The repositories of a user, in a folder of the user's configuration."""

    def __init__(self, folder: Path, timeout_s: float) -> None:
        self.folder = folder
        self._timeout_s = timeout_s

    def all(self) -> list[Repository]:
        """Return them in the order of their names. Raises PackageError."""
        return sorted(self._read().values(), key=lambda one: one.name)

    def add(self, name: str, location: str, key: str) -> Index:
        """Add one, once its index is there and signed by the key. Raises PackageError."""
        if _NAME.fullmatch(name) is None:
            raise PackageError(
                f"{quoted(name)} is no name of a repository: at most 63 letters, digits, -, _ and ."
                f" are expected, with a letter or a digit first"
            )
        one = Repository(name, check_location(location), key)
        index = self._fetch_index(one)
        with self._changing() as known:
            if name in known:
                raise PackageError(f"there is a repository {name} already: remove it first")
            if len(known) >= MAX_REPOSITORIES:
                raise PackageError(f"there are {MAX_REPOSITORIES} repositories: remove one first")
            known[name] = replace(one, serial=index.serial)
        return index

    def remove(self, name: str) -> None:
        """Forget one; jobs made from its packages stay. Raises PackageError."""
        with self._changing() as known:
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise PackageError(f"there is no repository {quoted(name)}; there are: {there}")
            del known[name]

    def index(self, one: Repository) -> Index:
        """Return what a repository has now. Raises PackageError, also for an older index."""
        index = self._fetch_index(one)
        if index.serial < one.serial:
            raise PackageError(
                f"the index of {one.name} is an older one than was seen before (serial"
                f" {index.serial}, before {one.serial}): somebody may hold back newer packages. If"
                f" its keeper says that this is right, remove the repository and add it again"
            )
        if index.serial > one.serial:
            with self._changing() as known:
                if known.get(one.name) == one:
                    known[one.name] = replace(one, serial=index.serial)
        return index

    def find(self, text: str, version: Version | None = None) -> Found:
        """Return the latest version of a package, or a certain one. Raises PackageError.

        The text is NAME, or REPOSITORY/NAME where several have one of that name.
        """
        where, _, name = text.rpartition("/")
        asked = [one for one in self.all() if where in ("", one.name)]
        if not asked:
            raise PackageError(
                f"there is no repository {quoted(where)}" if where else NO_REPOSITORY
            )
        everything = [Found(one, entry) for one in asked for entry in self.index(one).entries]
        of_name = [found for found in everything if found.entry.name == name]
        owners = sorted({found.repository.name for found in of_name})
        if not owners:
            near = nearest(name, {found.entry.name for found in everything})
            meant = f"did you mean {near}?" if near else "`pymesos-cli package search` lists all"
            if "@" in name:
                meant = "which version is meant is said by --version, as in --version 1.0.0"
            raise PackageError(f"no repository has a package {quoted(name)}; {meant}")
        if len(owners) > 1:
            raise PackageError(
                f"{', '.join(owners)} have a package {name}: say which, as in {owners[0]}/{name}"
            )
        fits = [found for found in of_name if version in (None, found.entry.version)]
        if not fits:
            there = ", ".join(str(found.entry.version) for found in of_name[-10:])
            raise PackageError(f"{name} has no version {version}; there are {there}")
        return max(fits, key=lambda found: found.entry.version)

    def load(self, found: Found) -> Package:
        """Return a package, once its sha256 is right. Raises PackageError."""
        entry = found.entry
        data = fetch(found.repository.location, entry.file, MAX_PACKAGE_BYTES, self._timeout_s)
        entry.check(data)
        package = read_package(data)
        if (package.name, package.version) != (entry.name, entry.version):
            raise PackageError(f"{entry.file} holds {package}: tell whoever keeps the repository")
        return package

    def _fetch_index(self, one: Repository) -> Index:
        data = fetch(one.location, INDEX, MAX_INDEX_BYTES, self._timeout_s)
        try:
            return read_index(data, parse_key(one.key))
        except PackageError as error:
            raise PackageError(f"{one.name}: {error}") from error

    def _read(self) -> dict[str, Repository]:
        path = self.folder / FILE
        try:
            file = open_regular(path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise PackageError(f"the repositories cannot be read: {os_problem(error)}") from error
        with file:
            status = os.fstat(file.fileno())
            if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
                raise PackageError(
                    f"{path} can be written by others than you, who could have you trust a key of"
                    f" theirs: look into it, then chown it to you and chmod 600 it"
                )
            data = file.read(MAX_FILE_BYTES)
        try:
            return {name: _repository(name, each) for name, each in json.loads(data).items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise PackageError(
                f"{path} cannot be used: {quoted(str(error))}. Mend it, or remove it and add your"
                f" repositories anew"
            ) from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Repository]]:
        """What is left in the mapping is written, by one process at a time. Raises PackageError."""
        try:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open(self.folder / LOCK, flags, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known = self._read()
                yield known
                self._write(known)
            finally:
                os.close(lock)
        except OSError as error:
            raise PackageError(
                f"the repositories cannot be written: {os_problem(error)}. Name another folder for"
                f" them with XDG_CONFIG_HOME"
            ) from error

    def _write(self, known: dict[str, Repository]) -> None:
        document = {
            one.name: {"location": one.location, "key": one.key, "serial": one.serial}
            for one in known.values()
        }
        handle, name = tempfile.mkstemp(prefix=".packages-", dir=self.folder)  # 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(document, indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.folder / FILE)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


def own_repositories(timeout_s: float) -> Repositories:
    """Return the repositories of this user. Raises ContextError."""
    return Repositories(own_contexts().folder_for(""), timeout_s)


def _repository(name: str, each: Any) -> Repository:
    """Raises ValueError, TypeError, KeyError."""
    location, key, serial = each["location"], each["key"], each["serial"]
    if _NAME.fullmatch(name) is None or type(serial) is not int:
        raise ValueError(f"the repository {name} is not as expected")
    parse_key(key)
    return Repository(name, check_location(location), key, serial)
