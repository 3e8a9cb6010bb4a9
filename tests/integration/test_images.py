"""Images from a real registry: fetched once, verified, layered, kept and removed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import resource
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pymesos_agent.containers.settings import ImageSettings
from pymesos_agent.files.budget import LAYER, MIB, Limits
from pymesos_agent.files.unpacking import unpack_layer
from pymesos_agent.runtimes.oci import images as images_module
from pymesos_agent.runtimes.oci.image_unpacking import layer_name
from pymesos_agent.runtimes.oci.images import Images
from pymesos_agent.runtimes.oci.layers import LayerError
from pymesos_agent.runtimes.oci.skopeo import ImageError
from pymesos_core.images import full_name
from pymesos_testing.components import MissingError
from pymesos_testing.registry import Layer, busybox_layer, push, registry, write_layout
from pymesos_testing.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks images")
BASE = 100_000
# The password is "secret", hashed by bcrypt.
HTPASSWD = "user:$2b$05$.N6uVtJKQsI0Dt2S7h6JnOVsyzjINuEOEPwN6O9.m2/B4rGE3t2GO\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with base:1 (busybox) and app:1 (a layer on top of it)."""
    folder = tmp_path_factory.mktemp("registry")
    try:
        with registry(folder / "registry") as where:
            write_layout(folder / "base", [busybox_layer()], {"Cmd": ["sh"]})
            push(folder / "base", f"{where}/base:1")
            top = Layer().file("app/hello", b"hello\n").file("bin/.wh.ping", b"")
            config = {
                "Env": ["COLOUR=blue"],
                "Entrypoint": ["cat"],
                "Cmd": ["/app/hello"],
                "WorkingDir": "/app",
                "User": "app",
            }
            write_layout(folder / "app", [busybox_layer(), top], config)
            push(folder / "app", f"{where}/app:1")
            yield where
    except MissingError as error:
        pytest.skip(str(error))


def store(folder: Path, **settings: object) -> Images:
    images = Images(folder, ImageSettings(**settings), lambda: ())  # type: ignore[arg-type]
    images.start()
    return images


async def test_it_is_fetched_once_for_all_who_ask(address: str, tmp_path: Path) -> None:
    images = store(tmp_path)
    told: list[str] = []
    found = await asyncio.gather(*(images.get(f"{address}/app:1", told.append) for _ in range(5)))
    assert len({image.layers for image in found}) == 1
    image = found[0]
    assert (image.user, image.cwd, image.entrypoint) == ("app", "/app", ("cat",))
    assert image.command == ("/app/hello",) and image.environment == ("COLOUR=blue",)
    assert told == ["The image is being fetched"] * 5
    assert len(list((tmp_path / "blobs/sha256").iterdir())) == 4, "manifest, config, two layers"
    await images.get(f"{address}/app:1", told.append)
    assert len(told) == 5, "it is here"
    top, bottom = image.layers
    assert (top / "app/hello").read_text() == "hello\n"
    assert stat.S_ISCHR((top / "bin/ping").lstat().st_mode), "a whiteout"
    assert (bottom / "bin/ping").is_symlink()


