"""The layers of an image that was fetched, each unpacked once, under the digest of its contents.

What a registry served is not believed: digests of documents are checked here, those of layers as
they are unpacked, and what is damaged is fetched again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.files.unpacking import unpack_layer
from pymesos_agent.runtimes.oci.image_folder import ImageFolder, Record, Wanted
from pymesos_agent.runtimes.oci.layers import config_layers
from pymesos_agent.runtimes.oci.skopeo import ImageError

MAX_JSON_BYTES = 4 * 1024 * 1024  # as registries have it
LAYER_NAME_CHARS = 24


class Unpacking:
    """Unpacks images of one folder, as many layers at a time as it has threads."""

    def __init__(self, folder: ImageFolder, threads: int, user_namespace_base: int) -> None:
        self._folder = folder
        self._user_namespace_base = user_namespace_base
        # Of its own: what else needs a thread is not to wait for a large layer.
        self._unpackers = ThreadPoolExecutor(threads, thread_name_prefix="unpack")
        self._unpacking: dict[str, asyncio.Lock] = {}

    async def record_of(self, wanted: Wanted, layout: Path) -> Record:
        """Unpack what was fetched; what it is. Raises ImageError, LayerError, and others."""
        reference, credentials = wanted
        (descriptor,) = json.loads((layout / "index.json").read_text("utf-8"))["manifests"]
        manifest = self._json(descriptor, credentials)
        config = self._json(manifest["config"], credentials)
        diff_ids = config_layers(config)
        if len(diff_ids) != len(manifest["layers"]):
            raise ImageError(f"{reference} says twice which layers it has, and not the same")
        try:
            async with asyncio.TaskGroup() as group:  # a process for each, as many as have a thread
                unpacked = [
                    group.create_task(
                        self._unpack_layer(
                            self._folder.blob(layer["digest"], credentials),
                            diff_id,
                            layer_name(diff_id, credentials),
                        )
                    )
                    for diff_id, layer in zip(diff_ids, manifest["layers"], strict=True)
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        size_bytes = sum(one.result() for one in unpacked)
        described = [descriptor, manifest["config"], *manifest["layers"]]
        blobs = [self._folder.blob(each["digest"], credentials) for each in described]
        return Record(
            reference,
            tuple(layer_name(diff_id, credentials) for diff_id in reversed(diff_ids)),
            tuple(blob.name for blob in blobs),
            {"config": config.get("config")},
            size_bytes + sum(blob.stat().st_size for blob in blobs),
            credentials,
        )

    def _json(self, descriptor: dict[str, Any], credentials: str) -> Any:
        """A document, whose digest is checked."""
        path = self._folder.blob(descriptor["digest"], credentials)
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ImageError(f"{descriptor['digest']} is larger than a description of an image")
        data = path.read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != descriptor["digest"]:
            path.unlink()
            raise ImageError(f"{descriptor['digest']} was damaged; it will be fetched again")
        return json.loads(data)

    async def _unpack_layer(self, blob: Path, diff_id: str, name: str) -> int:
        """Once; its size, unpacked."""
        lock = self._unpacking.setdefault(name, asyncio.Lock())
        async with lock:
            target = self._folder.layers / name
            if not target.is_dir():
                new = self._folder.new()
                new.mkdir(mode=0o755)
                stopped = threading.Event()
                try:
                    size = await asyncio.get_running_loop().run_in_executor(
                        self._unpackers, self._unpack_into, new, blob, diff_id, stopped.is_set
                    )
                finally:
                    stopped.set()
                (new.parent / f"{new.name}.size").write_text(str(size), "ascii")
                (new.parent / f"{new.name}.size").replace(self._folder.layers / f"{name}.size")
                new.rename(target)
        self._unpacking.pop(name, None)
        return int((self._folder.layers / f"{name}.size").read_text("ascii"))

    def _unpack_into(self, new: Path, blob: Path, diff_id: str, stopped: Callable[[], bool]) -> int:
        """Whole, or nothing is left of it. Blocking. Raises LayerError."""
        try:
            return unpack_layer(blob, new, diff_id, self._user_namespace_base, stopped)
        except BaseException:
            if not stopped():
                blob.unlink(missing_ok=True)  # fetched again, should it have been damaged here
            try_remove_tree(new)
            raise

    def close(self) -> None:
        """Wait for what is being unpacked."""
        self._unpackers.shutdown()


def layer_name(diff_id: str, credentials: str = "") -> str:
    """Short, for all layers of a container are named in one mount, of at most 4 KiB."""
    if credentials:
        return hashlib.sha256(f"{diff_id} {credentials}".encode()).hexdigest()[:LAYER_NAME_CHARS]
    return diff_id.removeprefix("sha256:")[:LAYER_NAME_CHARS]
