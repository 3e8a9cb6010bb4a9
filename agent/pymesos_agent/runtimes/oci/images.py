"""The images of an agent: fetched once, kept as layers, removed when they are old or too many.

Blobs are shared by all images; a layer is unpacked once, under the digest of its contents:

    images/blobs/sha256/…   what was fetched
    images/layers/…         unpacked, for overlayfs
    images/records/….json   a reference, what it stood for, its size
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_agent.containers.settings import ImageSettings
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.files.unpacking import unpack_layer
from pymesos_agent.runtimes.oci.bundle import Image
from pymesos_agent.runtimes.oci.layers import LayerError, config_layers
from pymesos_agent.runtimes.oci.skopeo import ImageError, RemoteLayer, Skopeo, full_name
from pymesos_core.images import LOCAL, image_problem
from pymesos_core.tasks import Background, beside

log = logging.getLogger(__name__)

MIB = 1024 * 1024
MAX_PULLS = 3  # at a time
MAX_JSON_BYTES = 4 * MIB  # as registries have it
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
PROGRESS_S = 5.0  # between two reports of how far a fetching is
LAYER_NAME_CHARS = 24
COLLECT_INTERVAL_S = 600.0


@dataclass(frozen=True)
class Record:
    """What a reference stands for here."""

    reference: str
    layers: tuple[str, ...]  # names below layers/, the uppermost first
    blobs: tuple[str, ...]
    config: dict[str, Any]
    size_bytes: int
    used_at_s: float = 0.0

    def image(self, layers: Path) -> Image:
        """For a bundle. Raises ImageError."""
        config = self.config.get("config") or {}
        try:
            return Image(
                tuple(layers / name for name in self.layers),
                tuple(str(e) for e in config.get("Env") or ()),
                tuple(str(e) for e in config.get("Entrypoint") or ()),
                tuple(str(e) for e in config.get("Cmd") or ()),
                str(config.get("WorkingDir") or "/"),
                str(config.get("User") or ""),
            )
        except (TypeError, AttributeError) as error:
            raise ImageError(f"the configuration of {self.reference} is not one") from error


class Images:
    """The store. `in_use` names the layers of the containers that are there."""

    def __init__(
        self,
        directory: Path,
        settings: ImageSettings,
        in_use: Callable[[], Iterable[str]],
        user_namespace_base: int = 0,
    ) -> None:
        self.directory = directory
        self._user_namespace_base = user_namespace_base
        self._settings = settings
        self._in_use = in_use
        self._skopeo = Skopeo(settings.authfile)
        self._waiting: dict[str, list[Callable[[str], None]]] = {}  # for each that is fetched
        self._pulling = Background("fetching an image")
        self._pulls: dict[str, asyncio.Task[Record]] = {}
        self._slots = asyncio.Semaphore(MAX_PULLS)
        # Of its own: what else needs a thread is not to wait for a large layer.
        self._unpackers = ThreadPoolExecutor(MAX_PULLS, thread_name_prefix="unpack")
        self._unpacking: dict[str, asyncio.Lock] = {}

    @property
    def layers(self) -> Path:
        """Where layers are, unpacked."""
        return self.directory / "layers"

    def start(self) -> None:
        """Make the folders, and remove what an earlier agent was at. Raises OSError."""
        for name in ("blobs/sha256", "layers", "records", "new"):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o711)
        for unfinished in (self.directory / "new").iterdir():
            try_remove_tree(unfinished)

    async def get(self, reference: str, tell: Callable[[str], None]) -> Image:
        """Fetched if it is not here, once for all who ask; `tell` hears how it goes.

        Raises ImageError.
        """
        self._check(reference)
        record = self._read(reference)
        if record is None:
            tell("The image is being fetched")
            waiting = self._waiting.setdefault(reference, [])
            pull = self._pulls.get(reference)
            if pull is None:
                pull = self._pulling.start(self._pull(reference, waiting), awaited=True)
                self._pulls[reference] = pull
                pull.add_done_callback(partial(self._forget_pull, reference))
            waiting.append(tell)
            try:
                record = await asyncio.shield(pull)
            finally:
                waiting.remove(tell)
                if not waiting:  # it may be stuck, and nobody wants it any more
                    pull.cancel()
                    self._forget_pull(reference, pull)
        else:
            os.utime(self._record_path(reference))
        return record.image(self.layers)

    def _forget_pull(self, reference: str, pull: asyncio.Task[Record]) -> None:
        if self._pulls.get(reference) is pull:
            del self._pulls[reference], self._waiting[reference]

    def _check(self, reference: str) -> None:
        if problem := image_problem(reference):
            raise ImageError(problem)
        if reference.startswith(LOCAL):
            path = Path(reference.partition(":")[2].partition(":")[0])
            real = path.resolve()
            if not any(real.is_relative_to(a.resolve()) for a in self._settings.local_paths):
                raise ImageError(
                    f"{path} is not below a path that this agent allows (--allow-host-paths)"
                )
        elif self._settings.allowed:
            full = full_name(reference)
            if not any(full.startswith(prefix) for prefix in self._settings.allowed):
                raise ImageError(
                    f"images of {full} are not among those that this agent allows"
                    f" ({', '.join(self._settings.allowed)})"
                )

    # Records.

    def _record_path(self, reference: str) -> Path:
        name = hashlib.sha256(reference.encode()).hexdigest()
        return self.directory / "records" / f"{name}.json"

    def _read(self, reference: str) -> Record | None:
        return self._load(self._record_path(reference))

    def _load(self, path: Path) -> Record | None:
        try:
            data = json.loads(path.read_text("utf-8"))
            record = Record(
                data["reference"],
                tuple(data["layers"]),
                tuple(data["blobs"]),
                data["config"],
                data["size_bytes"],
                path.stat().st_mtime,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        there = all((self.layers / name).is_dir() for name in record.layers)
        return record if there else None

    def _write(self, record: Record) -> None:
        path = self._record_path(record.reference)
        text = json.dumps(
            {
                "reference": record.reference,
                "layers": record.layers,
                "blobs": record.blobs,
                "config": record.config,
                "size_bytes": record.size_bytes,
            }
        )
        new = path.with_suffix(".new")
        new.write_text(text, "utf-8")
        new.replace(path)

    # Fetching.

    async def _pull(self, reference: str, waiting: Sequence[Callable[[str], None]]) -> Record:
        """Fetch, unpack, record; then make room."""
        layout = self.directory / "new" / uuid.uuid4().hex
        async with self._slots:
            try:
                async with beside(self._report(reference, waiting)):
                    await self._skopeo.copy(reference, self.directory / "blobs", layout)
                    record = await self._unpack(reference, layout)
                self._write(record)
            except LayerError as error:
                raise ImageError(f"{reference}: {error}") from error
            except ImageError:
                raise
            except Exception as error:  # a registry may serve anything
                text = str(error) or type(error).__name__
                raise ImageError(f"{reference} cannot be read as an image: {text}") from error
            finally:
                await asyncio.to_thread(try_remove_tree, layout)
        log.info("fetched %s: %d MiB", reference, record.size_bytes // MIB)
        await self.collect(pulls=1)
        return record

    async def _report(self, reference: str, waiting: Sequence[Callable[[str], None]]) -> None:
        """Tell now and then, to all who wait for it, how far the fetching is."""
        layers: list[RemoteLayer] = []
        while True:
            await asyncio.sleep(PROGRESS_S)
            try:
                layers = layers or await self._skopeo.layers(reference)
                here = [layer for layer in layers if self._blob(layer.digest).exists()]
            except ImageError as error:
                log.debug("how far %s is, is not known: %s", reference, error)
                return
            text = "The image is being unpacked"
            if len(here) < len(layers):
                done, total = (sum(x.size_bytes for x in some) // MIB for some in (here, layers))
                text = f"The image is being fetched: {len(here)} of {len(layers)} layers"
                text += f", {done} of {total} MiB" if total else ""
            for tell in list(waiting):
                tell(text)

    def _blob(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise ImageError(f"the digest {digest!r} is not one")
        return self.directory / "blobs/sha256" / digest.removeprefix("sha256:")

    def _json(self, descriptor: dict[str, Any]) -> Any:
        """A document, whose digest is checked."""
        path = self._blob(descriptor["digest"])
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ImageError(f"{descriptor['digest']} is larger than a description of an image")
        data = path.read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != descriptor["digest"]:
            path.unlink()
            raise ImageError(f"{descriptor['digest']} was damaged; it will be fetched again")
        return json.loads(data)

    async def _unpack(self, reference: str, layout: Path) -> Record:
        (descriptor,) = json.loads((layout / "index.json").read_text("utf-8"))["manifests"]
        manifest = self._json(descriptor)
        config = self._json(manifest["config"])
        diff_ids = config_layers(config)
        if len(diff_ids) != len(manifest["layers"]):
            raise ImageError(f"{reference} says twice which layers it has, and not the same")
        size = 0
        for diff_id, layer in zip(diff_ids, manifest["layers"], strict=True):
            size += await self._unpack_layer(self._blob(layer["digest"]), diff_id)
        described = [descriptor, manifest["config"], *manifest["layers"]]
        return Record(
            reference,
            tuple(layer_name(diff_id) for diff_id in reversed(diff_ids)),
            tuple(self._blob(d["digest"]).name for d in described),
            {"config": config.get("config")},
            size + sum(self._blob(d["digest"]).stat().st_size for d in described),
        )

    async def _unpack_layer(self, blob: Path, diff_id: str) -> int:
        """Once; its size, unpacked."""
        name = layer_name(diff_id)
        lock = self._unpacking.setdefault(name, asyncio.Lock())
        async with lock:
            target = self.layers / name
            if not target.is_dir():
                new = self.directory / "new" / uuid.uuid4().hex
                new.mkdir(mode=0o755)
                stopped = threading.Event()
                try:
                    size = await asyncio.get_running_loop().run_in_executor(
                        self._unpackers, self._unpack_into, new, blob, diff_id, stopped.is_set
                    )
                finally:
                    stopped.set()
                (new.parent / f"{new.name}.size").write_text(str(size), "ascii")
                (new.parent / f"{new.name}.size").replace(self.layers / f"{name}.size")
                new.rename(target)
        self._unpacking.pop(name, None)
        return int((self.layers / f"{name}.size").read_text("ascii"))

    def _unpack_into(self, new: Path, blob: Path, diff_id: str, stopped: Callable[[], bool]) -> int:
        """Whole, or nothing is left of it. Blocking. Raises LayerError."""
        try:
            return unpack_layer(blob, new, diff_id, self._user_namespace_base, stopped)
        except BaseException:
            if not stopped():
                blob.unlink(missing_ok=True)  # fetched again, should it have been damaged here
            try_remove_tree(new)
            raise

    # Removing.

    async def collect_for_ever(self) -> None:
        """Remove old images, now and then."""
        while True:
            await asyncio.sleep(COLLECT_INTERVAL_S)
            try:
                await self.collect()
            except OSError as error:
                log.warning("old images cannot be removed: %s", error)

    async def collect(self, pulls: int = 0) -> list[str]:
        """Remove images that nobody has used for long, then the oldest until the rest fits.

        The references that were removed. What a container uses stays, and layers and blobs stay
        while more than `pulls` images are being fetched, which they may be of.
        """
        removed = self._forget_some()
        if len(self._pulls) <= pulls:
            # Out of the way at once: whoever asks for an image next must not find half of it.
            doomed = self.directory / "new" / uuid.uuid4().hex
            self._sweep(doomed)
            await asyncio.to_thread(try_remove_tree, doomed)
        if removed:
            log.info("removed images: %s", ", ".join(removed))
        return removed

    def _forget_some(self) -> list[str]:
        records = [r for p in self._records() if (r := self._load(p)) is not None]
        records.sort(key=lambda r: r.used_at_s)
        used = set(self._in_use())
        total = sum(r.size_bytes for r in records)
        removed: list[str] = []
        newest = records[-1:]
        for record in records:
            old = record.used_at_s < time.time() - self._settings.max_age_s
            full = total > self._settings.cache_mib * MIB
            if record in newest or used & set(record.layers) or not (old or full):
                continue
            self._record_path(record.reference).unlink(missing_ok=True)
            total -= record.size_bytes
            removed.append(record.reference)
        return removed

    def _records(self) -> list[Path]:
        return list((self.directory / "records").glob("*.json"))

    def _sweep(self, doomed: Path) -> None:
        """Layers and blobs that no image has and no container uses go into a folder."""
        kept = [r for p in self._records() if (r := self._load(p)) is not None]
        layers = {name for record in kept for name in record.layers} | set(self._in_use())
        blobs = {name for record in kept for name in record.blobs}
        doomed.mkdir()
        for path in self.layers.iterdir():
            if path.name.removesuffix(".size") not in layers:
                path.rename(doomed / path.name)
        for path in (self.directory / "blobs/sha256").iterdir():
            if path.name not in blobs:
                path.rename(doomed / path.name)

    async def close(self) -> None:
        """End what is being fetched."""
        await self._pulling.close()
        await asyncio.to_thread(self._unpackers.shutdown)


def layer_name(diff_id: str) -> str:
    """Short, for all layers of a container are named in one mount, of at most 4 KiB."""
    return diff_id.removeprefix("sha256:")[:LAYER_NAME_CHARS]


def layers_in_use(bundles: Path) -> Iterable[str]:
    """The layers of every container that is there: each bundle has a list."""
    for path in bundles.glob("*/layers"):
        with contextlib.suppress(OSError):
            yield from path.read_text("ascii").split()
