"""What packages are made of: names, versions, and how large all of it may be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pymesos_core.text import quoted

MAX_INDEX_BYTES = 1024 * 1024
MAX_PACKAGE_BYTES = 256 * 1024
MAX_ENTRIES = 2000  # of an index
MAX_OPTIONS = 64
MAX_VALUE_BYTES = 1024

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VERSION = re.compile(r"([0-9]{1,9})[.]([0-9]{1,9})[.]([0-9]{1,9})")


class PackageError(ValueError):
    """A package, or where it comes from, cannot be used: the message says why, and what to do."""


@dataclass(frozen=True, order=True)
class Version:
    """Three numbers: a later version is larger."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_version(text: str) -> Version:
    """Return the version that a text says. Raises PackageError."""
    match = _VERSION.fullmatch(text)
    if match is None or str(version := Version(*map(int, match.groups()))) != text:
        raise PackageError(
            f"{quoted(text)} is no version of a package: three numbers are expected, like 1.0.2"
        )
    return version


def check_name(text: str) -> None:
    """Raises PackageError for what is no name of a package."""
    if _NAME.fullmatch(text) is None:
        raise PackageError(
            f"{quoted(text)} is no name of a package: at most 63 letters a-z, digits and - are"
            f" expected, with a letter first"
        )


def file_name(name: str, version: Version) -> str:
    """Return what the file of a package is called: a repository can name no other."""
    return f"{name}-{version}.json"
