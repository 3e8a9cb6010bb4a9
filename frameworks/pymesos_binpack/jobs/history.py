"""The versions of a job: what it was to be, since when, and who made it so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from pymesos_core.store import Change

VERSION = "version"  # job id/number: a version that is no longer in force
SUBMIT, SCALE, RESTART = "submit", "scale", "restart"
ROLLBACK = "rollback"  # how the words for one begin
MAX_VERSIONS = 20  # that are kept of a job, beside those by which something still runs
MAX_KEPT_BYTES = 4 * 1024 * 1024  # of their documents


@dataclass(frozen=True, slots=True)
class Version:
    """What a job was to be from some time on."""

    number: int
    document: str
    made_at_s: float
    made_by: str  # a principal; empty: that is not known
    what: str  # made it: "submit", "apply", "scale", "restart", "rollback to 3"
    request_id: str = ""
    restarts: Mapping[str, int] = field(default_factory=dict)  # of each task, on demand
    rerun: Set[str] = frozenset()  # batch tasks that run again where they have ended
    works: bool = False  # that was known once another took its place

    @property
    def is_rollback(self) -> bool:
        """Whether it is what an earlier one was."""
        return self.what.startswith(ROLLBACK)

    @property
    def is_of_all(self) -> bool:
        """Whether somebody said what all tasks are to be, and not one thing of some of them."""
        return not (self.what in (SCALE, RESTART) or self.what.startswith(f"{ROLLBACK} of "))

    def record(self) -> dict[str, Any]:
        """As it is stored beside its document."""
        return {
            "number": self.number,
            "made_at_s": self.made_at_s,
            "made_by": self.made_by,
            "what": self.what,
            "request_id": self.request_id,
            "restarts": dict(self.restarts),
            "rerun": sorted(self.rerun),
            "works": self.works,
        }

    def change(self, job_id: str) -> Change:
        """The write of it, once another is in force."""
        record = {**self.record(), "document": self.document}
        return Change(VERSION, f"{job_id}/{self.number}", json.dumps(record).encode())


@dataclass(frozen=True, slots=True)
class History:
    """The versions that are kept, from the first to the one in force."""

    versions: tuple[Version, ...]

    @property
    def latest(self) -> Version:
        """The one in force."""
        return self.versions[-1]

    def get(self, number: int) -> Version | None:
        """One by its number; None where it is not kept."""
        return next((v for v in self.versions if v.number == number), None)

    def asked_by(self, request_id: str) -> Version | None:
        """The one that a request has made."""
        return next((v for v in self.versions if request_id and v.request_id == request_id), None)

    def with_latest(
        self, job_id: str, version: Version, needed: Set[int], *, works: bool
    ) -> tuple[History, list[Change]]:
        """The same with another in force, and what of the earlier ones is written and forgotten.

        `needed` are kept whatever their age: something runs by them. `works` says whether the one
        that was in force until now is known to work.
        """
        assert version.number == self.latest.number + 1, "versions are counted one by one"
        before = replace(self.latest, works=works)
        every = (*self.versions[:-1], before, version)
        gone = _too_many(every, needed | {version.number, self.latest.number})
        changes = [
            before.change(job_id),
            *(Change(VERSION, f"{job_id}/{old.number}", None) for old in gone),
        ]
        return History(tuple(v for v in every if v not in gone)), changes

    def removal(self, job_id: str) -> Iterator[Change]:
        """Forget the earlier ones."""
        for version in self.versions[:-1]:
            yield Change(VERSION, f"{job_id}/{version.number}", None)


def _too_many(versions: Sequence[Version], needed: Set[int]) -> list[Version]:
    """The oldest that are one too many, or too large."""
    out: list[Version] = []
    left, size = len(versions), sum(len(v.document) for v in versions)
    for version in versions:
        if left <= MAX_VERSIONS and size <= MAX_KEPT_BYTES:
            break
        if version.number not in needed:
            out.append(version)
            left, size = left - 1, size - len(version.document)
    return out
