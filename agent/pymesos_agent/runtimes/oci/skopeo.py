"""skopeo fetches: every registry, its credentials (the standard files), mirrors and policy
(`/etc/containers`), OCI layouts and archives."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pymesos_agent.runtimes.image_troubles import trouble_with_image
from pymesos_agent.runtimes.oci.bundle import BundleError
from pymesos_core.images import full_name, is_on_disk
from pymesos_core.text import duration
from pymesos_proto.v1 import types_pb2 as pb

FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
COPY_TIMEOUT_S = 3600.0
INSPECT_TIMEOUT_S = 60.0
POLICY = Path("/etc/containers/policy.json")


class ImageError(BundleError):
    """The image cannot be had: the message says why."""

    @property
    def trouble(self) -> pb.ImageTrouble:
        """Return whether waiting may help."""
        return trouble_with_image(str(self))


@dataclass(frozen=True)
class RemoteLayer:
    """A layer as a registry describes it."""

    digest: str
    size_bytes: int  # 0: an older skopeo does not say


@contextlib.contextmanager
def _auth_in_memory(reference: str, login: str) -> Iterator[int | None]:
    """A file that skopeo takes a login from, which is in memory; None without one."""
    if not login:
        yield None
        return
    registry = full_name(reference).partition("/")[0]
    entry = {"auth": base64.b64encode(login.encode()).decode()}
    with os.fdopen(os.memfd_create("auth", os.MFD_CLOEXEC), "wb") as file:
        file.write(json.dumps({"auths": {registry: entry}}).encode())
        file.flush()
        yield file.fileno()


class Skopeo:
    """The tool, with the credentials that an operator names, if any."""

    def __init__(self, authfile: Path | None) -> None:
        self._program = shutil.which("skopeo")
        self._authfile = authfile

    async def copy(
        self,
        reference: str,
        blobs: Path,
        layout: Path,
        opened: int | None = None,
        login: str = "",
    ) -> None:
        """Fetch an image: its blobs into a shared folder, the rest into a layout.

        Of one on this machine `opened` is its folder or file; `login` is USER:PASSWORD, instead of
        what the machine has. Raises ImageError.
        """
        tls = "--src-tls-verify=false"
        options = ("--quiet", "--dest-shared-blob-dir", str(blobs))
        to = f"oci:{layout}:image"
        await self._run("copy", reference, tls, *options, to=to, opened=opened, login=login)

    async def layers(self, reference: str, login: str = "") -> list[RemoteLayer]:
        """What is to be fetched, for this machine's architecture. Raises ImageError."""
        options = ("--tls-verify=false", "--no-tags")
        said = await self._run("inspect", reference, *options, login=login)
        try:
            described = json.loads(said)
            sizes = {d["Digest"]: int(d["Size"]) for d in described.get("LayersData") or ()}
            return [RemoteLayer(str(d), sizes.get(d, 0)) for d in described["Layers"]]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ImageError(f"{reference} is not described as an image: {error}") from error

    async def _run(
        self,
        command: str,
        reference: str,
        no_tls: str,
        *options: str,
        to: str = "",
        opened: int | None = None,
        login: str = "",
    ) -> bytes:
        with _auth_in_memory(reference, login) as auth:
            return await self._run_with(
                command, reference, no_tls, *options, to=to, opened=opened, auth=auth
            )

    async def _run_with(
        self,
        command: str,
        reference: str,
        no_tls: str,
        *options: str,
        to: str,
        opened: int | None,
        auth: int | None,
    ) -> bytes:
        if self._program is None:
            raise ImageError("images need skopeo (Debian: apt-get install skopeo)")
        argv = [self._program]
        if not POLICY.exists():
            argv.append("--insecure-policy")
        argv += [command, *options]
        if auth is not None:
            argv += ["--authfile", f"/proc/self/fd/{auth}"]
        elif self._authfile is not None:
            argv += ["--authfile", str(self._authfile)]
        if full_name(reference).startswith(LOOPBACK):
            argv.append(no_tls)  # as Docker has it
        source = reference if is_on_disk(reference) else f"docker://{reference}"
        if opened is not None:
            kind, _, rest = reference.partition(":")
            source = ":".join((kind, f"/proc/self/fd/{opened}", *rest.split(":", 1)[1:]))
        argv.append(source)
        if to:
            argv.append(to)
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=[each for each in (opened, auth) if each is not None],
        )
        timeout_s = COPY_TIMEOUT_S if command == "copy" else INSPECT_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                out, said = await process.communicate()
        except TimeoutError:
            raise ImageError(
                f"cannot fetch the image {reference}: it takes longer than {duration(timeout_s)}"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            text = said.decode("utf-8", "replace")
            fatal = FATAL.search(text)
            reason = fatal[1].replace('\\"', '"') if fatal else text.strip()[-500:]
            raise ImageError(f"cannot fetch the image {reference}: {reason}")
        return out
