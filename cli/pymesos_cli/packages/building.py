"""Packages made from their folders, and the signed index of a repository."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pymesos_binpack.jobfiles.documents import read_document, read_text
from pymesos_binpack.specs import JobError
from pymesos_cli.packages.index import INDEX, Entry, Index, read_index, written_index
from pymesos_cli.packages.package import (
    FORMAT,
    Installing,
    Package,
    package_of,
    written_package,
)
from pymesos_cli.packages.parts import MAX_PACKAGE_BYTES, PackageError
from pymesos_cli.packages.template import escaped
from pymesos_core.directories import real_path
from pymesos_core.private import read_private
from pymesos_core.text import os_problem, quoted

FILE = "@file"  # a mapping with this key alone is the text of a file beside the template
NOTES = "## "  # before the version that notes are of, in UPGRADE.md
TRIAL_ROLE = "trial"


def read_folder(folder: Path) -> tuple[Package, bytes]:
    """Return the package of a folder, with its file. Raises PackageError."""
    try:
        package = package_of(document := _document(folder))
        package.job(Installing(package.name, TRIAL_ROLE, package.options.examples()))
    except (PackageError, JobError) as error:
        raise PackageError(f"{folder.name}: {error}") from error
    data = written_package(document)
    if len(data) > MAX_PACKAGE_BYTES:
        raise PackageError(f"{folder.name}: it has more than {MAX_PACKAGE_BYTES} bytes")
    return package, data


def build(folders: Iterable[Path], out: Path, key: Ed25519PrivateKey, now_s: float) -> Index:
    """Write packages and a signed index into a folder; versions that are there stay as they are.

    Raises PackageError, also for a version that has other contents by now.
    """
    out.mkdir(parents=True, exist_ok=True)
    serial, entries = int(now_s), {}
    if (out / INDEX).exists():
        before = read_index((out / INDEX).read_bytes(), key.public_key())
        serial = max(serial, before.serial + 1)
        entries = {one.file: one for one in before.entries}
    for folder in folders:
        package, data = read_folder(folder)
        entry = Entry(
            package.name, package.version, package.summary, hashlib.sha256(data).hexdigest()
        )
        if entries.setdefault(entry.file, entry) != entry:
            raise PackageError(
                f"{package} is in the index with other contents: give it another version, and say"
                f" in UPGRADE.md what to know of it"
            )
        _put(out / entry.file, data)
    index = Index(serial, [*entries.values()])
    _put(out / INDEX, written_index(index, key))
    return index


def new_key(path: Path) -> Ed25519PrivateKey:
    """Make a key for signing, in a file that is not there yet. Raises OSError."""
    key = Ed25519PrivateKey.generate()
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return key


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the key of a file that its owner alone can read. Raises PackageError."""
    try:
        key = serialization.load_pem_private_key(read_private(path, 10_000, pipes=True), None)
    except OSError as error:
        raise PackageError(f"the key cannot be read: {os_problem(error)}") from error
    except (ValueError, TypeError) as error:
        raise PackageError(f"{path} holds no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise PackageError(f"{path} holds a key of another kind than Ed25519")
    return key


def _document(folder: Path) -> Any:
    about = _mapping(folder, "package.yaml")
    document = {
        "format": FORMAT,
        **about,
        "options": read_document(_text(folder, "options.schema.json"), only_json=True),
        "job": _with_files(_mapping(folder, "job.yaml"), folder),
        "readme": _text(folder, "README.md"),
    }
    if (folder / "UPGRADE.md").exists():
        document["notes"] = _notes(_text(folder, "UPGRADE.md"))
    return document


def _mapping(folder: Path, name: str) -> dict[str, Any]:
    read = read_document(_text(folder, name))
    if not isinstance(read, dict):
        raise PackageError(f"{name} is no mapping")
    return read


def _text(folder: Path, name: str) -> str:
    path = folder / name
    try:
        if "\0" in name or real_path(path).parent != real_path(folder):
            raise PackageError(f"{quoted(name)} is not in the folder of the package")
        return read_text(path.read_bytes())
    except OSError as error:
        raise PackageError(f"cannot read {os_problem(error)}") from error


def _with_files(node: Any, folder: Path) -> Any:
    """The template with the texts of files in it, in which nothing is an option."""
    if isinstance(node, dict):
        if set(node) == {FILE}:
            return escaped(_text(folder, str(node[FILE])))
        return {key: _with_files(value, folder) for key, value in node.items()}
    return [_with_files(value, folder) for value in node] if isinstance(node, list) else node


def _notes(text: str) -> dict[str, str]:
    """Notes by the version that they are of."""
    _, *parts = f"\n{text}".split(f"\n{NOTES}")
    pairs = (part.partition("\n") for part in parts)
    return {version.strip(): words.strip() for version, _, words in pairs}


def _put(path: Path, data: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.replace(path)
