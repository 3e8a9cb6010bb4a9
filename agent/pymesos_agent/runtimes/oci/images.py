"""The images of an agent: fetched once for all who ask, removed when they are old or too many.

`image_folder.py` says what there is on disk, `image_unpacking.py` unpacks what was fetched. Blobs
and layers are shared by all images.

What was fetched by credentials is kept apart, its blobs in blobs-ID, and serves whoever presents
the same ones: others are sent to the registry, which knows whether they may have it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pymesos_agent.containers import hostpaths
from pymesos_agent.containers.settings import AllowedPath, ImageSettings
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.runtimes.oci.bundle import Image
from pymesos_agent.runtimes.oci.credentials import credentials_id, key_of
from pymesos_agent.runtimes.oci.image_folder import ImageFolder, Record, Wanted
from pymesos_agent.runtimes.oci.image_unpacking import Unpacking
from pymesos_agent.runtimes.oci.layers import LayerError
from pymesos_agent.runtimes.oci.skopeo import ImageError, RemoteLayer, Skopeo
from pymesos_core.images import image_refusal, is_on_disk
from pymesos_core.tasks import Background, beside
from pymesos_proto.v1 import types_pb2 as pb

log = logging.getLogger(__name__)

MIB = 1024 * 1024
MAX_PULLS = 3  # at a time
PROGRESS_S = 5.0  # between two reports of how far a fetching is
COLLECT_INTERVAL_S = 600.0


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
        self._folder = ImageFolder(directory)
        self._unpacking = Unpacking(self._folder, MAX_PULLS, user_namespace_base)
        self._settings = settings
        self._in_use = in_use
        self._skopeo = Skopeo(settings.authfile)
        self._key = b""
        self._waiting: dict[Wanted, list[Callable[[str], None]]] = {}  # for each that is fetched
        self._pulling = Background("fetching an image")
        self._pulls: dict[Wanted, asyncio.Task[Record]] = {}
        self._slots = asyncio.Semaphore(MAX_PULLS)

    @property
    def layers(self) -> Path:
        """Where layers are, unpacked."""
        return self._folder.layers

    def start(self) -> None:
        """Make the folders, and remove what an earlier agent was at. Raises OSError."""
        self._folder.start()
        self._key = key_of(self.directory)

    async def get(self, reference: str, tell: Callable[[str], None], login: str = "") -> Image:
        """Fetched if it is not here, once for all who ask; `tell` hears how it goes.

        With a `login`, USER:PASSWORD, it is fetched by that, and serves who presents the same.

        Raises ImageError.
        """
        self._check(reference)
        authfile = self._settings.authfile
        wanted = reference, credentials_id(reference, authfile, self._key, login)
        record = self._folder.find(wanted)
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
            self._folder.used(wanted)
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

    # Fetching.

    async def _pull(
        self, wanted: Wanted, waiting: Sequence[Callable[[str], None]], login: str
    ) -> Record:
        """Fetch, unpack, record; then make room."""
        reference, credentials = wanted
        blobs = self._folder.blobs(credentials)
        blobs.mkdir(parents=True, exist_ok=True, mode=0o711)
        layout = self._folder.new()
        async with self._slots:
            try:
                async with beside(self._report(wanted, waiting, login)):
                    with self._opened(reference) as opened:
                        await self._skopeo.copy(reference, blobs.parent, layout, opened, login)
                    record = await self._unpacking.record_of(wanted, layout)
                self._folder.write(record)
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
                here = [x for x in layers if self._folder.blob(x.digest, credentials).exists()]
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
            doomed = self._folder.new()
            self._sweep(doomed)
            await asyncio.to_thread(try_remove_tree, doomed)
        if removed:
            log.info("removed images: %s", ", ".join(removed))
        return removed

    def _forget_some(self) -> list[str]:
        records = sorted(self._folder.records(), key=lambda r: r.used_at_s)
        used = set(self._in_use())
        total = sum(r.size_bytes for r in records)
        removed: list[str] = []
        newest = records[-1:]
        for record in records:
            # One that was used at a time to come was so by a clock that was wrong then.
            old = abs(time.time() - record.used_at_s) > self._settings.max_age_s
            full = total > self._settings.cache_mib * MIB
            if record in newest or used & set(record.layers) or not (old or full):
                continue
            self._folder.forget(record)
            total -= record.size_bytes
            removed.append(record.reference)
        return removed

    def _sweep(self, doomed: Path) -> None:
        """Layers and blobs that no image has and no container uses go into a folder."""
        kept = self._folder.records()
        layers = {name for record in kept for name in record.layers} | set(self._in_use())
        blobs = {self._folder.blobs(r.credentials) / name for r in kept for name in r.blobs}
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
        await asyncio.to_thread(self._unpacking.close)


def layers_in_use(bundles: Path) -> Iterable[str]:
    """The layers of every container that is there: each bundle has a list."""
    for path in bundles.glob("*/layers"):
        with contextlib.suppress(OSError):
            yield from path.read_text("ascii").split()
