"""A package: one JSON document with the template of a job, its options, and what people read.

As it is one document it has no paths that could lead elsewhere, and unpacks to nothing larger.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema

from pymesos_binpack.jobfiles import checks
from pymesos_binpack.jobfiles.documents import read_document, read_text
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.specs import Job, JobError
from pymesos_cli.packages.options import SCHEMA_OF_OPTIONS, Options, parse_options
from pymesos_cli.packages.parts import (
    MAX_PACKAGE_BYTES,
    PackageError,
    Version,
    check_name,
    parse_version,
)
from pymesos_cli.packages.template import VALUE, WHEN, Values, options_of, rendered
from pymesos_core.text import quoted

FORMAT = 1
MAX_NOTES = 100
OF_INSTALLING = ("name", "role", "package")  # of the job: whoever installs says them

_LINE = {"type": "string", "minLength": 1, "maxLength": 200}
_PAGE = {"type": "string", "minLength": 1, "maxLength": 64 * 1024}
_SCHEMA = {
    "type": "object",
    "required": ["format", "name", "version", "summary", "options", "job", "readme"],
    "additionalProperties": False,
    "properties": {
        "format": {"type": "integer"},
        "name": _LINE,
        "version": _LINE,
        "summary": _LINE,
        "options": SCHEMA_OF_OPTIONS,
        "job": {"type": "object"},
        "readme": _PAGE,
        "notes": {"type": "object", "maxProperties": MAX_NOTES, "additionalProperties": _PAGE},
    },
}


@dataclass(frozen=True)
class Origin:
    """The repository that a package came from: its name, and the key that signs its index."""

    name: str
    key: str


@dataclass(frozen=True)
class Installing:
    """What whoever installs a package says: what its job is called, for which role, and options."""

    name: str
    role: str
    options: Values
    origin: Origin | None = None  # absent: the package is only being tried


@dataclass(frozen=True)
class Package:
    """A version of a package. `notes` say what to know of an upgrade to a version."""

    name: str
    version: Version
    summary: str
    options: Options
    template: Mapping[str, Any]
    readme: str
    notes: Mapping[Version, str]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def job(self, asked: Installing) -> Job:
        """Return the job that it becomes. Raises PackageError."""
        made = rendered(self.template, self.options.filled(asked.options))
        if asked.role == "*" and _has_volumes(made):
            raise PackageError(
                f"{self} keeps data on a volume, which is of disk that is reserved for a role:"
                f" install it for one, as with --role data"
            )
        package = {"name": self.name, "version": str(self.version), "options": asked.options}
        if asked.origin is not None:
            package["repository"] = {"name": asked.origin.name, "key": asked.origin.key}
        document = {"name": asked.name, "role": asked.role, "package": package, **made}
        try:
            return parse_job(document)
        except JobError as error:
            raise PackageError(f"the job of {self} cannot be: {error}") from error

    def notes_since(self, before: Version) -> Iterator[tuple[Version, str]]:
        """Yield what to know of an upgrade from a version, the earlier first."""
        for version in sorted(self.notes):
            if before < version <= self.version:
                yield version, self.notes[version]


def read_package(data: bytes) -> Package:
    """Return the package that a file holds. Raises PackageError."""
    if len(data) > MAX_PACKAGE_BYTES:
        raise PackageError(f"the package has more than {MAX_PACKAGE_BYTES} bytes")
    try:
        document = read_document(read_text(data), only_json=True)
    except JobError as error:
        raise PackageError(f"the package cannot be read: {error}") from error
    return package_of(document)


def package_of(document: Any) -> Package:
    """Return the package that a document says. Raises PackageError."""
    try:
        checks.check_values(_without_pages(document))
    except (JobError, RecursionError) as error:
        raise PackageError(f"the package cannot be read: {error}") from error
    written = document.get("format") if isinstance(document, dict) else None
    if isinstance(written, int | float) and written is not True and written > FORMAT:
        raise PackageError(f"the package is of the format {written}: it wants a later pymesos-cli")
    wrong = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if wrong is not None:
        raise PackageError(f"the package is not as expected: {checks.explain(wrong, document)}")
    for name in ("readme", *document.get("notes", ())):
        _check_page(document["readme"] if name == "readme" else document["notes"][name], name)
    check_name(document["name"])
    package = Package(
        document["name"],
        parse_version(document["version"]),
        document["summary"],
        parse_options(document["options"]),
        document["job"],
        document["readme"],
        {parse_version(key): text for key, text in document.get("notes", {}).items()},
    )
    _check_template(package)
    return package


def written_package(document: Any) -> bytes:
    """Return the bytes of a package's file, always the same for one document."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


@cache
def _validator() -> Any:
    return checks.validator_class()(_SCHEMA)


def _without_pages(document: Any) -> Any:
    """What is no text of several lines."""
    if not isinstance(document, dict):
        return document
    return {key: value for key, value in document.items() if key not in ("readme", "notes")}


def _check_page(text: str, name: str) -> None:
    """Raises PackageError for what would do something to a terminal."""
    if not all(line.isprintable() for line in text.replace("\t", " ").split("\n")):
        raise PackageError(f"{name} has a character that cannot be shown: text is expected")


def _check_template(package: Package) -> None:
    """Raises PackageError for a template that asks for options that are not there."""
    for key in OF_INSTALLING:
        if key in package.template:
            raise PackageError(f"job.{key}: whoever installs the package says it: leave it out")
    for key in (WHEN, VALUE):
        if key in package.template:
            raise PackageError(f"job.{key}: it stands for the whole job: put it further inside")
    known = set(package.options.known)
    asked = options_of(package.template)
    for name in sorted(asked - known):
        raise PackageError(f"the job asks for the option {quoted(name)}, which is not there")
    for name in sorted(known - asked):
        raise PackageError(f"the option {name} is asked for nowhere in the job")


def _has_volumes(made: Any) -> bool:
    tasks = made.get("tasks") if isinstance(made, dict) else None
    each = tasks if isinstance(tasks, list) else ()
    return any(isinstance(task, dict) and bool(task.get("volumes")) for task in each)
