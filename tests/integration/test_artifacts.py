"""Artifacts from a real HTTP server: checked, unpacked, kept; none leaves the sandbox."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import os
import resource
import stat
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_agent.containers.settings import AllowedPath
from pymesos_agent.files.artifacts import ArtifactError, Artifacts
from pymesos_agent.files.budget import MIB
from pymesos_agent.files.unpacking import UnpackingStoppedError, extract, open_as
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.registry import Layer


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, and a redirection to wherever is asked for."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/never":
            with contextlib.suppress(OSError):
                for _ in range(100_000):
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        return


class Site:
    """A server, a cache and a sandbox."""

    def __init__(self, folder: Path, address: str) -> None:
        self.files, self.sandbox, self.cache = (folder / n for n in ("files", "sandbox", "cache"))
        self.address = address
        self.sandbox.mkdir()
        self.artifacts = Artifacts(self.cache, (), 1)

    def fetch(self, name: str, **artifact: object) -> None:
        outside = name.startswith(("http://", "ftp://", "file://"))
        uri = name if outside else f"http://{self.address}/{name}"
        wanted = pb.Artifact(uri=uri, **artifact)  # type: ignore[arg-type]
        self.artifacts.fetch(wanted, self.sandbox, None, lambda: False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "files").mkdir()
    handler = functools.partial(Handler, directory=str(tmp_path / "files"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Site(tmp_path, f"127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_a_file(site: Site) -> None:
    (site.files / "tool").write_text("#!/bin/sh\n")
    site.fetch("tool", executable=True)
    site.fetch("tool", path="bin/other")
    assert (site.sandbox / "tool").stat().st_mode & 0o777 == 0o755
    assert (site.sandbox / "bin/other").stat().st_mode & 0o777 == 0o644
    site.fetch(f"to/http://{site.address}/tool", path="redirected")
    assert (site.sandbox / "redirected").read_text() == "#!/bin/sh\n"


def test_checksums_and_the_cache(site: Site) -> None:
    (site.files / "data").write_bytes(b"data")
    digest = hashlib.sha256(b"data").hexdigest()
    site.fetch("data", sha256=digest)
    assert [p.name for p in site.cache.iterdir()] == [digest]
    (site.files / "data").write_bytes(b"changed")
    site.fetch("data", sha256=digest, path="again")
    assert (site.sandbox / "again").read_bytes() == b"data", "from the cache"
    with pytest.raises(ArtifactError, match="is not what was asked for"):
        site.fetch("data", sha256="0" * 64)
    for number in range(3):
        big = os.urandom(600_000)
        (site.files / "big").write_bytes(big)
        site.fetch("big", sha256=hashlib.sha256(big).hexdigest(), path=f"big{number}")
    assert len(list(site.cache.iterdir())) == 1, "one MiB is kept"


def test_archives(site: Site) -> None:
    layer = Layer().member("d", tarfile.DIRTYPE).file("d/f", b"f", 0o755)
    layer.member("d/link", tarfile.SYMTYPE, linkname="f")
    (site.files / "a.tar").write_bytes(layer.bytes())
    site.fetch("a.tar", extract=True)
    assert os.access(site.sandbox / "d/f", os.X_OK) and (site.sandbox / "d/link").is_symlink()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x/y", "z")
    (site.files / "a.zip").write_bytes(packed.getvalue())
    site.fetch("a.zip", extract=True, path="into")
    assert (site.sandbox / "into/x/y").read_text() == "z"


LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


def zip_of(name: str, text: str = "x", mode: int = 0o100644) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, text)
    return packed.getvalue()


def test_links_as_tar_and_unzip_make_them(site: Site) -> None:
    layer = Layer().file("d/f", b"f", 0o755).member("h", HARD, linkname="d/f")
    layer.member("d/s", LINK, linkname="../h").member("./d/f", HARD, linkname="d/f")
    (site.files / "a.tgz").write_bytes(gzip.compress(layer.bytes()))
    site.fetch("a.tgz", extract=True, path="x")
    assert (site.sandbox / "x/h").samefile(site.sandbox / "x/d/f")
    assert (site.sandbox / "x/d/s").readlink() == Path("../h")
    (site.files / "a.zip").write_bytes(zip_of("d/l", "../f", stat.S_IFLNK | 0o777))
    site.fetch("a.zip", extract=True)
    assert (site.sandbox / "d/l").readlink() == Path("../f")
    layer = Layer().file("inner.zip", zip_of("y", "z"))
    (site.files / "b.tar").write_bytes(layer.bytes()[: 512 * 3])
    site.fetch("b.tar", extract=True)
    assert (site.sandbox / "inner.zip").read_bytes() == zip_of("y", "z"), "a tar, though a zip ends"


def encrypted(archive: bytes) -> bytes:
    """With the flag of one, in the member's header and in the directory."""
    directory = archive.index(b"PK\x01\x02")
    changed = bytearray(archive)
    changed[6] |= 1
    changed[directory + 8] |= 1
    return bytes(changed)


