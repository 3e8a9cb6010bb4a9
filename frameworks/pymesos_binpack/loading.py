"""A job read back from what is stored of it: its record, versions, rollouts and instances.

What cannot be, as after another hand has written it, is an error that says which record it is in.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

from pymesos_binpack.jobfiles.parsing import parse_stored
from pymesos_binpack.jobs.aligning import is_settled
from pymesos_binpack.jobs.history import SUBMIT, VERSION, History, Version
from pymesos_binpack.jobs.instance import INSTANCE, Instance, Saved, version_of
from pymesos_binpack.jobs.rollouts.rules import MOST
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_binpack.jobs.scaling import Scaling, scaled
from pymesos_binpack.jobs.state import JOB, ROLLOUT, ROLLOUTS, RUNS, SCALING, JobState
from pymesos_binpack.periodic.runs import Runs
from pymesos_binpack.specs import Job
from pymesos_core.ids import id_problem
from pymesos_core.limits import MAX_JOB_VERSION

MAX_UINT32 = 2**32 - 1

_KEY = re.compile(
    r"[^/]+/(?P<task>[^/]+)/(?P<index>[0-9]{1,9})(?:/(?P<mark>v[0-9]{1,10}(?:r[0-9]{1,10})?))?"
)
Row = tuple[str, str, bytes]  # kind, key, value
Parse = Callable[[str], Job]
Load = Callable[[str, Iterable[Row]], JobState]  # raises whatever is wrong


def load_job(job_id: str, rows: Iterable[Row], parse: Parse = parse_stored) -> JobState:
    """Read a job back. Raises JobError, ValueError, KeyError, TypeError."""
    if problem := id_problem(job_id):
        raise ValueError(f"its id: {problem}")
    saved: dict[str, Saved] = {}
    versions: dict[int, Version] = {}
    record: Any = None
    ids: Any = None
    rollouts: dict[str, Any] = {}
    runs: dict[str, Runs] = {}
    scalings: dict[str, Scaling] = {}
    for kind, key, value in rows:
        if kind == INSTANCE:
            saved[key] = load_saved(key, value)
        elif kind == VERSION:
            version = load_version(_read(f"the version {key}", value))
            versions[version.number] = version
        elif kind == ROLLOUT:
            rollouts[key.partition("/")[2]] = _read(f"the rollout {key}", value)
        elif kind == RUNS:
            runs[key.partition("/")[2]] = Runs.of_record(_read(f"the runs {key}", value))
        elif kind == SCALING:
            record_of = _read(f"the scaling {key}", value)
            scalings[key.partition("/")[2]] = Scaling.of_record(record_of)
        elif kind == ROLLOUTS:
            ids = _read("the record of its ids", value)
        elif kind == JOB:
            record = _read("its record", value)
    if not isinstance(record, dict):
        raise ValueError("its record is no mapping")
    document, submitted_at_s = record["document"], record["submitted_at_s"]
    request_id, stopping = record["request_id"], record["stopping"]
    hurried = record.get("hurried", False)
    if not (isinstance(document, str) and isinstance(request_id, str)):
        raise ValueError("its record has no text where text is expected")
    if not (is_time(submitted_at_s) and isinstance(stopping, bool) and isinstance(hurried, bool)):
        raise ValueError(
            "its record has another time, or another `stopping` or `hurried`, than can be"
        )
    job = scaled(parse(document), scalings)
    latest = _latest_version(record)
    older = [versions[number] for number in sorted(versions) if number < latest.number]
    history = History((*older, latest))
    state = JobState(job_id, job, float(submitted_at_s), request_id, [], history, stopping, hurried)
    if ids is not None:
        _take_ids(state, ids)
        state.are_together = "rollouts" in ids
    if state.are_together:
        # Written last by an earlier version: what later ones had written of each is outdated.
        state.written_rollouts = dict.fromkeys(rollouts)
        _take_rollouts(state, ids["rollouts"])
    else:
        _take_rollouts(state, rollouts)
        state.written_rollouts = state.rollouts
    state.runs = state.durable_runs = runs
    state.scalings = state.durable_scalings = scalings
    state.take_back(_instances(state, saved))
    _fill(state)
    order = {spec.name: number for number, spec in enumerate(job.tasks)}
    state.instances.sort(key=lambda i: (order.get(i.spec.name, len(order)), i.index, i.version))
    state.unsettled = not is_settled(state)
    return state


def _take_ids(job: JobState, record: Any) -> None:
    """Raises ValueError, KeyError, TypeError."""
    used, version = record["used"], record["version"]
    if not all(map(_is_whole, used.values())):
        raise ValueError("the record of its ids has impossible numbers")
    if version == job.version:
        job.used = used


def _take_rollouts(job: JobState, rollouts: Mapping[str, Any]) -> None:
    """Raises ValueError, KeyError, TypeError."""
    job.rollouts = {task: _read_rollout(of) for task, of in rollouts.items()}
    job.durable_rollouts = job.rollouts
    for rollout in job.rollouts.values():
        for number in (rollout.from_version, rollout.to_version):
            _know(job, number)


def _read_rollout(record: Any) -> Rollout:
    """Raises ValueError, KeyError, TypeError."""
    if not (isinstance(record, dict) and isinstance(record.get("stable_by_s"), dict)):
        raise ValueError("the record of a rollout is no mapping")
    for name, value in record.items():
        may_be = _OF_A_ROLLOUT.get(name)
        if may_be is not None and not may_be(value):
            raise ValueError(f"the record of a rollout has an impossible {name}")
    if not all(map(is_time, record["stable_by_s"].values())):
        raise ValueError("the record of a rollout has impossible times")
    return Rollout.of_record(record)


def _know(job: JobState, number: int) -> None:
    """Read a version, unless that was done. Raises ValueError."""
    if number in job.known:
        return
    version = job.history.get(number)
    if version is None:
        raise ValueError(f"its version {number} is needed, and is not there")
    job.know(version, parse_stored(version.document))


def _fill(job: JobState) -> None:
    """Have the instances of which nothing was to be stored yet: none that a rollout adds."""
    there = {(i.spec.name, i.index) for i in job.instances}
    for spec in job.job.tasks:
        later = spec.name in job.rollouts or spec.periodic is not None  # who adds some
        for index in range(0 if later else spec.instances):
            if (spec.name, index) not in there:
                job.add(spec, index)


def _latest_version(record: Mapping[str, Any]) -> Version:
    """The version in force, by the record of its job; one of before there were versions is 1."""
    document, request_id = record["document"], record["request_id"]
    if "version" not in record:
        return Version(1, document, float(record["submitted_at_s"]), "", SUBMIT, request_id)
    if not isinstance(record["version"], dict):
        raise ValueError("the version in its record is no mapping")
    return load_version({**record["version"], "document": document})


def load_version(read: Any) -> Version:
    """Read a version back. Raises ValueError, KeyError."""
    if not isinstance(read, dict):
        raise ValueError("a version is no mapping")
    version = Version(
        read["number"],
        read["document"],
        read["made_at_s"],
        read["made_by"],
        read["what"],
        read["request_id"],
        read["restarts"],
        _rerun_of(read),
        read.get("works", False),
    )
    texts = (version.document, version.made_by, version.what, version.request_id)
    restarts = version.restarts
    if not (_is_whole(version.number, 1, MAX_JOB_VERSION) and is_time(version.made_at_s)):
        raise ValueError("a version has another number, or another time, than can be")
    if not all(map(_is_text, texts)):
        raise ValueError("a version has no text where one is expected")
    if not (isinstance(restarts, dict) and all(map(_is_whole, restarts.values()))):
        raise ValueError("a version has impossible restarts")
    if not _is_flag(version.works):
        raise ValueError("a version says neither that it works nor that this is not known")
    return version


def _rerun_of(read: Mapping[str, Any]) -> Set[str]:
    """The tasks that run again; earlier this was a flag, for all or none. Raises ValueError."""
    rerun = read["rerun"]
    if rerun is True:
        return {task.name for task in parse_stored(str(read["document"])).tasks}
    if rerun is False:
        return frozenset()
    if not (isinstance(rerun, list) and all(map(_is_text, rerun))):
        raise ValueError("a version has no list of tasks where one is expected")
    return frozenset(rerun)


def _instances(job: JobState, saved: Mapping[str, Saved]) -> Iterator[Instance]:
    """The instances that are stored, each of the version that it was made for.

    One between which and the version in force nothing differs that would replace it is as that
    says. Raises ValueError, JobError.
    """
    for key, each in saved.items():
        task, index, mark = _parts_of(key)
        number = each.version or version_of(mark)
        _know(job, number)
        known = job.known[number]
        if task not in known.specs:
            raise ValueError(f"{key} is of no task of its version")
        revision, of = known.revisions[task], known.specs[task]
        if revision == job.revision(task):
            of = job.known[job.version].specs[task]
        yield Instance(job.job_id, job.job.name, of, index, each, mark, number, revision)


def _parts_of(key: str) -> tuple[str, int, str]:
    """Task, index and mark of the key of an instance's record. Raises ValueError."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key} is no key of an instance")
    return match["task"], int(match["index"]), match["mark"] or ""


