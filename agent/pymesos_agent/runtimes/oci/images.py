"""The images of an agent: fetched once, kept as layers, removed when they are old or too many.

Blobs are shared by all images; a layer is unpacked once, under the digest of its contents:

    images/blobs/sha256/…   what was fetched
    images/layers/…         unpacked, for overlayfs
    images/records/….json   a reference, what it stood for, its size

What was fetched by credentials is kept apart, its blobs in blobs-ID, and serves whoever presents
the same ones: others are sent to the registry, which knows whether they may have it.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_agent.containers import hostpaths
from pymesos_agent.containers.settings import AllowedPath, ImageSettings
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.files.unpacking import unpack_layer
from pymesos_agent.runtimes.oci.bundle import Image
from pymesos_agent.runtimes.oci.credentials import credentials_id, key_of
from pymesos_agent.runtimes.oci.layers import LayerError, config_layers
from pymesos_agent.runtimes.oci.skopeo import ImageError, RemoteLayer, Skopeo
from pymesos_core.images import image_refusal, is_on_disk
from pymesos_core.tasks import Background, beside
from pymesos_proto.v1 import types_pb2 as pb

log = logging.getLogger(__name__)

MIB = 1024 * 1024
MAX_PULLS = 3  # at a time
MAX_JSON_BYTES = 4 * MIB  # as registries have it
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
PROGRESS_S = 5.0  # between two reports of how far a fetching is
LAYER_NAME_CHARS = 24
COLLECT_INTERVAL_S = 600.0

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
        self._key = b""
        self._waiting: dict[Wanted, list[Callable[[str], None]]] = {}  # for each that is fetched
        self._pulling = Background("fetching an image")
        self._pulls: dict[Wanted, asyncio.Task[Record]] = {}
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
        self._key = key_of(self.directory)

    async def get(self, reference: str, tell: Callable[[str], None], login: str = "") -> Image:
        """Fetched if it is not here, once for all who ask; `tell` hears how it goes.

        With a `login`, USER:PASSWORD, it is fetched by that, and serves who presents the same.

        Raises ImageError.
        """
        self._check(reference)
        authfile = self._settings.authfile
        wanted = reference, credentials_id(reference, authfile, self._key, login)
        record = self._read(wanted)
        if record is None:
            tell("The image is being fetched")
            waiting = self._waiting.setdefault(wanted, [])
            pull = self._pulls.get(wanted)
            if pull is None:
                pull = self._pulling.start(self._pull(wanted, waiting, login), awaited=True)
                self._pulls[wanted] = pull
                pull.add_done_callback(partial(self._forget_pull, wanted))
            waiting.append(tell)
            try:
                record = await asyncio.shield(pull)
            finally:
                waiting.remove(tell)
                if not waiting:  # it may be stuck, and nobody wants it any more
                    pull.cancel()
                    self._forget_pull(wanted, pull)
        else:
            os.utime(self._record_path(wanted))
        return record.image(self.layers)

    def _forget_pull(self, wanted: Wanted, pull: asyncio.Task[Record]) -> None:
        if self._pulls.get(wanted) is pull:
            del self._pulls[wanted], self._waiting[wanted]

    def _check(self, reference: str) -> None:
        if problem := image_refusal(reference, self._settings.allowed):
            raise ImageError(problem)
        with self._opened(reference):
            return

    @contextlib.contextmanager
    def _opened(self, reference: str) -> Iterator[int | None]:
        """The folder or file of an image on this machine, which it may have; None for others.

        Raises ImageError.
        """
        if not is_on_disk(reference):
            yield None
            return
        path = reference.partition(":")[2].partition(":")[0]
        allowed = [AllowedPath(path) for path in self._settings.local_paths]
        mount = pb.ContainerMount(host_path=path, read_only=True)
        try:
            with hostpaths.opened(mount, allowed) as found:
                yield found.descriptor
        except hostpaths.HostPathError as error:
            raise ImageError(str(error)) from error

    # Records.

    def _record_path(self, wanted: Wanted) -> Path:
        name = hashlib.sha256(" ".join(filter(None, wanted)).encode()).hexdigest()
        return self.directory / "records" / f"{name}.json"

    def _read(self, wanted: Wanted) -> Record | None:
        return self._load(self._record_path(wanted))

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

    def _write(self, record: Record) -> None:
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

    # Fetching.

    async def _pull(
        self, wanted: Wanted, waiting: Sequence[Callable[[str], None]], login: str
    ) -> Record:
        """Fetch, unpack, record; then make room."""
        reference, credentials = wanted
        blobs = self._blobs(credentials)
        blobs.mkdir(parents=True, exist_ok=True, mode=0o711)
        layout = self.directory / "new" / uuid.uuid4().hex
        async with self._slots:
            try:
                async with beside(self._report(wanted, waiting, login)):
                    with self._opened(reference) as opened:
                        await self._skopeo.copy(reference, blobs.parent, layout, opened, login)
                    record = await self._unpack(wanted, layout)
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

    async def _report(
        self, wanted: Wanted, waiting: Sequence[Callable[[str], None]], login: str
    ) -> None:
        """Tell now and then, to all who wait for it, how far the fetching is."""
        reference, credentials = wanted
        layers: list[RemoteLayer] = []
        while True:
            await asyncio.sleep(PROGRESS_S)
            try:
                layers = layers or await self._skopeo.layers(reference, login)
                here = [layer for layer in layers if self._blob(layer.digest, credentials).exists()]
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

    def _blobs(self, credentials: str) -> Path:
        return self.directory / (f"blobs-{credentials}" if credentials else "blobs") / "sha256"

    def _blob(self, digest: str, credentials: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise ImageError(f"the digest {digest!r} is not one")
        return self._blobs(credentials) / digest.removeprefix("sha256:")

    def _json(self, descriptor: dict[str, Any], credentials: str) -> Any:
        """A document, whose digest is checked."""
        path = self._blob(descriptor["digest"], credentials)
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ImageError(f"{descriptor['digest']} is larger than a description of an image")
        data = path.read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != descriptor["digest"]:
            path.unlink()
            raise ImageError(f"{descriptor['digest']} was damaged; it will be fetched again")
        return json.loads(data)

    async def _unpack(self, wanted: Wanted, layout: Path) -> Record:
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
                            self._blob(layer["digest"], credentials),
                            diff_id,
                            layer_name(diff_id, credentials),
                        )
                    )
                    for diff_id, layer in zip(diff_ids, manifest["layers"], strict=True)
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        size = sum(one.result() for one in unpacked)
        described = [descriptor, manifest["config"], *manifest["layers"]]
        return Record(
            reference,
            tuple(layer_name(diff_id, credentials) for diff_id in reversed(diff_ids)),
            tuple(self._blob(d["digest"], credentials).name for d in described),
            {"config": config.get("config")},
            size + sum(self._blob(d["digest"], credentials).stat().st_size for d in described),
            credentials,
        )

    async def _unpack_layer(self, blob: Path, diff_id: str, name: str) -> int:
        """Once; its size, unpacked."""
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
            self._record_path((record.reference, record.credentials)).unlink(missing_ok=True)
            total -= record.size_bytes
            removed.append(record.reference)
        return removed

    def _records(self) -> list[Path]:
        return list((self.directory / "records").glob("*.json"))

    def _sweep(self, doomed: Path) -> None:
        """Layers and blobs that no image has and no container uses go into a folder."""
        kept = [r for p in self._records() if (r := self._load(p)) is not None]
        layers = {name for record in kept for name in record.layers} | set(self._in_use())
        blobs = {self._blobs(r.credentials) / name for r in kept for name in r.blobs}
        doomed.mkdir()
        for path in self.layers.iterdir():
            if path.name.removesuffix(".size") not in layers:
                path.rename(doomed / path.name)
        for path in self.directory.glob("blobs*/sha256/*"):
            if path not in blobs:
                path.rename(doomed / f"{path.parent.parent.name}-{path.name}")

    async def close(self) -> None:
        """End what is being fetched."""
        await self._pulling.close()
        await asyncio.to_thread(self._unpackers.shutdown)


def layer_name(diff_id: str, credentials: str = "") -> str:
    """Short, for all layers of a container are named in one mount, of at most 4 KiB."""
    if credentials:
        return hashlib.sha256(f"{diff_id} {credentials}".encode()).hexdigest()[:LAYER_NAME_CHARS]
    return diff_id.removeprefix("sha256:")[:LAYER_NAME_CHARS]


def layers_in_use(bundles: Path) -> Iterable[str]:
    """The layers of every container that is there: each bundle has a list."""
    for path in bundles.glob("*/layers"):
        with contextlib.suppress(OSError):
            yield from path.read_text("ascii").split()
