"""Contexts: the clusters that a user has named, and which of them is meant where none is said.

A context is where the masters are, with the folder of the user's certificate, and perhaps one of
a certificate for frameworks that the user starts. All are in one file of the user's configuration,
which holds no key and no password.

`pymesos-cli local` adds a context of its own for as long as it runs. It holds a lock meanwhile, so
that the context of one that was killed is not there any more, although nobody has removed it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pymesos_core.addresses import AddressError, parse_master
from pymesos_core.text import os_problem, quoted

FILE, LOCK = "contexts.json", "contexts.lock"
MAX_FILE_BYTES = 1024 * 1024
MAX_CONTEXTS = 1000
MAX_NAME_LENGTH = 63
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME_ANOTHER = "Name another folder for them with XDG_CONFIG_HOME"
_FOLDERS = ("tls", "framework_tls", "held")


class ContextError(ValueError):
    """A context cannot be read, found or written: the message says why, and what to do."""


@dataclass(frozen=True)
class Context:
    """A cluster that the user has named."""

    name: str
    master: str = field(repr=False)  # whoever wrote the file may have put a password into it
    tls: Path | None = None
    framework_tls: Path | None = None
    held: Path | None = None  # a file that `local` locks while this context means something

    @property
    def exists(self) -> bool:
        """Whether its cluster may be there: not if that was a `local` that has ended."""
        return self.held is None or is_held(self.held)


@dataclass(frozen=True)
class Said:
    """What a flag or a variable says, and its name; nothing where the text is empty."""

    text: str = field(default="", repr=False)
    by: str = ""


@dataclass(frozen=True)
class Way:
    """How to reach a cluster, and what says so: a flag, a variable or a context."""

    master: str = field(repr=False)
    tls: Path | None = None
    master_from: str = "--master"
    tls_from: str = "--tls"
    context: str = ""
    framework_tls: Path | None = None  # of the context


@dataclass(frozen=True)
class _Contents:
    """What the file holds. The names in `chosen` were chosen in that order, the last one first."""

    contexts: Mapping[str, Context]
    chosen: tuple[str, ...] = ()

    @property
    def current(self) -> Context | None:
        there = (self.contexts[name] for name in self.chosen if name in self.contexts)
        return next((context for context in there if context.exists), None)

    def without(self, names: set[str]) -> _Contents:
        left = {name: one for name, one in self.contexts.items() if name not in names}
        return _Contents(left, tuple(name for name in self.chosen if name in left))

    def with_chosen(self, name: str) -> _Contents:
        others = (other for other in self.chosen if other != name)
        return replace(self, chosen=(name, *others))


class Contexts:
    """The contexts of a user, in a folder of the user's configuration."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def all(self) -> list[Context]:
        """The contexts that exist, by name. Raises ContextError."""
        known = self._read().contexts
        return [known[name] for name in sorted(known) if known[name].exists]

    def current(self) -> Context | None:
        """The one that was chosen last, of those that exist. Raises ContextError."""
        return self._read().current

    def named(self, name: str) -> Context:
        """The one of a name. Raises ContextError."""
        return self._named(self._read(), name)

    def at(self, master: str) -> Context | None:
        """The one that has its masters at an address; of several the current. Raises ContextError.

        An address that cannot be read is no context's.
        """
        contents, wanted = self._read(), _comparable(master)
        order = (contents.current, *contents.contexts.values())
        found = (one for one in order if one and _comparable(one.master) == wanted and one.exists)
        return next(found, None) if wanted else None

    def add(self, context: Context, *, current: bool) -> None:
        """Write a new one, and have it be the current one if that is wanted, or none is.

        Raises ContextError.
        """
        _check(context)
        with self._changing() as contents:
            if context.name in contents[0].contexts:
                raise ContextError(
                    f"there is a context {context.name} already: choose another name, or remove it"
                    f" with `pymesos-cli context remove {context.name}`"
                )
            contexts = {**contents[0].contexts, context.name: context}
            added = replace(contents[0], contexts=contexts)
            current = current or added.current is None
            contents[0] = added.with_chosen(context.name) if current else added

    def add_as(self, base: str, context: Context) -> Context:
        """Add one of a name that begins so and is free; it is the current one. Raises ContextError.

        For a `local`: those of other ones that have ended are removed.
        """
        with self._changing() as contents:
            there = contents[0].contexts
            contents[0] = contents[0].without({n for n, one in there.items() if not one.exists})
            taken, number, name = contents[0].contexts, 2, base
            while name in taken:
                name, number = f"{base}-{number}", number + 1
            named = replace(context, name=name)
            _check(named)
            added = replace(contents[0], contexts={**taken, name: named})
            contents[0] = added.with_chosen(name)
        return named

    def use(self, name: str) -> None:
        """Make one the current one. Raises ContextError."""
        with self._changing() as contents:
            self._named(contents[0], name)
            contents[0] = contents[0].with_chosen(name)

    def remove(self, name: str) -> None:
        """Remove one; the one that was chosen before it is current then. Raises ContextError."""
        with self._changing() as contents:
            self._named(contents[0], name)
            contents[0] = contents[0].without({name})

    def remove_held(self, held: Path) -> None:
        """Remove the one of a `local`, whatever its name is now. Raises ContextError."""
        with self._changing() as contents:
            there = contents[0].contexts.items()
            contents[0] = contents[0].without({name for name, one in there if one.held == held})

    def folder_for(self, name: str) -> Path:
        """A folder beside the contexts, for this user alone; it is made. Raises ContextError."""
        folder = self.path.parent / name
        try:
            around = next(path for path in (folder, *folder.parents) if path.exists())
            if around.stat().st_uid != os.geteuid():
                raise ContextError(
                    f"{around} is another user's, so no contexts of yours are kept in it: name a"
                    f" folder for them with XDG_CONFIG_HOME"
                )
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(error) from error
        return folder

    def _named(self, contents: _Contents, name: str) -> Context:
        context = contents.contexts.get(name)
        if context is not None and context.exists:
            return context
        names = ", ".join(sorted(n for n, one in contents.contexts.items() if one.exists))
        there = f"there are {names}" if names else "there is none yet"
        raise ContextError(
            f"there is no context {quoted(name)}; {there}. `pymesos-cli context add` makes one"
        )

    def _read(self) -> _Contents:
        """Raises ContextError."""
        try:
            data = _read_own(self.path)
        except FileNotFoundError:
            return _Contents({})
        except OSError as error:
            raise ContextError(
                f"the contexts cannot be read: {os_problem(error)}. {_NAME_ANOTHER}"
            ) from error
        try:
            return _contents_of(json.loads(data.decode("utf-8")))
        except (ValueError, RecursionError) as error:
            said = str(error) if isinstance(error, ContextError) else "it is no JSON"
            raise ContextError(
                f"{self.path} cannot be used: {said}. Mend it, or remove it and add your contexts"
                f" anew with `pymesos-cli context add`"
            ) from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[_Contents]]:
        """What is left in the list is written, by one process at a time. Raises ContextError."""
        folder = self.folder_for("")
        try:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open(folder / LOCK, flags, 0o600)
        except OSError as error:
            raise _cannot_write(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._read()
            contents = [before]
            yield contents
            if contents[0] != before:
                self._write(contents[0])
        except OSError as error:
            raise _cannot_write(error) from error
        finally:
            os.close(lock)

    def _write(self, contents: _Contents) -> None:
        if len(contents.contexts) > MAX_CONTEXTS:
            raise ContextError(f"there are {MAX_CONTEXTS} contexts, and more cannot be kept")
        data = json.dumps(_to_json(contents), indent=1).encode()
        handle, name = tempfile.mkstemp(prefix=".contexts-", dir=self.path.parent)  # 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


def own_contexts() -> Contexts:
    """The contexts of this user. Raises ContextError where the user has no folder for them."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        base = Path(given) if given.startswith("/") else Path.home() / ".config"
    except RuntimeError as error:
        raise ContextError(
            "this user has no home folder to keep contexts in: name a folder for them with"
            " XDG_CONFIG_HOME"
        ) from error
    return Contexts(base / "pymesos")


def way_to(master: Said, tls: Said, *, context: str = "", default: str = "") -> Way:
    """The way to the cluster that is meant, by the flags and variables of a command.

    What they leave open is said by the context of that name; without one, by the context that has
    the given master, and where none is given by the current one. So no certificate is shown to a
    master that its context does not name. Raises ContextError.
    """
    if master.text and tls.text and not context:
        return Way(master.text, Path(tls.text).absolute(), master.by, tls.by)
    found = _meant(master.text, context, default)
    if found is None:
        folder = Path(tls.text).absolute() if tls.text else None
        return Way(master.text or default, folder, master.by or "--master", tls.by)
    from_it = f"the context {found.name}"
    way = Way(found.master, found.tls, from_it, from_it, found.name, found.framework_tls)
    if tls.text:
        way = replace(way, tls=Path(tls.text).absolute(), tls_from=tls.by)
    if master.text:
        way = replace(way, master=master.text, master_from=master.by)
    return way


def _meant(master: str, name: str, default: str) -> Context | None:
    if name:
        return own_contexts().named(name)
    try:
        own = own_contexts()
    except ContextError:  # no folder for them, so there are none
        return None
    return own.at(master) if master else own.current() or own.at(default)


def name_problem(name: str) -> str | None:
    """Why this is no name of a context, or None."""
    if len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name):
        return None
    return (
        f"the context's name is {quoted(name)}; expected are 1 to {MAX_NAME_LENGTH} letters,"
        f" digits, -, _ and ., with a letter or a digit first"
    )


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock of a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _check(context: Context) -> None:
    """Raises ContextError for what the file must not hold."""
    if problem := name_problem(context.name):
        raise ContextError(problem)
    try:
        parse_master(context.master)
    except AddressError as error:
        raise ContextError(f"the master of the context {context.name}: {error}") from error
    for name in _FOLDERS:
        path = getattr(context, name)
        if path is not None and (not path.is_absolute() or "\0" in str(path)):
            raise ContextError(f"{name} of the context {context.name} is no absolute path")


def _comparable(master: str) -> str:
    try:
        address = str(parse_master(master))
    except AddressError:
        return ""
    host, colon, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if colon and host == "localhost" else address


def _read_own(path: Path) -> bytes:
    """What nobody but this user, and root, can have written. Raises OSError, ContextError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):  # of a folder no file object can be made
        os.close(handle)
        raise ContextError(f"{path} is no file: remove it")
    with os.fdopen(handle, "rb") as file:
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
            raise ContextError(
                f"{path} can be written by others than you, who could lead you to a cluster of"
                f" theirs: look into it, then chown it to you and chmod 600 it"
            )
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ContextError(f"{path} is larger than {MAX_FILE_BYTES} bytes: no contexts are in it")
    return data


