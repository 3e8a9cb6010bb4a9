"""Archives are unpacked as tar and unzip do it, and nothing leads out of the folder."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from pymesos_agent.files.archives import ArchiveError, Unpacker
from pymesos_agent.files.below import OutsideError
from pymesos_agent.files.budget import ARTIFACT, MIB, Limits
from pymesos_testing.registry import Layer

LINK, HARD, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    (tmp_path / "sandbox").mkdir()
    return tmp_path / "sandbox"


def extract(sandbox: Path, data: bytes, folder: str = "", limits: Limits = ARTIFACT) -> None:
    with Unpacker(sandbox, None, lambda: None, limits) as unpacker:
        unpacker.extract(io.BytesIO(data), folder)


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x/y", "z")
    return packed.getvalue()


@pytest.mark.parametrize("start", [b"", b"#!/usr/bin/env python3\n", b"MZ" + bytes(5000)])
def test_a_zip_may_begin_with_a_program(sandbox: Path, start: bytes) -> None:
    extract(sandbox, start + zipped())
    assert (sandbox / "x/y").read_text() == "z"


# The tests that run beside each other know them by their names: one of a zip would have its time.
@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\necho\n", zipped()[:-30]], ids=["nothing", "a script", "half a zip"]
)
def test_what_is_neither_a_tar_nor_a_zip(sandbox: Path, data: bytes) -> None:
    with pytest.raises(ArchiveError) as caught:
        extract(sandbox, data)
    assert str(caught.value).endswith("it is neither a tar nor a zip")


@pytest.mark.parametrize("folder", ["", "into/it"])
def test_members_go_through_links_of_earlier_ones(sandbox: Path, folder: str) -> None:
    layer = Layer().member("r", FOLDER).member("cur", LINK, linkname="r").file("cur/f", b"f")
    layer.member("deep", LINK, linkname="cur/a/b").file("deep/g", b"g")
    layer.member("deep/up", LINK, linkname="../../f").member("h", HARD, linkname="cur/f")
    layer.member("cur/d", FOLDER).member("cur", FOLDER).file("deep/x", b"x")
    extract(sandbox, layer.bytes(), folder)
    top = sandbox / folder
    assert (top / "cur").is_symlink() and (top / "r/d").is_dir()
    assert (top / "r/f").read_bytes() == (top / "r/a/b/up").read_bytes() == b"f"
    assert (top / "h").samefile(top / "r/f")
    assert (top / "r/a/b/g").read_bytes() == b"g" and (top / "r/a/b/x").read_bytes() == b"x"


@pytest.mark.parametrize(
    "layer",
    [
        Layer().member("l", LINK, linkname=".").member("l/l/l/s", LINK, linkname="../escaped"),
        Layer().member("a", LINK, linkname="b").member("b", LINK, linkname="a").file("a/f", b""),
        Layer()
        .member("d/l", LINK, linkname="x/../../escaped")
        .member("d/x", LINK, linkname=".")
        .file("d/l/f", b""),
        Layer().file("f", b"").file("f/g", b""),
        Layer().member("l", LINK, linkname=".").file("l/../../escaped", b""),
    ],
    ids=["shallow", "circle", "changed", "file", "name"],
)
def test_no_link_leads_out(sandbox: Path, layer: Layer) -> None:
    with pytest.raises(OutsideError):
        extract(sandbox, layer.bytes())
    assert [path.name for path in sandbox.parent.iterdir()] == ["sandbox"]


def test_a_link_out_that_was_there_before_is_not_gone_through(sandbox: Path) -> None:
    (sandbox / "out").symlink_to(sandbox.parent)
    (sandbox / "up").symlink_to("..")
    for name in ("out/escaped", "up/escaped"):
        with pytest.raises(OutsideError):
            extract(sandbox, Layer().file(name, b"").bytes())
    assert [path.name for path in sandbox.parent.iterdir()] == ["sandbox"]


def zip_of(files: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(files):
            archive.writestr(f"f{number}", bytes(MIB))
    return packed.getvalue()


TAR = Layer().file("a", bytes(MIB)).file("b", bytes(MIB)).bytes()


@pytest.mark.parametrize("data", [gzip.compress(TAR), zip_of(2)], ids=["tar", "zip"])
@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(ratio=2, free_bytes=MIB), "made to fill disks"),
        (Limits(size_bytes=MIB), "more than 1048576 bytes"),
        (Limits(members=1), "more than 1 members"),
    ],
    ids=["ratio", "size", "members"],
)
def test_what_an_archive_may_take_is_bounded(
    sandbox: Path, data: bytes, limits: Limits, says: str
) -> None:
    with pytest.raises(ArchiveError, match=says):
        extract(sandbox, data, "", limits)


def test_what_comes_after_the_end_counts(sandbox: Path) -> None:
    data = gzip.compress(Layer().file("a", b"").bytes() + bytes(3 * MIB))
    with pytest.raises(ArchiveError, match="made to fill disks"):
        extract(sandbox, data, "", Limits(ratio=2, free_bytes=MIB))


def test_a_member_of_less_than_nothing(sandbox: Path) -> None:
    """A reader that believed it would go back, and read the same again and again."""
    size = b"20 size=-1536\n".replace(b"20", b"14")
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(size)
    packed = header.tobuf() + size.ljust(tarfile.BLOCKSIZE, b"\0") + tarfile.TarInfo("f").tobuf()
    with pytest.raises(ArchiveError, match="-1536 bytes"):
        extract(sandbox, packed + bytes(2 * tarfile.BLOCKSIZE))
