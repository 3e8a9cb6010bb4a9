"""Where the paths lead by which Mesos names files of tasks: into sandboxes, and nowhere else.

A run is named by its framework and executor (`/frameworks/F/executors/E/runs/latest`); that of a
command has its task's id. Or it is the folder itself, as `/state` tells it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymesos_agent.files.sandbox import MAX_PATH_LENGTH, Files
from pymesos_agent.queries import Queries

LATEST = "latest"


@dataclass(frozen=True)
class Found:
    """Where a path leads."""

    files: Files
    way: str  # from there, which is not checked yet
    role: str  # whose files they are; empty: it is not known


def locate(queries: Queries, path: str) -> Found | None:
    """Return where a path leads, if that is into a sandbox."""
    parts = [part for part in path.split("/") if part]
    if len(path) > MAX_PATH_LENGTH:
        return None
    match parts:
        case ["frameworks", framework_id, "executors", executor_id, "runs", run, *rest]:
            return _in_run(queries, (framework_id, executor_id), run, rest)
    return _in_folder(queries, parts)


def _in_run(queries: Queries, key: tuple[str, str], run: str, rest: Sequence[str]) -> Found | None:
    record_id = queries.latest(*key)
    if record_id is None and rest[:1] == ["tasks"] and len(rest) > 1:
        # A group has no files of its own: each of its tasks does.
        record_id, rest = queries.latest(key[0], rest[1]), rest[2:]
    elif run != LATEST:
        record_id = run if queries.key_of(run) == key else None
    return None if record_id is None else _found(queries, record_id, rest)


def _in_folder(queries: Queries, parts: Sequence[str]) -> Found | None:
    for index, name in enumerate(parts):
        files = queries.files_in(name)
        if files is not None and files.sandbox.parts[1:] == tuple(parts[: index + 1]):
            return _found(queries, name, parts[index + 1 :])
    return None


def _found(queries: Queries, record_id: str, way: Sequence[str]) -> Found | None:
    files = queries.files_in(record_id)
    return None if files is None else Found(files, "/".join(way), queries.role_of(record_id))
