"""Resolving of settings: the command line wins over the environment, and that over the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pymesos_core.nearest import nearest
from pymesos_core.settings.declaring import Setting, Settings, settings_of
from pymesos_core.settings.kinds import Raw
from pymesos_core.settings.sources import Entry
from pymesos_core.text import os_problem

S = TypeVar("S", bound=Settings)
DEFAULT = "default"


@dataclass(frozen=True)
class Sources:
    """Where values come from. `flags` has texts of the command line, and booleans for switches."""

    role: str  # "agent"
    flags: Mapping[str, str | bool]
    environment: Mapping[str, str]
    entries: Sequence[Entry] = ()
    not_settings: frozenset[str] = frozenset()  # variables of the role with other uses


@dataclass(frozen=True)
class Given:
    """The raw value of a setting that is in force, and where it comes from.

    `origin` is for --print-config: "default", "--port", "PYMESOS_AGENT_PORT" or "/etc/a.toml:3".
    """

    raw: Raw | None
    origin: str


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """What is in force by the names of settings. `settings` is None if there are problems."""

    given: Mapping[str, Given]
    settings: S | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    origin: str
    where: str  # begins a refusal: the origin, and the key of a file with it
    make: Callable[[], Raw | None]


@dataclass(frozen=True)
class _Read:
    """One setting, looked up in all sources."""

    given: Given | None  # None: its default is wrong
    where: str  # begins a refusal of the value
    value: Any
    problems: tuple[str, ...]


def resolve(cls: type[S], sources: Sources) -> Resolved[S]:
    """The settings that are in force, or all that is wrong in any source.

    What is wrong is refused although something right wins over it: nobody meant it.
    """
    settings = settings_of(cls)
    read = {setting.field: _read(setting, sources) for setting in settings}
    problems = list(_unknown_keys(settings, sources))
    problems += [problem for one in read.values() for problem in one.problems]
    made = None
    if not problems:
        made = cls(**{field: one.value for field, one in read.items()})
        problems += [f"{read[field].where}: {what}" for field, what in made.problems()]
    given = {s.name: found for s in settings if (found := read[s.field].given) is not None}
    warnings = tuple(_warnings(settings, sources))
    return Resolved(given, None if problems else made, tuple(problems), warnings)


def resolve_one(cls: type[Settings], sources: Sources, name: str) -> Any:
    """The value of one setting. Raises ValueError with all that is wrong with it."""
    setting = next(one for one in settings_of(cls) if one.name == name)
    read = _read(setting, sources)
    if read.problems:
        raise ValueError("\n".join(read.problems))
    return read.value


def _read(setting: Setting, sources: Sources) -> _Read:
    given, where, value = None, setting.flag, None
    problems = []
    candidates = list(_candidates(setting, sources))
    for candidate in candidates:
        try:
            raw = candidate.make()
            value = None if raw is None else setting.declared.kind.read(raw)
        except ValueError as error:
            problems.append(f"{candidate.where}: {error}")
        except OSError as error:  # a path that cannot be looked at
            problems.append(f"{candidate.where}: {os_problem(error)}")
        else:
            given, where = Given(raw, candidate.origin), candidate.where
    if setting.declared.required and len(candidates) == 1:
        variable = setting.declared.also or setting.variable(sources.role)
        problems.append(
            f"{setting.flag} is missing: {setting.declared.kind.expected}. It may also be"
            f" {variable} in the environment, or {setting.name} in the file of --config"
        )
    return _Read(given, where, value, tuple(problems))


def _candidates(setting: Setting, sources: Sources) -> Iterator[_Candidate]:
    """What the sources have for a setting; the last wins."""
    yield _Candidate(DEFAULT, setting.flag, setting.declared.raw_default)
    for entry in sources.entries:
        if entry.key == setting.name:
            yield _Candidate(entry.where, f"{entry.where}: {entry.key}", _from_file(setting, entry))
    for variable in (setting.declared.also, setting.variable(sources.role)):
        if text := sources.environment.get(variable):  # an empty variable is one that is not set
            yield _Candidate(variable, variable, _from_text(setting, text))
    flag = sources.flags.get(setting.name)
    if isinstance(flag, bool):
        name = setting.flag if flag else setting.flag.replace("--", "--no-", 1)
        yield _Candidate(name, name, lambda value=flag: value)  # type: ignore[misc]
    elif flag is not None:
        yield _Candidate(setting.flag, setting.flag, _from_text(setting, flag))


def _from_file(setting: Setting, entry: Entry) -> Callable[[], Raw]:
    return lambda: setting.declared.kind.from_file(entry.value)


def _from_text(setting: Setting, text: str) -> Callable[[], Raw]:
    def make() -> Raw:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("UTF-8 text is expected") from None
        return setting.declared.kind.from_text(text)

    return make


def _unknown_keys(settings: Sequence[Setting], sources: Sources) -> Iterator[str]:
    names = {setting.name for setting in settings}
    by_field = {setting.field: setting.name for setting in settings}
    for entry in sources.entries:
        if entry.key in names:
            continue
        if isinstance(entry.value, dict):
            hint = "settings stand at the top, in no table"
        elif found := by_field.get(entry.key) or nearest(entry.key, names):
            hint = f"did you mean {found}?"
        else:
            hint = f"`pymesos-{sources.role} --print-config` lists all"
        key = entry.key if entry.key.isprintable() and entry.key else ascii(entry.key)
        yield f"{entry.where}: {key} is no setting of pymesos-{sources.role}; {hint}"


def _warnings(settings: Sequence[Setting], sources: Sources) -> Iterator[str]:
    """What the environment has for this role that sets nothing."""
    prefix = f"PYMESOS_{sources.role.upper()}_"
    names = {setting.name for setting in settings}
    known = {setting.variable(sources.role) for setting in settings} | sources.not_settings
    for variable in sorted(sources.environment):
        if variable.startswith(prefix) and variable not in known:
            found = nearest(variable.removeprefix(prefix), names)
            hint = f"; did you mean {prefix}{found.upper()}?" if found else ""
            yield f"the variable {ascii(variable)[1:-1]} sets nothing{hint}"
