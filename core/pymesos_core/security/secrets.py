"""Secrets as they are kept: each is sealed by a key that masters have, and the registry has not.

A key file has one key on each line, of which the first seals and all open: so a new key is put on
top, and what was sealed before is opened by those below until it is sealed anew.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pymesos_core.private import check_private
from pymesos_core.security.issuing import replace_file
from pymesos_core.text import os_problem

KEY_FILE = "secrets.key"  # in the folder of a master's certificate
KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
ID_DIGITS = 16  # hexadecimal, of a digest, by which a key is named
MAX_KEYS = 16
MAX_FILE_BYTES = 4096
MAKE_ONE = (
    "make one with `pymesos-cli cluster secrets-key FILE`, and give the same file to every master,"
    f" as {KEY_FILE} in the folder of --tls, or with --secrets-key"
)


class KeyringError(Exception):
    """A key file cannot be used: the message says why, and what to do."""


class OpeningError(Exception):
    """A secret cannot be opened: the message names it, and says what to do."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret's value, encrypted."""

    key_id: str
    nonce: bytes
    data: bytes

    @property
    def size_bytes(self) -> int:
        """The size of the value."""
        return len(self.data) - TAG_BYTES


class Keyring:
    """The keys of a cluster's secrets. Its values and keys are shown by no `repr`."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        """The first of them seals."""
        self._keys = {_id_of(key): AESGCM(key) for key in keys}
        self.key_id = next(iter(self._keys))

    def has(self, key_id: str) -> bool:
        """Whether it opens what the key of that id has sealed."""
        return key_id in self._keys

    def seal(self, role: str, name: str, value: bytes) -> Sealed:
        """Encrypt the value of a secret, which is of no use under another role or name."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        data = self._keys[self.key_id].encrypt(nonce, value, _of(role, name))
        return Sealed(self.key_id, nonce, data)

    def open(self, role: str, name: str, sealed: Sealed) -> bytes:
        """The value of a secret. Raises OpeningError."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise OpeningError(
                f"the secret {name} of {role} is sealed by the key {sealed.key_id}, which the"
                f" master that leads has not: give it the key file of the others, or set the secret"
                f" again"
            )
        try:
            return key.decrypt(sealed.nonce, sealed.data, _of(role, name))
        except (InvalidTag, ValueError):
            raise OpeningError(
                f"the record of the secret {name} of {role} was changed or is damaged: set it again"
            ) from None


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"pymesos secrets key " + key).hexdigest()[:ID_DIGITS]


def _of(role: str, name: str) -> bytes:
    """What belongs to a value: a role has no NUL, nor has a name."""
    return f"pymesos secret\0{role}\0{name}".encode()


def read_keyring(path: Path) -> Keyring:
    """Read a file that is its owner's alone. Raises KeyringError, FileNotFoundError."""
    return Keyring(_read_keys(path))


def key_file_bytes(path: Path) -> bytes:
    """A key file as it is handed to another master. Raises KeyringError, FileNotFoundError."""
    return _written(_read_keys(path))


def add_key(path: Path) -> str:
    """Put a new key on top of a file, which is made if it is not there; the key's id.

    Raises KeyringError, OSError.
    """
    try:
        keys = _read_keys(path)
    except FileNotFoundError:
        keys = []
    if len(keys) >= MAX_KEYS:
        raise KeyringError(f"{path} has {len(keys)} keys; remove those that seal nothing any more")
    made = secrets.token_bytes(KEY_BYTES)
    replace_file(path, _written([made, *keys]))
    return _id_of(made)


def merge_keys(path: Path, given: bytes) -> None:
    """Have a file hold the keys that another master handed over, and below them its own.

    So the key that seals is one that others have, and what its own sealed is opened still. Raises
    KeyringError, OSError.
    """
    try:
        own = _read_keys(path)
    except FileNotFoundError:
        own = []
    keys = dict.fromkeys((*_keys_in(given, path), *own))
    if len(keys) > MAX_KEYS:
        raise KeyringError(
            f"{path} has {len(own)} keys, and with those of the cluster there are {len(keys)}; at"
            f" most {MAX_KEYS} are accepted: remove those that seal nothing any more"
        )
    replace_file(path, _written(keys))


def _written(keys: Iterable[bytes]) -> bytes:
    return b"".join(f"{key.hex()}\n".encode() for key in keys)


def _read_keys(path: Path) -> list[bytes]:
    """Raises KeyringError, FileNotFoundError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):  # of a folder no file object can be made
                what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
                raise KeyringError(
                    f"{path} is {what}: a file with keys, as {KEY_FILE}, is expected"
                )
            check_private(path, status)
            data = os.read(descriptor, MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyringError(f"the key of secrets cannot be read: {os_problem(error)}") from error
    return _keys_in(data, path)


def _keys_in(data: bytes, path: Path) -> list[bytes]:
    """Raises KeyringError."""
    try:
        keys = [bytes.fromhex(line) for line in data.decode("ascii").split()]
    except ValueError:
        keys = []
    if not 0 < len(keys) <= MAX_KEYS or any(len(key) != KEY_BYTES for key in keys):
        raise KeyringError(
            f"{path} holds no keys of secrets: expected are 1 to {MAX_KEYS} lines of"
            f" {2 * KEY_BYTES} hexadecimal digits, as `pymesos-cli cluster secrets-key` makes them"
        )
    return keys
