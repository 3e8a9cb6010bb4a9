"""What an agent has of images, on disk: blobs, unpacked layers, and a record of each image.

A layer is unpacked once, under the digest of its contents:

    images/blobs/sha256/…   what was fetched; by credentials: blobs-ID/sha256/…
    images/layers/…         unpacked, for overlayfs
    images/records/….json   a reference, what it stood for, its size
    images/new/…            what is being made
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.runtimes.oci.bundle import Image
from pymesos_agent.runtimes.oci.skopeo import ImageError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Wanted = tuple[str, str]  # a reference, and the credentials it is asked for by


@dataclass(frozen=True)
class Record:
    """What a reference stands for here."""

    reference: str
    layers: tuple[str, ...]  # names below layers/, the uppermost first
    blobs: tuple[str, ...]
    config: dict[str, Any]
    size_bytes: int
    credentials: str  # by which it was fetched: see credentials_id
    used_at_s: float = 0.0

    def image(self, layers: Path) -> Image:
        """For a bundle. Raises ImageError."""
        config = self.config.get("config") or {}
        try:
            return Image(
                tuple(layers / name for name in self.layers),
                _texts(config.get("Env")),
                _texts(config.get("Entrypoint")),
                _texts(config.get("Cmd")),
                str(config.get("WorkingDir") or "/"),
                str(config.get("User") or ""),
            )
        except (TypeError, AttributeError) as error:
            raise ImageError(f"the configuration of {self.reference} is not one") from error


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts, which may be left out. Raises TypeError; a text is not one of letters."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("no list of texts")
    return tuple(value)


class ImageFolder:
    """The folder of an agent's images."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def start(self) -> None:
        """Make the folders, and remove what an earlier agent was at. Raises OSError."""
        for name in ("blobs/sha256", "layers", "records", "new"):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o711)
        for unfinished in (self.directory / "new").iterdir():
            try_remove_tree(unfinished)

    @property
    def layers(self) -> Path:
        """Where layers are, unpacked."""
        return self.directory / "layers"

    def new(self) -> Path:
        """A path for what is being made, at which nothing is."""
        return self.directory / "new" / uuid.uuid4().hex

    def blobs(self, credentials: str) -> Path:
        """Where blobs are that were fetched by credentials."""
        return self.directory / (f"blobs-{credentials}" if credentials else "blobs") / "sha256"

    def blob(self, digest: str, credentials: str) -> Path:
        """Where one of them is, or would be. Raises ImageError."""
        if not DIGEST.fullmatch(digest):
            raise ImageError(f"the digest {digest!r} is not one")
        return self.blobs(credentials) / digest.removeprefix("sha256:")

    def find(self, wanted: Wanted) -> Record | None:
        """The record of an image that is here, with all of its layers."""
        return self._load(self._record_path(wanted))

    def records(self) -> list[Record]:
        """Return the record of every image that is here."""
        paths = list((self.directory / "records").glob("*.json"))
        return [record for path in paths if (record := self._load(path)) is not None]

    def used(self, wanted: Wanted) -> None:
        """Note that an image was used now."""
        os.utime(self._record_path(wanted))

    def forget(self, record: Record) -> None:
        """Remove a record; its layers and blobs stay, for they may be of others."""
        self._record_path((record.reference, record.credentials)).unlink(missing_ok=True)

    def write(self, record: Record) -> None:
        """Record an image. Raises OSError."""
        path = self._record_path((record.reference, record.credentials))
        text = json.dumps(
            {
                "reference": record.reference,
                "layers": record.layers,
                "blobs": record.blobs,
                "config": record.config,
                "size_bytes": record.size_bytes,
                "credentials": record.credentials,
            }
        )
        new = path.with_suffix(".new")
        new.write_text(text, "utf-8")
        new.replace(path)

    def _record_path(self, wanted: Wanted) -> Path:
        name = hashlib.sha256(" ".join(filter(None, wanted)).encode()).hexdigest()
        return self.directory / "records" / f"{name}.json"

    def _load(self, path: Path) -> Record | None:
        try:
            data = json.loads(path.read_text("utf-8"))
            record = Record(
                data["reference"],
                tuple(data["layers"]),
                tuple(data["blobs"]),
                data["config"],
                data["size_bytes"],
                data["credentials"],
                path.stat().st_mtime,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        there = all((self.layers / name).is_dir() for name in record.layers)
        return record if there else None
