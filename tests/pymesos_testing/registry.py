"""A real registry (Debian's docker-registry) on loopback, and images to push to it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pymesos_testing.components import INSTALL, USERS, MissingError

BUSYBOX = "/bin/busybox"
APPLETS = ("sh", "sleep", "cat", "echo", "ls", "id", "touch", "head", "tr", "env", "true", "mount",
           "dd", "httpd", "stty", "kill", "hostname", "ping", "nc", "wget", "ps", "mkdir",
           "rm", "test", "printf", "seq", "date", "tty", "trap", "wc", "grep")  # fmt: skip


class Layer:
    """An archive in the making."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w")

    def file(self, name: str, data: bytes, mode: int = 0o644, **more: Any) -> Layer:
        """A file; its parents need not be there."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), mode
        return self._add(member, data, more)

    def member(self, name: str, kind: bytes, **more: Any) -> Layer:
        """A folder, a link, a device."""
        member = tarfile.TarInfo(name)
        member.type, member.mode = kind, 0o755
        return self._add(member, b"", more)

    def _add(self, member: tarfile.TarInfo, data: bytes, more: Mapping[str, Any]) -> Layer:
        for key, value in more.items():
            setattr(member, key, value)
        self._tar.addfile(member, io.BytesIO(data))
        return self

    def bytes(self) -> bytes:
        """The archive."""
        self._tar.close()
        return self._buffer.getvalue()


def busybox_layer() -> Layer:
    """A root file system of one static program. Raises MissingError."""
    if not Path(BUSYBOX).exists():
        raise MissingError(f"busybox-static is missing; {INSTALL}")
    layer = Layer()
    for folder in ("bin", "etc", "tmp", "proc", "sys", "dev", "mnt", "home"):
        layer.member(folder, tarfile.DIRTYPE)
    layer.file("bin/busybox", Path(BUSYBOX).read_bytes(), 0o755)
    for applet in APPLETS:
        layer.member(f"bin/{applet}", tarfile.SYMTYPE, linkname="busybox")
    for name, text in USERS.items():
        layer.file(f"etc/{name}", text)
    return layer


def write_layout(
    folder: Path, layers: Sequence[Layer], config: Mapping[str, Any], compression: str = "gzip"
) -> None:
    """An OCI layout with one image, tagged `image`; its layers by gzip or zstd."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    archives = [layer.bytes() for layer in layers]
    kind = "application/vnd.oci.image"
    described = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config),
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(a).hexdigest()}" for a in archives],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": put(json.dumps(described).encode(), f"{kind}.config.v1+json"),
        "layers": [
            put(compressed(a, compression), f"{kind}.layer.v1.tar+{compression}") for a in archives
        ],
    }
    entry = put(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "image"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def compressed(data: bytes, compression: str) -> bytes:
    """Raises MissingError."""
    if compression == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if not shutil.which(compression):
        raise MissingError(f"{compression} is missing; {INSTALL}")
    return subprocess.run(
        (compression, "-c"), input=data, stdout=subprocess.PIPE, check=True
    ).stdout


def push(layout: Path, reference: str, credentials: str = "") -> None:
    """To a registry on loopback."""
    login = ("--dest-creds", credentials) if credentials else ()
    subprocess.run(
        ("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", *login,
         f"oci:{layout}:image", f"docker://{reference}"),
        check=True,
    )  # fmt: skip


@contextlib.contextmanager
def registry(folder: Path, htpasswd: str = "") -> Iterator[str]:
    """The address of a registry of images; `htpasswd` names a file of its users.

    Raises MissingError.
    """
    if not shutil.which("docker-registry") or not shutil.which("skopeo"):
        raise MissingError(f"docker-registry or skopeo is missing; {INSTALL}")
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    auth = ""
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd)
        auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {folder}/htpasswd\n"
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog:\n  level: warn\n"
        f"storage:\n  filesystem:\n    rootdirectory: {folder}/r\n"
        f"http:\n  addr: 127.0.0.1:{port}\n{auth}"
    )
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ("docker-registry", "serve", str(folder / "config.yml")), stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
