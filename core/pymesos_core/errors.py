"""Why a request is refused: a kind for programs, a sentence for people.

No transport is meant: each front door says a kind in its own codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ProblemKind(Enum):
    """What a caller may do about a problem."""

    INVALID = "invalid"  # ask for something else
    NOT_FOUND = "not found"  # there is nothing of that name
    OUTDATED = "outdated"  # what it refers to is not kept any more; begin anew
    FULL = "full"  # make room where the sentence says; trying again does not help
    UNAVAILABLE = "unavailable"  # try again, perhaps elsewhere
    DENIED = "denied"  # have somebody else do it, or change the policy


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not done: what was wrong, what was expected, what to do next."""

    kind: ProblemKind
    message: str


class RequestError(Exception):
    """A request is refused, and nothing of it is done."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def invalid(message: str) -> RequestError:
    """The error of a request that cannot be."""
    return RequestError(Problem(ProblemKind.INVALID, message))


def denied(message: str) -> RequestError:
    """The error of a request that its caller may not make."""
    return RequestError(Problem(ProblemKind.DENIED, message))


def not_found(message: str) -> RequestError:
    """The error of a request for something that is not there."""
    return RequestError(Problem(ProblemKind.NOT_FOUND, message))