WHOLE = Layer().file("a", b"a" * 2000).file("b", b"b" * 2000).bytes()
PACKED = gzip.compress(WHOLE)


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (encrypted(zip_of("x")), "is encrypted"),
        (zip_of("x", "y" * 100)[:-30], "damaged"),
        (zip_of("x", "yyyy").replace(b"yyyy", b"yyxy"), "damaged"),
        (WHOLE[:1000], "damaged"),
        (WHOLE[:2560] + WHOLE[2560:2700], "damaged"),  # within the second header
        (WHOLE[:2560] + b"?" * 512 + WHOLE[3072:], "damaged"),
        (PACKED[:-12], "damaged"),
        (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "damaged"),  # another checksum
        (PACKED[:20] + b"\xff\xff" + PACKED[22:], "damaged"),
        (b"", "damaged"),
    ],
    ids=lambda given: given if isinstance(given, str) else "archive",
)
def test_damaged_archives_are_errors(site: Site, archive: bytes, says: str) -> None:
    (site.files / "a").write_bytes(archive)
    with pytest.raises(ArtifactError, match=says):
        site.fetch("a", extract=True)


def sparse(**headers: str) -> bytes:
    headers = {f"GNU.sparse.{key}": value for key, value in headers.items()}
    return Layer().file("a", b"").file("f", b"x", pax_headers=headers).bytes()


BZ2 = bytearray(bz2.compress(Layer().file("a", os.urandom(300_000)).bytes(), 1))
BZ2[-50_000:-49_990] = b"\xff" * 10  # in its last block


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        # A name that is said to be UTF-8, and is not.
        (zip_of("é").replace("é".encode(), b"\xff\xff"), "is damaged: UnicodeDecodeError: 'utf-8'"),
        (sparse(map="x", size="1"), "is damaged: ValueError: invalid literal"),
        (sparse(major="0", minor="1", map="0,1", size="?"), "is damaged: ValueError: invalid"),
        (bytes(BZ2), "is damaged: Invalid data stream"),
    ],
    ids=["name", "map", "size", "bz2"],
)
def test_what_nobody_foresaw_is_said_and_is_not_memory(
    site: Site, archive: bytes, says: str
) -> None:
    (site.files / "a").write_bytes(archive)
    with pytest.raises(ArtifactError, match=says):
        site.fetch("a", extract=True)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As an agent of many tasks has them: what is opened next is above 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"1200 descriptors are needed; the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    held = [os.open("/dev/null", os.O_RDONLY)]
    while held[-1] < 1024:
        held.append(os.dup(held[0]))
    yield
    for each in held:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_agent_with_many_descriptors(many_descriptors: None, tmp_path: Path) -> None:
    (tmp_path / "sandbox").mkdir()
    with tempfile.TemporaryFile() as file:
        file.write(Layer().file("f", b"f").bytes())
        extract(file, tmp_path / "sandbox", "", None, lambda: False)
    assert (tmp_path / "sandbox/f").read_bytes() == b"f"
    with os.fdopen(open_as((os.geteuid(), os.getegid(), ()), f"{tmp_path}/sandbox/f")) as opened:
        assert opened.read() == "f"


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (Layer().file("../escaped", b"x").bytes(), "leads out"),
        (Layer().member("l", LINK, linkname="/etc").bytes(), "leads out"),
        (Layer().member("d/l", LINK, linkname="../../x").bytes(), "leads out"),
        (Layer().file("l", b"").file("l/f", b"x").bytes(), "through a link or a file"),
        (Layer().member("h", HARD, linkname="/etc/passwd").bytes(), "leads out.*neither a file"),
        (Layer().member("h", HARD, linkname="../../x").bytes(), "leads out"),
        (Layer().member("d/h", HARD, linkname="none").bytes(), "leads out"),
        (Layer().member("d/f", tarfile.DIRTYPE).member("h", HARD, linkname="d").bytes(), "leads"),
        (
            Layer().member("d/e/s", LINK, linkname="../../x").member("h", HARD, linkname="d/e/s"),
            "leads out",
        ),
        (
            Layer()
            .member("a/b", LINK, linkname=".")
            .member("q", LINK, linkname="a/b/b/../../../x"),
            "leads out",
        ),
        (zip_of("l", "/etc", stat.S_IFLNK | 0o777), "leads out"),
        (zip_of("d/l", "../../x", stat.S_IFLNK | 0o777), "leads out"),
        (Layer().member("c", tarfile.CHRTYPE).bytes(), "neither a file"),
        (zip_of("../escaped"), "leads out"),
        (b"nothing of the kind", "no archive"),
    ],
)
def test_archives_that_try_to_escape_are_refused(
    site: Site, archive: bytes | Layer, says: str
) -> None:
    data = archive.bytes() if isinstance(archive, Layer) else archive
    (site.files / "a").write_bytes(data)
    with pytest.raises(ArtifactError, match=says):
        site.fetch("a", extract=True)
    assert not (site.sandbox.parent / "escaped").exists()