def load_saved(key: str, data: bytes) -> Saved:
    """Read an instance back. Raises ValueError, TypeError."""
    read = _read(f"the record of {key}", data)
    if not isinstance(read, dict):
        raise ValueError(f"the record of {key} is no mapping")
    unknown = read.keys() - set(Saved._fields)
    if unknown:
        raise ValueError(f"the record of {key} has {sorted(unknown)[0]!r}, unknown to this version")
    for name, value in read.items():
        if not _MAY_BE.get(name, lambda _: True)(value):
            raise ValueError(f"the record of {key} has an impossible {name}")
    return Saved(**read)


def _read(what: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is not JSON: {error}") from None


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)


def _is_whole(value: object, least: int = 0, most: int = MAX_UINT32) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < 2**40 and math.isfinite(value)


def _is_enum(value: object) -> bool:
    return _is_whole(value, -(2**31), 2**31 - 1)  # newer agents may know more of them


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_MAY_BE = {
    "task_id": _is_text,
    "attempts": _is_whole,
    "state": _is_enum,
    "agent_id": _is_text,
    "hostname": _is_text,
    "address": _is_text,
    "attributes": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "ports": lambda value: isinstance(value, list) and all(map(_is_whole, value)),
    "devices": lambda value: isinstance(value, dict) and all(map(_is_whole, value.values())),
    "preempted": _is_flag,
    "data_on": _is_text,
    "volume_ids": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "ended_beside": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "done": _is_flag,
    "unreachable_since_s": is_time,
    "failures": _is_whole,
    "exit_status": lambda value: value is None or _is_enum(value),
    "reason": _is_enum,
    "message": _is_text,
    "ready_since_s": is_time,
    "crashed_s": lambda value: isinstance(value, list) and all(map(is_time, value)),
    "leaving": _is_text,
    "version": _is_whole,
    "begun_s": is_time,
    "run": _is_text,
    "args": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "decision": _is_text,
    "unhealthy_since_s": is_time,
    "quick_failures": _is_whole,
}


def _are_intervals(value: Any) -> bool:
    pairs = value if isinstance(value, list) else [None]
    return all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_index, pair)) for pair in pairs
    )


def _is_index(value: Any) -> bool:
    return _is_whole(value, 0, MOST)


_OF_A_ROLLOUT: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("from_version", "to_version", "from_count", "exits", "most_stable"), _is_whole
    ),
    **dict.fromkeys(("why", "failure", "by", "exit_why"), _is_text),
    **dict.fromkeys(("began_s", "since_s", "forgiven_s", "progress_by_s"), is_time),
    **dict.fromkeys(("promoted", "backward"), _is_flag),
    "still_since_s": lambda value: value is None or is_time(value),
    "served": _are_intervals,
}
