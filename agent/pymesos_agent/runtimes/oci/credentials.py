"""By which credentials an image is fetched: what was fetched by some serves those alone.

skopeo reads the same files (containers-auth.json(5)); here nothing of them is used but to tell
whether they are the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymesos_core.images import full_name, is_on_disk
from pymesos_core.private import read_file

KEY_BYTES = 32
MAX_FILE_BYTES = 1 << 20
ID_CHARACTERS = 16
HUB = "docker.io"


def credentials_id(reference: str, authfile: Path | None, key: bytes, login: str = "") -> str:
    """Names the credentials that are presented for an image; empty where there are none.

    What it is made of cannot be found out from it without the key. A task's own `login` is
    presented in the place of the machine's.
    """
    if is_on_disk(reference):
        return ""
    if login:
        said = f"login {full_name(reference).partition('/')[0]} {login}".encode()
        return hmac.new(key, said, hashlib.sha256).hexdigest()[:ID_CHARACTERS]
    repository = full_name(reference).partition("@")[0]
    for path in [authfile] if authfile is not None else _usual_files():
        found = _entry(_read(path), repository)
        if found is not None:
            said = json.dumps(found, sort_keys=True).encode()
            return hmac.new(key, said, hashlib.sha256).hexdigest()[:ID_CHARACTERS]
    return ""


def key_of(folder: Path) -> bytes:
    """The key of a store, made at its first use. Raises OSError."""
    path = folder / "key"
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != KEY_BYTES:
        key = secrets.token_bytes(KEY_BYTES)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_bytes(key)
        new.replace(path)
    return key


def _usual_files() -> Iterator[Path]:
    """Where skopeo looks, in its order."""
    home = os.environ.get("HOME", "/root")
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"
    yield Path(f"/run/containers/{os.geteuid()}/auth.json")
    yield Path(os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config") / "containers/auth.json"
    yield Path(os.environ.get("DOCKER_CONFIG") or f"{home}/.docker") / "config.json"
    yield Path(home) / ".dockercfg"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_file(path, MAX_FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _entry(config: dict[str, Any], repository: str) -> Any:
    """What a file has for an image: of its repository, else of the nearest above it."""
    auths = config.get("auths", config if "credsStore" not in config else {})
    named = {_plain(key): value for key, value in auths.items()} if isinstance(auths, dict) else {}
    helpers = config.get("credHelpers")
    helpers = helpers if isinstance(helpers, dict) else {}
    place = _without_tag(repository)
    while place:
        if helper := helpers.get(place):
            return ["helper", helper]
        if place in named:
            return named[place] or ["store", config.get("credsStore")]
        place = place.rpartition("/")[0]
    if store := config.get("credsStore"):
        return ["store", store]
    return None


def _without_tag(repository: str) -> str:
    folder, slash, name = repository.rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"


def _plain(key: str) -> str:
    """`https://index.docker.io/v1/` is `docker.io`."""
    plain = key.removeprefix("https://").removeprefix("http://")
    plain = plain.removesuffix("/").removesuffix("/v1").removesuffix("/v2")
    first, slash, rest = plain.partition("/")
    return (HUB if first in ("index.docker.io", "registry-1.docker.io") else first) + slash + rest
