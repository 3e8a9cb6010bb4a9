"""Answers that refuse a request, with the statuses and the words of Mesos."""

from __future__ import annotations

from collections.abc import Mapping


class RefusalError(Exception):
    """A request is not done: the status, a sentence for the body, and headers beside."""

    def __init__(self, status: int, text: str = "", headers: Mapping[str, str] = {}) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def bad_request(text: str) -> RefusalError:
    """Return the refusal of what is said wrongly."""
    return RefusalError(400, text)


def invalid_call(text: str) -> RefusalError:
    """Return the refusal of a call that lacks something."""
    return bad_request(f"Failed to validate scheduler::Call: {text}")