def global_header(size: int) -> bytes:
    """The header of a tar that is said of all members after it, `size` bytes of short records."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XGLTYPE, size
    records = b"".join(b"11 %06x=\n" % number for number in range(size // 11))
    return header.tobuf() + records.ljust(-(-size // 512) * 512, b"\0")


def chain() -> bytes:
    """A header of a header of a header, and so on."""
    return b"".join(Layer().member("x", tarfile.XHDTYPE).bytes()[:512] for _ in range(5000))


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (global_header(MIB) + Layer().file("a", b"").bytes(), "has a header of 1048576 bytes"),
        (Layer().file("a/" * 3000 + "f", b"").bytes(), "has a name of more than 4096"),
        (chain(), "damaged"),
    ],
    ids=["header", "name", "chain"],
)
def test_bombs_are_refused(site: Site, archive: bytes, says: str) -> None:
    """One MiB of headers took 1.1 GiB of the agent."""
    (site.files / "a").write_bytes(archive)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtifactError, match=says):
        site.fetch("a", extract=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024, "KiB"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks for others")
def test_an_archive_is_unpacked_by_the_user_of_the_task(site: Site) -> None:
    os.chown(site.sandbox, 12345, 12346)
    (site.sandbox / "of_root").mkdir(mode=0o755)
    (site.files / "a").write_bytes(Layer().file("d/f", b"f").bytes())
    wanted = pb.Artifact(uri=f"http://{site.address}/a", extract=True)
    site.artifacts.fetch(wanted, site.sandbox, (12345, 12346), lambda: False)
    status = (site.sandbox / "d/f").stat()
    assert (status.st_uid, status.st_gid) == (12345, 12346)
    wanted.path = "of_root"
    with pytest.raises(ArtifactError, match="Permission denied"):
        site.artifacts.fetch(wanted, site.sandbox, (12345, 12346), lambda: False)


def test_what_is_not_wanted_any_more_is_not_unpacked(site: Site) -> None:
    with (
        tempfile.TemporaryFile() as file,
        pytest.raises(UnpackingStoppedError),
    ):
        file.write(Layer().file("f", b"f").bytes())
        extract(file, site.sandbox, "", None, lambda: True)


def test_what_cannot_be_had_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for uri, says in (
        ("none", "File not found"),
        ("ftp://127.0.0.1/x", "is not http, https or file"),
        (f"file://{tmp_path}/secret", "--allow-host-paths"),
        (f"to/file://{tmp_path}/secret", "cannot be fetched|not HTTP"),
        ("http://127.0.0.1:1/x", "refused"),
        ("never", "its server says only that it goes on"),
    ):
        with pytest.raises(ArtifactError, match=says):
            site.fetch(uri)
    with pytest.raises(ArtifactError, match="has no name"):
        site.fetch("")
    (site.files / "f").write_text("x")
    with pytest.raises(ArtifactError, match="leads out"):
        site.fetch("f", path="../f")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads as another")
def test_a_file_of_the_machine_is_read_by_the_user_of_the_task(site: Site, passable: Path) -> None:
    folder = passable / "allowed"
    (folder / "closed").mkdir(parents=True)
    for path, mode in (("open", 0o644), ("mine", 0o600), ("group", 0o640), ("closed/f", 0o644)):
        (folder / path).write_text(path)
        (folder / path).chmod(mode)
    (folder / "closed").chmod(0o700)
    os.chown(folder / "group", 0, 4242)
    site.artifacts = Artifacts(site.cache, [AllowedPath(folder)], 1)

    def read(name: str, *groups: int) -> str:
        digest = hashlib.sha256(name.encode()).hexdigest()
        wanted = pb.Artifact(uri=f"file://{folder}/{name}", path="got", sha256=digest)
        reader = (12345, 12345, groups)
        site.artifacts.fetch(wanted, site.sandbox, None, lambda: False, reader=reader)
        return (site.sandbox / "got").read_text()

    assert read("open") == "open" and read("group", 4242) == "group"
    for name in ("mine", "group", "closed/f"):
        with pytest.raises(ArtifactError, match="may not be read by the user 12345"):
            read(name)
    assert not list(site.cache.iterdir()), "nor is it kept for those who may not"


def test_a_file_of_the_machine(site: Site, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed/f").write_text("mine")
    (tmp_path / "allowed/link").symlink_to("/etc/passwd")
    site.artifacts = Artifacts(site.cache, [AllowedPath(tmp_path / "allowed")], 1)
    site.fetch(f"file://{tmp_path}/allowed/f")
    assert (site.sandbox / "f").read_text() == "mine"
    with pytest.raises(ArtifactError, match="goes through a link below"):
        site.fetch(f"file://{tmp_path}/allowed/link")
