"""The index of a repository: which packages there are, signed by whoever made the repository.

Its first line is an Ed25519 signature of the rest, in base64. Nothing of the rest is read before
that is right. Each package has its sha256 there, so the one signature is of all of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pymesos_cli.packages.parts import (
    MAX_ENTRIES,
    MAX_INDEX_BYTES,
    MAX_PACKAGE_BYTES,
    PackageError,
    Version,
    check_name,
    file_name,
    parse_version,
)
from pymesos_core.text import quoted

INDEX = "index.signed"
KIND = "ed25519:"
KEY_BYTES = 32
SIGNED_AS = b"pymesos index of packages, format 1\n"  # before what is signed: it is nothing else
_SCHEMA: Any = {
    "type": "object",
    "required": ["serial", "packages"],
    "properties": {
        "serial": {"type": "integer", "minimum": 1, "maximum": 2**53},
        "packages": {
            "type": "array",
            "maxItems": MAX_ENTRIES,
            "items": {
                "type": "object",
                "required": ["name", "version", "summary", "sha256"],
                "properties": {
                    "name": {"type": "string"},
                    "version": {"type": "string"},
                    "summary": {"type": "string", "minLength": 1, "maxLength": 200},
                    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                },
            },
        },
    },
}


@dataclass(frozen=True)
class Entry:
    """A version of a package that a repository has."""

    name: str
    version: Version
    summary: str
    sha256: str

    @property
    def file(self) -> str:
        """What its file is called in the repository."""
        return file_name(self.name, self.version)

    def check(self, data: bytes) -> None:
        """Raises PackageError where the bytes of its file are others than were signed."""
        if len(data) > MAX_PACKAGE_BYTES or hashlib.sha256(data).hexdigest() != self.sha256:
            raise PackageError(
                f"{self.file} is not what the index says: its sha256 is another. Nothing of it was"
                f" read; tell whoever keeps the repository"
            )


@dataclass(frozen=True)
class Index:
    """What a repository has. `serial` grows with every index that is signed."""

    serial: int
    entries: Sequence[Entry]


def read_index(data: bytes, key: Ed25519PublicKey) -> Index:
    """Return the index, once its signature is right. Raises PackageError."""
    if len(data) > MAX_INDEX_BYTES:
        raise PackageError(f"the index has more than {MAX_INDEX_BYTES} bytes")
    line, _, body = data.partition(b"\n")
    try:
        key.verify(base64.b64decode(line, validate=True), SIGNED_AS + body)
    except (InvalidSignature, binascii.Error, ValueError):
        raise PackageError(
            "the index is not signed by the key that the repository was added with. Nothing of it"
            " was read; if its keeper has a new key, learn it from them, remove the repository and"
            " add it again"
        ) from None
    try:
        document = json.loads(body)
        jsonschema.Draft202012Validator(_SCHEMA).validate(document)
        return Index(int(document["serial"]), [_entry(each) for each in document["packages"]])
    except (ValueError, RecursionError, jsonschema.ValidationError) as error:
        said = error.message if isinstance(error, jsonschema.ValidationError) else str(error)
        raise PackageError(f"the index is signed, but no index: {quoted(said)}") from error


def written_index(index: Index, key: Ed25519PrivateKey) -> bytes:
    """Return the file of an index, signed."""
    packages = [
        {
            "name": one.name,
            "version": str(one.version),
            "summary": one.summary,
            "sha256": one.sha256,
        }
        for one in sorted(index.entries, key=lambda one: (one.name, one.version))
    ]
    document = {"serial": index.serial, "packages": packages}
    body = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    return base64.b64encode(key.sign(SIGNED_AS + body)) + b"\n" + body


def key_text(key: Ed25519PublicKey) -> str:
    """Return a public key as people pass it on."""
    return KIND + base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def parse_key(text: str) -> Ed25519PublicKey:
    """Return the key that a text says. Raises PackageError."""
    try:
        data = base64.b64decode(text.removeprefix(KIND), validate=True)
        if not text.startswith(KIND) or len(data) != KEY_BYTES:
            raise ValueError
        return Ed25519PublicKey.from_public_bytes(data)
    except ValueError:
        raise PackageError(
            f"{quoted(text)} is no public key of a repository: ed25519: and 44 characters are"
            f" expected, as the tool that builds an index prints them"
        ) from None


def _entry(each: Any) -> Entry:
    check_name(each["name"])
    summary = each["summary"]
    if not summary.isprintable():
        raise PackageError(f"the summary of {each['name']} cannot be shown")
    return Entry(each["name"], parse_version(each["version"]), summary, each["sha256"])