async def test_it_says_how_far_it_is(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin/skopeo"
    slow.parent.mkdir()
    real = shutil.which("skopeo")
    slow.write_text(f'#!/bin/sh\ncase "$*" in *copy*) sleep 1;; esac\nexec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent), prepend=os.pathsep)
    monkeypatch.setattr(images_module, "PROGRESS_S", 0.05)
    images = store(tmp_path / "store")
    told: list[str] = []
    also: list[str] = []
    await asyncio.gather(*(images.get(f"{address}/app:1", t.append) for t in (told, also)))
    assert told == also, "all who wait for it hear it"
    assert any(text.startswith("The image is being fetched: 0 of 2 layers") for text in told)
    assert not images._waiting and not images._pulls


async def test_layers_of_zstd(address: str, tmp_path: Path) -> None:
    try:
        write_layout(tmp_path / "zstd", [busybox_layer()], {}, "zstd")
    except MissingError as error:
        pytest.skip(str(error))
    push(tmp_path / "zstd", f"{address}/zstd:1")
    image = await store(tmp_path / "store").get(f"{address}/zstd:1", lambda _: None)
    assert (image.layers[0] / "bin/busybox").is_file()


async def test_layers_are_shared(address: str, tmp_path: Path) -> None:
    images = store(tmp_path)
    base, app = await asyncio.gather(
        images.get(f"{address}/base:1", lambda _: None),
        images.get(f"{address}/app:1", lambda _: None),
    )
    assert base.layers[0] == app.layers[1]
    assert len([p for p in images.layers.iterdir() if p.is_dir()]) == 2


async def test_what_is_not_there_is_named(address: str, tmp_path: Path) -> None:
    images = store(tmp_path)
    for reference, says in (
        (f"{address}/none:1", "manifest unknown"),
        ("127.0.0.1:1/x:1", "connection refused"),
        ("--help", "is no reference of an image"),
        ("a b", "is no reference of an image"),
        ("oci:/etc", "--allow-host-paths"),
    ):
        with pytest.raises(ImageError, match=says):
            await images.get(reference, lambda _: None)


async def test_only_what_is_allowed(address: str, tmp_path: Path) -> None:
    images = store(tmp_path, allowed=("docker.io/library/", f"{address}/base"))
    await images.get(f"{address}/base:1", lambda _: None)
    with pytest.raises(ImageError, match="are not among those"):
        await images.get(f"{address}/app:1", lambda _: None)
    with pytest.raises(ImageError, match="are not among those"):
        await images.get("evil/nginx", lambda _: None)
    assert full_name("nginx:1") == "docker.io/library/nginx:1"
    assert full_name("a/b") == "docker.io/a/b"
    assert full_name("quay.io/a/b") == "quay.io/a/b"


async def test_a_layout_in_a_folder_that_is_allowed(tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", [busybox_layer()], {})
    images = store(tmp_path / "store", local_paths=(tmp_path / "layout",))
    image = await images.get(f"oci:{tmp_path}/layout:image", lambda _: None)
    assert (image.layers[0] / "bin/busybox").is_file()


async def test_a_registry_that_wants_a_password(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("private")
    try:
        with registry(folder / "registry", HTPASSWD) as where:
            write_layout(folder / "layout", [busybox_layer()], {})
            push(folder / "layout", f"{where}/secret:1", "user:secret")
            with pytest.raises(ImageError, match=r"unauthorized|authentication"):
                await store(tmp_path / "a").get(f"{where}/secret:1", lambda _: None)
            auth = tmp_path / "config.json"
            auth.write_text(json.dumps({"auths": {where: {"auth": "dXNlcjpzZWNyZXQ="}}}))
            images = store(tmp_path / "b", authfile=auth)
            image = await images.get(f"{where}/secret:1", lambda _: None)
            # What is here of it serves those who present the same credentials, and nobody else.
            told: list[str] = []
            assert await store(tmp_path / "b", authfile=auth).get(f"{where}/secret:1", told.append)
            assert told == []
            wrong = tmp_path / "wrong.json"
            wrong.write_text(json.dumps({"auths": {where: {"auth": "dXNlcjp3cm9uZw=="}}}))
            for other in (None, wrong):
                with pytest.raises(ImageError, match=r"unauthorized|authentication"):
                    await store(tmp_path / "b", authfile=other).get(
                        f"{where}/secret:1", lambda _: None
                    )
            # Nor does it come with an image of somebody else's, who knows the digest of its layer.
            (diff_id,) = (
                f"sha256:{hashlib.sha256(layer.bytes()).hexdigest()}" for layer in [busybox_layer()]
            )
            assert image.layers[0].name != layer_name(diff_id)
            assert not list((tmp_path / "b/blobs").glob("sha256/*"))
    except MissingError as error:
        pytest.skip(str(error))


async def test_a_damaged_layer_is_found_out(address: str, tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", [Layer().file("a", b"a"), Layer().file("b", b"b")], {})
    manifest = next(
        json.loads(p.read_bytes())
        for p in (tmp_path / "layout/blobs/sha256").iterdir()
        if b'"layers"' in p.read_bytes() and b"diff_ids" not in p.read_bytes()
    )
    first, second = (layer["digest"].removeprefix("sha256:") for layer in manifest["layers"])
    blobs = tmp_path / "layout/blobs/sha256"
    (blobs / first).write_bytes((blobs / second).read_bytes())
    images = store(tmp_path / "store", local_paths=(tmp_path,))
    with pytest.raises(ImageError):
        await images.get(f"oci:{tmp_path}/layout:image", lambda _: None)
    assert not [p for p in images.layers.iterdir() if p.is_dir()]


async def test_the_oldest_goes_when_there_is_no_room(address: str, tmp_path: Path) -> None:
    used: list[str] = []
    images = Images(tmp_path, ImageSettings(cache_mib=0), lambda: used)
    images.start()
    base = await images.get(f"{address}/base:1", lambda _: None)
    await images.get(f"{address}/app:1", lambda _: None)
    records = [json.loads(p.read_text()) for p in (tmp_path / "records").iterdir()]
    assert [r["reference"] for r in records] == [f"{address}/app:1"], "the newest stays"
    assert base.layers[0].is_dir(), "it is a layer of the other, too"
    used.append(base.layers[0].name)
    for path in (tmp_path / "records").iterdir():
        path.unlink()
    await images.collect()
    assert [p.name for p in images.layers.iterdir() if p.is_dir()] == used, "a container uses it"
    used.clear()
    await images.collect()
    assert not list(images.layers.iterdir())
    assert not list((tmp_path / "blobs/sha256").iterdir())


async def test_the_old_go(address: str, tmp_path: Path) -> None:
    images = store(tmp_path, max_age_s=100.0)
    await images.get(f"{address}/base:1", lambda _: None)
    await images.get(f"{address}/app:1", lambda _: None)
    for path in (tmp_path / "records").iterdir():
        if "base" in json.loads(path.read_text())["reference"]:
            os.utime(path, (1, 1))
    assert await images.collect() == [f"{address}/base:1"]


def unpack_bytes(
    folder: Path, data: bytes, limits: Limits = LAYER, packed: bytes = b"", base: int = 0
) -> None:
    """A layer, in a process of its own, into root."""
    (folder / "root").mkdir()
    (folder / "blob").write_bytes(packed or data)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    unpack_layer(folder / "blob", folder / "root", digest, base, lambda: False, limits)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (Layer().file("../escaped", b"x"), "leads out"),
        (Layer().file("a/../../escaped", b"x"), "leads out"),
        (
            Layer().member("a", tarfile.SYMTYPE, linkname="/").file("a/escaped", b"x"),
            "goes through a link",
        ),
        (
            Layer().member("a", tarfile.SYMTYPE, linkname="..").member("a/b", tarfile.DIRTYPE),
            "goes through a link",
        ),
        (Layer().member("a", tarfile.LNKTYPE, linkname="../../etc/passwd"), "leads out"),
        (Layer().member("a", tarfile.LNKTYPE, linkname="/etc/passwd"), "No such file"),
        (Layer().file(".wh...", b""), "hides nothing"),
    ],
)
def test_archives_that_try_to_escape_are_refused(layer: Layer, says: str, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match=says):
        unpack_bytes(tmp_path, layer.bytes())
    assert not (tmp_path / "escaped").exists() and not Path("/escaped").exists()


def test_an_absolute_name_is_below_the_root(tmp_path: Path) -> None:
    unpack_bytes(tmp_path, Layer().file("/etc/inside", b"x").bytes())
    assert (tmp_path / "root/etc/inside").read_text() == "x"
    assert not Path("/etc/inside").exists()


async def test_what_nobody_waits_for_any_more_is_not_fetched(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill ends a task whose image is stuck, and the next one is not kept waiting by it."""
    stuck = tmp_path / "bin/skopeo"
    stuck.parent.mkdir()
    stuck.write_text("#!/bin/sh\nexec sleep 67\n")
    stuck.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(stuck.parent), prepend=os.pathsep)
        images = store(tmp_path / "store")
    gets = [asyncio.create_task(images.get(f"{address}/app:{n}", lambda _: None)) for n in range(5)]
    await asyncio.sleep(0.2)
    for get in gets:
        get.cancel()
    await asyncio.gather(*gets, return_exceptions=True)
    await until(
        "none is fetched", lambda: not [t for t in asyncio.all_tasks() if "_pull" in str(t)]
    )
    assert not images._pulls and not images._waiting
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "67"]]
    assert list((tmp_path / "store/new").iterdir()) == []


def test_a_layer_damaged_within_is_said_to_be(tmp_path: Path) -> None:
    """Whatever the library that reads it raises."""
    data = bytearray(gzip.compress(Layer().file("a", os.urandom(5000)).bytes()))
    data[100:110] = b"\xff" * 10
    with pytest.raises(LayerError, match="damaged"):
        unpack_bytes(tmp_path, b"", packed=bytes(data))


def test_a_digest_is_checked_before_anything_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "blob").write_bytes(Layer().file("a", b"a").bytes())
    with pytest.raises(LayerError, match="is another one"):
        unpack_layer(tmp_path / "blob", tmp_path / "root", f"sha256:{'0' * 64}", 0, lambda: False)
    assert not list((tmp_path / "root").iterdir())


def test_a_bomb_costs_the_agent_nothing(tmp_path: Path) -> None:
    """Half a MiB of a layer that begins with a header of half a GiB took three times that."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 512 * MIB
    data = header.tobuf() + bytes(8 * MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LayerError, match="has a header of 536870912 bytes"):
        unpack_bytes(tmp_path, data, packed=gzip.compress(data, 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert peak < 100 * 1024, "in KiB"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(members=10), "more than 10 members"),
        (Limits(size_bytes=MIB), "more than 1048576 bytes"),
        (Limits(ratio=2, free_bytes=MIB), "made to fill disks"),
        (Limits(mem_bytes=24 * MIB), "bytes of memory"),
        (Limits(wall_s=0), "within 0 s"),
    ],
)
def test_what_a_layer_may_take_is_bounded(limits: Limits, says: str, tmp_path: Path) -> None:
    layer = Layer()
    for number in range(20):
        layer.file(f"f{number}", bytes(200_000))
    with pytest.raises(LayerError, match=says):
        unpack_bytes(tmp_path, layer.bytes(), limits, gzip.compress(layer.bytes()))


def test_a_sparse_file_fills_no_disk(tmp_path: Path) -> None:
    """The layer says a size of which nothing is in it."""
    header = tarfile.TarInfo("x")
    header.type = tarfile.GNUTYPE_SPARSE
    data = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    data[483:495] = b"00200000000000"[-12:]  # its real size: 16 GiB
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    with pytest.raises(LayerError, match="made to fill disks"):
        unpack_bytes(tmp_path, bytes(data) + bytes(1024))


def of_ids(uid: int, gid: int) -> bytes:
    return Layer().file("f", b"", uid=uid, gid=gid, pax_headers={"uid": str(uid)}).bytes()


@pytest.mark.parametrize("number", [-1, -BASE, -(2**33), 65536, 2**32 - 1, 2**40])
def test_no_file_is_of_an_id_outside_the_namespace(number: int, tmp_path: Path) -> None:
    """A negative one was of root of the machine."""
    unpack_bytes(tmp_path, of_ids(number, 7), base=BASE)
    status = (tmp_path / "root/f").stat()
    assert (status.st_uid, status.st_gid) == (BASE + 65534, BASE + 7)


@pytest.mark.parametrize("number", [-1, -BASE, 2**32 - 1, 2**40])
def test_an_id_that_there_is_not_is_refused(number: int, tmp_path: Path) -> None:
    for uid, gid in ((number, 0), (0, number)):
        (tmp_path / f"{uid}").mkdir()
        with pytest.raises(LayerError, match=f"'f' belongs to the id {number}"):
            unpack_bytes(tmp_path / f"{uid}", of_ids(uid, gid))


def test_what_nobody_foresaw_is_said_and_is_not_memory(tmp_path: Path) -> None:
    """A time that never comes."""
    data = Layer().file("f", b"", mtime=0, pax_headers={"mtime": "inf"}).bytes()
    with pytest.raises(LayerError, match="is damaged: OverflowError: timestamp out of range"):
        unpack_bytes(tmp_path, data)