def _contents_of(document: Any) -> _Contents:
    """Raises ContextError."""
    entries = document.get("contexts") if isinstance(document, dict) else None
    chosen = document.get("chosen", []) if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not isinstance(chosen, list):
        raise ContextError("expected is an object with `contexts`, by name, and a list `chosen`")
    if len(entries) > MAX_CONTEXTS or len(chosen) > MAX_CONTEXTS:
        raise ContextError(f"it holds more than {MAX_CONTEXTS} contexts")
    contexts = {name: _context_of(name, entry) for name, entry in entries.items()}
    return _Contents(contexts, tuple(name for name in chosen if isinstance(name, str)))


def _context_of(name: str, entry: Any) -> Context:
    texts: dict[str, str] = entry if isinstance(entry, dict) else {}
    if not all(isinstance(text, str) for text in texts.values()) or "master" not in texts:
        raise ContextError(f"the context {quoted(name)} is no object of texts with a `master`")
    folders = {key: Path(texts[key]) for key in _FOLDERS if key in texts}
    context = Context(name, texts["master"], **folders)
    _check(context)
    return context


def _to_json(contents: _Contents) -> dict[str, Any]:
    entries = {}
    for name, context in contents.contexts.items():
        folders = {key: getattr(context, key) for key in _FOLDERS}
        paths = {key: str(path) for key, path in folders.items() if path is not None}
        entries[name] = {"master": context.master, **paths}
    return {"contexts": entries, "chosen": list(contents.chosen)}


def _cannot_write(error: OSError) -> ContextError:
    return ContextError(f"the contexts cannot be written: {os_problem(error)}. {_NAME_ANOTHER}")
