"""The file of a backup: what was written is read, and what was not is refused, with the line."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_cli.backup import records as of_file
from pymesos_cli.backup.records import Backup, BackupError, SavedJob, lines_of, read_backup
from pymesos_cli.backup.restored_jobs import MAX_REQUEST_BYTES, kept_versions
from pymesos_cli.backup.writing import check_target, write_file
from pymesos_cli.errors import CliError
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.policy_file import NEW_CLUSTER
from pymesos_proto.v1 import backup_pb2 as pb
from pymesos_proto.v1 import jobs_pb2, types_pb2
from pymesos_proto.v1.operator_pb2 import ClusterSilenceView, SealedSecret, SetWebhookRequest

names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=50)
times = st.floats(0, 1e10)
amounts = st.integers(1, 1000).map(lambda cpus: to_proto(parse(f"cpus:{cpus};mem:1.5")))
roles = st.builds(
    pb.BackupRole,
    role=names,
    weight=st.floats(0.001, 1e6),
    quota=st.none() | st.builds(types_pb2.Quota, guarantees=amounts, limits=amounts),
)
secrets = st.builds(
    SealedSecret,
    role=names,
    name=names,
    key_id=names,
    nonce=st.binary(min_size=1, max_size=12),
    sealed=st.binary(min_size=16, max_size=100),
    set_by=names,
    set_at_s=times,
)
agents = st.builds(
    pb.BackupAgent,
    agent_id=names,
    hostname=names,
    cordoned=st.booleans(),
    maintenance=st.none()
    | st.builds(types_pb2.Unavailability, start_s=times, duration_s=st.floats(0, 1e8)),
    reserved=amounts,
)


@st.composite
def jobs(draw: st.DrawFn) -> SavedJob:
    role, name = draw(names), draw(names)
    versions = []
    for number in sorted(draw(st.sets(st.integers(1, 99), min_size=1, max_size=4))):
        document = {"name": name, "role": role, "tasks": [], "about": draw(texts)}
        versions.append(
            jobs_pb2.JobVersion(
                version=number,
                made_at_s=draw(times),
                made_by=draw(names),
                what="apply",
                job_json=json.dumps(document),
            )
        )
    scaled = draw(st.dictionaries(names, st.integers(1, 10_000), max_size=3))
    return SavedJob(draw(names), role, name, tuple(versions), scaled)


def few(
    of: st.SearchStrategy[Any], key: Callable[[Any], Any]
) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=3, unique_by=key).map(tuple)


backups = st.builds(
    Backup,
    st.builds(pb.BackupBegin, format=st.just(1), made_at_s=times, made_by=names),
    st.none() | st.just(NEW_CLUSTER),
    few(roles, lambda role: role.role),
    few(secrets, lambda secret: (secret.role, secret.name)),
    few(agents, lambda agent: agent.agent_id),
    few(names, lambda name: name),
    few(jobs(), lambda job: job.job_id),
    few(texts, lambda text: text),
    webhooks=few(
        st.builds(
            SetWebhookRequest, name=names, url=st.just("https://h/x"), link_local=st.booleans()
        ),
        lambda webhook: webhook.name,
    ),
    silences=few(
        st.builds(ClusterSilenceView, subject=names, until_s=st.floats(1, 1e10), why=names),
        lambda silence: silence.subject,
    ),
)


def read(data: bytes) -> Backup:
    return read_backup(io.BytesIO(data))


def written(backup: Backup) -> bytes:
    return b"".join(lines_of(backup))


@given(backups)
def test_what_was_written_is_read(backup: Backup) -> None:
    assert read(written(backup)) == backup


@given(backups, st.data())
def test_what_is_cut_short_or_changed_is_refused(backup: Backup, data: st.DataObject) -> None:
    whole = written(backup)
    end = data.draw(st.integers(0, len(whole) - 1))
    at = data.draw(st.integers(0, len(whole) - 1))
    other = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    lines = whole.splitlines(keepends=True)
    swapped = data.draw(st.permutations(lines))
    for bad in (whole[:end], whole[:at] + other + whole[at + 1 :], b"".join(swapped)):
        if bad != whole:
            try:
                assert read(bad) == backup, "a change of no meaning, as of a space"
            except BackupError:
                continue
            assert len(bad) == len(whole)


@given(st.binary(max_size=200))
def test_whatever_it_is_it_ends_in_a_sentence(data: bytes) -> None:
    with pytest.raises(BackupError):
        read(data)


BEGIN = {"begin": {"format": 1, "made_with": "1.0"}}
VERSION = {
    "job_id": "shop-1",
    "role": "*",
    "name": "shop",
    "version": {"version": 1, "job_json": '{"name": "shop", "tasks": []}'},
}
COUNTS = {"job_counts": {"job_id": "shop-1", "scaled_counts": {"web": 7}}}
SECRET = {
    "role": "prod",
    "name": "db",
    "key_id": "k",
    "nonce": base64.b64encode(b"n").decode(),
    "sealed": base64.b64encode(b"s" * 20).decode(),
}


def document(*records: Any) -> bytes:
    """A file with these records, whatever they are, and the right end."""
    body = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    end = {"end": {"records": len(records), "sha256": digest}}
    return body + json.dumps(end).encode() + b"\n"


def version(**more: Any) -> dict[str, Any]:
    return {"job_version": {**VERSION, **more}}


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "line 1: a backup begins with what made it"),
        ([{"begin": {"format": 2, "made_with": "9.9"}}], "made by pymesos-cli 9.9; this one reads"),
        ([{"revoked": "agent/a"}], "line 1: the first record, and no other"),
        ([BEGIN, BEGIN], "line 2: the first record, and no other"),
        ([BEGIN, {}], "line 2: a record of a kind that is known was expected"),
        ([BEGIN, {"later": {}}], "line 2: a record of a backup was expected"),
        ([BEGIN, [1]], "line 2: a record of a backup was expected"),
        ([BEGIN, {"policy": {"document": "deny: all"}}], "line 2: the policy: "),
        ([BEGIN, *[{"policy": {"document": NEW_CLUSTER}}] * 2], "line 3: the policy is there for"),
        ([BEGIN, {"role": {"role": "prod//web", "weight": 1}}], "line 2: role.role: "),
        ([BEGIN, {"role": {"role": "prod", "weight": "NaN"}}], "weight nan; one above 0"),
        ([BEGIN, {"role": {"role": "prod", "weight": -1}}], "weight -1; one above 0"),
        ([BEGIN, *[{"role": {"role": "prod", "weight": 2}}] * 2], "line 3: the role is there for"),
        (
            [BEGIN, {"role": {"role": "prod", "weight": 1, "quota": {
                "limits": [{"name": "cpus", "scalar": -1}]}}}],
            "the quota of the role prod: limits: ",
        ),
        ([BEGIN, *[{"secret": SECRET}] * 2], "line 3: the secret is there for"),
        ([BEGIN, {"secret": {**SECRET, "sealed": ""}}], "what is sealed by which key was expected"),
        ([BEGIN, {"secret": {**SECRET, "name": "../db"}}], "line 2: secret.name: "),
        (
            [BEGIN, {"secret": {**SECRET, "sealed": base64.b64encode(bytes(70_000)).decode()}}],
            "70000 bytes; at most 65552",
        ),
        ([BEGIN, {"agent": {"hostname": "h"}}], "line 2: the agent has no id"),
        (
            [BEGIN, {"agent": {"agent_id": "a", "reserved": [{"name": "cpus", "scalar": -1}]}}],
            "line 2: what is reserved of the agent a: ",
        ),
        ([BEGIN, *[{"agent": {"agent_id": "a"}}] * 2], "line 3: the agent is there for"),
        ([BEGIN, *[{"revoked": "agent/a"}] * 2], "line 3: the revocation is there for"),
        ([BEGIN, version(), version()], "line 3: version 1 of the job shop-1 comes after"),
        ([BEGIN, version(), version(name="store")], "is of another role or name than the one"),
        ([BEGIN, version(name="store")], "a document of another role or name than 'store'"),
        ([BEGIN, version(version={"version": 1, "job_json": "[]"})], "is no mapping, which"),
        ([BEGIN, version(version={"version": 1, "job_json": "{"})], "version 1 of the job"),
        ([BEGIN, version(version={"version": 0})], "a version of a job with its id"),
        (
            [BEGIN, version(version={"version": 1, "job_json": " " * 600_000})],
            "600000 bytes; at most 524288",
        ),
        ([BEGIN, version(job_id="a\nb")], "line 2: job_version.job_id: "),
        ([BEGIN, COUNTS, version()], "line 2: a version of 'shop-1' was expected before its"),
        ([BEGIN, version(), COUNTS, COUNTS], "line 4: the record of how shop-1 is scaled is"),
    ],
)  # fmt: skip
def test_what_no_cluster_was_told_is_refused(records: list[Any], says: str) -> None:
    with pytest.raises(BackupError) as refused:
        read(document(*records))
    assert says in str(refused.value), str(refused.value)


def test_a_document_of_these_is_read() -> None:
    """The documents above are refused for what is said, and for nothing else."""
    backup = read(document(BEGIN, {"secret": SECRET}, version()))
    assert [job.name for job in backup.jobs] == ["shop"] and len(backup.secrets) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data + b"{}\n", "the record before it ends the backup"),
        (lambda data: data[:-1], "the line is cut short"),
        (
            lambda data: b"".join(data.splitlines(True)[:-1]),
            "is not whole: it ends after",
        ),
        (lambda data: data.replace(b"agent/a", b"agent/b"), "the file was changed or damaged"),
        (lambda data: b"", "the backup is not whole"),
        (lambda data: b'{"begin":' + b"[" * 100_000 + b"\n", "line 1: what `pymesos-cli backup`"),
        (lambda data: b"\x00" * 10 + b"\n", "line 1: what `pymesos-cli backup` wrote was expected"),
    ],
)
def test_what_is_not_whole_is_refused(change: Callable[[bytes], bytes], says: str) -> None:
    with pytest.raises(BackupError) as refused:
        read(change(document(BEGIN, {"revoked": "agent/a"})))
    assert says in str(refused.value), str(refused.value)


class Endless(io.RawIOBase):
    """A file that never ends, as /dev/zero."""

    def __init__(self, part: bytes) -> None:
        self.part = part
        self.given_bytes = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        assert size is not None and size > 0, "a reader asks for a bounded part"
        line = self.part[:size] if b"\n" in self.part else self.part * size
        self.given_bytes += len(line)
        return line


def test_what_has_no_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros: Any = Endless(b"\0")
    with pytest.raises(BackupError, match="larger than a backup is"):
        read_backup(zeros)
    assert zeros.given_bytes <= of_file.MAX_LINE_BYTES + 1
    monkeypatch.setattr(of_file, "MAX_FILE_BYTES", 10_000)
    lines: Any = Endless(json.dumps(BEGIN).encode() + b"\n")
    with pytest.raises(BackupError, match="the first record, and no other"):
        read_backup(lines)
    body = b"".join([json.dumps(BEGIN).encode(), b"\n"])
    body += b"".join(b'{"revoked": "agent/a%d"}\n' % n for n in range(1000))
    with pytest.raises(BackupError, match="larger than a backup is"):
        read(body)


class TestWriting:
    backup = Backup(pb.BackupBegin(format=1))

    def test_it_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "b"
        before = os.umask(0)
        try:
            size = write_file(self.backup, str(file), force=False)
        finally:
            os.umask(before)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_bytes() == written(self.backup) and size == file.stat().st_size
        assert [*tmp_path.iterdir()] == [file], "nothing else stays"

    def test_nothing_is_overwritten_but_by_force(self, tmp_path: Path) -> None:
        file = tmp_path / "b"
        file.write_text("precious")
        with pytest.raises(CliError, match="is there already"):
            write_file(self.backup, str(file), force=False)
        assert file.read_text() == "precious"
        write_file(self.backup, str(file), force=True)
        assert read(file.read_bytes()) == self.backup
        assert [*tmp_path.iterdir()] == [file]

    def test_what_fails_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: Backup) -> Iterator[bytes]:
            yield b"half"
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("pymesos_cli.backup.writing.lines_of", full)
        (file := tmp_path / "b").write_text("precious")
        with pytest.raises(CliError, match="No space left"):
            write_file(self.backup, str(file), force=True)
        assert file.read_text() == "precious" and [*tmp_path.iterdir()] == [file]

    @pytest.mark.parametrize("file", ["b", "-"])
    def test_what_no_restore_takes_is_refused(
        self, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=io.BytesIO()))
        twice = Backup(pb.BackupBegin(format=1), revoked=("agent/a", "agent/a"))
        where = file if file == "-" else str(tmp_path / file)
        with pytest.raises(CliError, match="line 3: the revocation is there for a second time"):
            write_file(twice, where, force=False)
        assert not [*tmp_path.iterdir()], "on the day of the restore it would be too late"

    def test_however_much_is_left_out_it_can_be_restored(self) -> None:
        left_out = tuple(f"{n}: {'x' * 1000}" for n in range(2 * of_file.MAX_LINE_BYTES // 1000))
        backup = Backup(pb.BackupBegin(format=1), left_out=left_out)
        assert read(written(backup)).left_out == left_out

    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize(
        ("file", "says"),
        [
            ("folder", "'folder' is a folder: name a file in it"),
            ("folder/", "'folder/' is a folder: name a file in it"),
            ("new/", "'new/' is the name of a folder: name a file in it"),
            ("none/b", "'none' is no folder that is there: make it, or give another name"),
            ("pipe", "'pipe' is no regular file: name one, or - for standard output"),
            ("link", "'link' is a link, which a backup would replace: name the file itself"),
            ("gone", "'gone' is a link, which a backup would replace: name the file itself"),
            ("file/b", "the backup cannot be written to 'file/b': Not a directory"),
        ],
    )
    def test_what_is_no_regular_file_is_neither_replaced_nor_written_to(
        self, file: str, says: str, force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        os.mkfifo("pipe")
        Path("folder").mkdir()
        Path("file").write_text("precious")
        Path("link").symlink_to("file")
        Path("gone").symlink_to("nowhere")
        before = {path: path.lstat() for path in tmp_path.iterdir()}
        for refused in (check_target, lambda *a, **k: write_file(self.backup, *a, **k)):
            with pytest.raises(CliError) as error:
                refused(file, force=force)
            assert str(error.value) == says
        assert {path: path.lstat().st_ino for path in tmp_path.iterdir()} == {
            path: status.st_ino for path, status in before.items()
        }
        assert Path("file").read_text() == "precious"

    def test_what_cannot_be_written_is_said_of_the_name_that_was_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(**_: Any) -> Any:
            raise PermissionError(13, "Permission denied", "/folder/.pymesos-x8f2")

        monkeypatch.setattr("tempfile.mkstemp", refused)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(CliError) as error:
            write_file(self.backup, "b", force=False)
        assert str(error.value) == "the backup cannot be written to 'b': Permission denied"

    def test_what_becomes_another_thing_meanwhile_is_not_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def linking(_: Backup) -> Iterator[bytes]:
            (tmp_path / "b").symlink_to("elsewhere")
            yield b"data"

        monkeypatch.setattr("pymesos_cli.backup.writing.lines_of", linking)
        with pytest.raises(CliError, match="is a link"):
            write_file(self.backup, str(tmp_path / "b"), force=True)
        assert [*tmp_path.iterdir()] == [tmp_path / "b"] and (tmp_path / "b").is_symlink()


def test_the_latest_versions_are_kept_that_fit_in_a_request() -> None:
    def made(number: int, size: int) -> jobs_pb2.JobVersion:
        return jobs_pb2.JobVersion(version=number, job_json="x" * size)

    small = [made(n, 10) for n in range(1, 31)]
    assert [v.version for v in kept_versions(small)] == [*range(11, 31)]
    large = [made(n, 300_000) for n in range(1, 6)]
    kept = kept_versions(large)
    assert [v.version for v in kept] == [3, 4, 5]
    request = jobs_pb2.RestoreJobRequest(versions=kept, request_id="r" * 36)
    assert request.ByteSize() < MAX_REQUEST_BYTES + 100 < 1024 * 1024
    assert [v.version for v in kept_versions([made(1, 10), made(2, 1_000_000)])] == [2]
