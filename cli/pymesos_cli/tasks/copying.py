"""`cp`: files and folders, into a task's sandbox and out of it, as `docker cp` has it.

A file goes into a folder that is there under its own name, and else becomes the target. A folder
does so, too; `FOLDER/.` is what is in it. Permission bits are kept.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import grpc.aio

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from pymesos_cli.finding import find_task
from pymesos_cli.sandboxes import sandbox_of
from pymesos_cli.tasks.exec import run_inside
from pymesos_cli.tasks.files import Remote
from pymesos_cli.terminal import note, printable
from pymesos_core.directories import real_path
from pymesos_core.text import quoted
from pymesos_proto.v1 import sandbox_pb2 as pb

MAX_DEPTH = 64
PERMISSIONS = 0o777
# How an agent says that there is nothing to read: of links, pipes and sockets.
NO_DATA = ("goes through a link or a file", "is not a file")
# $1 the target, $2 the name of what comes. Both end with `to`, the place that it goes to.
INTO = """
cd -- "$PYMESOS_SANDBOX" || exit 1
fail() { echo "cp: $1" >&2; exit 1; }
case /$1/ in */../*) fail "$1 leads out of the sandbox" ;; esac
case $1 in
"$PYMESOS_SANDBOX" | "$PYMESOS_SANDBOX"/*) to=$1 ;;
/*) fail "$1 is not in the task's sandbox: give a path in it, without the / at its beginning" ;;
*) to=./$1 ;;
esac
"""
# $3 its mode. Beside the file first: what breaks off in the middle leaves the old one as it was.
RECEIVE_FILE = (
    INTO
    + """
case $to in */) [ -d "$to" ] || fail "there is no folder $1" ;; esac
[ ! -d "$to" ] || to=${to%/}/$2
[ ! -d "$to" ] || fail "$to is a folder"
[ -d "${to%/*}" ] || fail "there is no folder ${1%/*} for $1"
part=$to.$$.part
trap 'rm -f "$part"' EXIT
cat > "$part" && chmod "$3" "$part" && mv -f "$part" "$to"
"""
)
# $3 is not empty for what is in the folder.
RECEIVE_FOLDER = (
    INTO
    + """
command -v tar > /dev/null || fail "the container has no tar, which folders need"
[ -d "$to" ] || [ ! -e "$to" ] || fail "$1 is a file, and a folder is to go there"
[ ! -d "$to" ] || [ -n "$3" ] || to=${to%/}/$2
[ -d "$to" ] || mkdir "$to" || exit 1
tar -x -o -f - -C "$to"
"""
)


@dataclass(frozen=True)
class Place:
    """A path in a task's sandbox."""

    task: str
    path: str


def parse_place(text: str) -> Place | None:
    """TASK:PATH; None for a path here, which has a slash before the colon, or no colon."""
    task, colon, path = text.partition(":")
    return Place(task, path) if colon and task and "/" not in task else None


async def copy(cluster: Cluster, source: str, target: str) -> int:
    """`pymesos-cli cp`: one of the two is TASK:PATH; the exit status."""
    from_task, to_task = parse_place(source), parse_place(target)
    if (from_task is None) == (to_task is None):
        raise CliError(
            "one of the two is TASK:PATH, the other a path here: cp TASK:PATH PATH, cp PATH"
            " TASK:PATH (./a:b is a path here)",
            EXIT_USAGE,
        )
    here = target if from_task is not None else source
    if here == "-":
        raise CliError("- is no path: `pymesos-cli cat TASK PATH` writes to stdout", EXIT_USAGE)
    if from_task is not None:
        return EXIT_FAILED if await _download(cluster, from_task, target) else 0
    assert to_task is not None
    return await _upload(cluster, source, to_task)


def contents_only(path: str) -> bool:
    """Whether what is in the folder is meant: FOLDER/. or all there is."""
    return path.rstrip("/") in ("", ".") or path.endswith("/.")


async def _download(cluster: Cluster, place: Place, target: str) -> list[str]:
    """What has data and could not be copied."""
    view = await find_task(cluster, place.task, completed=True)
    async with sandbox_of(cluster, view) as (stub, metadata):
        remote = Remote(stub, metadata, view)
        path = place.path.removesuffix("/.").strip("/")
        path = "" if path == "." else path
        found = await _look(remote, path, view.task_info.task_id) if path else None
        is_folder = found is None or found.is_directory
        if not is_folder and place.path.endswith(("/", "/.")):
            raise CliError(f"{quoted(place.path)} is a file, not a folder", EXIT_USAGE)
        name = "" if contents_only(place.path) else path.rpartition("/")[2]
        try:
            where = _target_here(target, name, is_folder=is_folder)
            if is_folder:
                await _download_folder(remote, path, where, found, 0)
            else:
                assert found is not None
                await _download_file(remote, path, where, found, os.O_CREAT)
        except OSError as error:
            raise CliError(f"{error.filename or target}: {error.strerror}") from error
        return remote.lacks


async def _look(remote: Remote, path: str, task_id: str) -> pb.FileView:
    folder, _, name = path.rpartition("/")
    for file in await remote.list(folder):
        if file.name == name:
            return file
    hint = f"`pymesos-cli ls {task_id}` lists its files"
    raise CliError(f"{task_id} has no file {quoted(path)}; {hint}", EXIT_USAGE)


def _target_here(target: str, name: str, *, is_folder: bool) -> Path:
    """Where it goes. Raises CliError."""
    path = Path(target)
    if path.is_dir():
        path = path / name if name else path
        if path.is_dir() and not is_folder:
            raise CliError(f"{path} is a folder, and a file is to go there", EXIT_USAGE)
    elif target.endswith("/") and not is_folder:
        raise CliError(f"there is no folder {target}", EXIT_USAGE)
    if is_folder and path.exists() and not path.is_dir():
        raise CliError(f"{path} is a file, and a folder is to go there", EXIT_USAGE)
    return path


async def _download_folder(
    remote: Remote, path: str, target: Path, view: pb.FileView | None, depth: int
) -> None:
    if depth > MAX_DEPTH:
        raise CliError(f"{quoted(path)}: more than {MAX_DEPTH} folders in each other")
    made = not target.exists()
    target.mkdir(exist_ok=True)
    for file in await remote.list(path):
        if "/" in file.name or file.name in ("", ".", ".."):
            raise CliError(f"the agent names a file {quoted(file.name)}, which is none")
        inner = f"{path}/{file.name}" if path else file.name
        if file.is_directory:
            await _download_folder(remote, inner, target / file.name, file, depth + 1)
            continue
        try:
            await _download_file(remote, inner, target / file.name, file, os.O_NOFOLLOW)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            said = error.details() or ""
            note(f"left out: {printable(said)}")
            if not said.endswith(NO_DATA):
                remote.lacks.append(inner)
    if made and view is not None and view.mode:
        target.chmod(view.mode & PERMISSIONS | stat.S_IRWXU)


async def _download_file(
    remote: Remote, path: str, target: Path, view: pb.FileView, flags: int
) -> None:
    parts = remote.read(path)
    first = await anext(parts, b"")  # before a file is made here: it may not be readable
    flags |= os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(target, flags, 0o644), "wb") as out:
        out.write(first)
        async for data in parts:
            out.write(data)
        if view.mode and stat.S_ISREG(os.fstat(out.fileno()).st_mode):
            os.fchmod(out.fileno(), view.mode & PERMISSIONS)


async def _upload(cluster: Cluster, source: str, place: Place) -> int:
    """Through a shell in the container, as the task's own user: it must run."""
    path = Path(source)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise CliError(f"{source}: {error.strerror}", EXIT_USAGE) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            if source.endswith("/"):
                raise CliError(f"{source} is a file, not a folder", EXIT_USAGE)
            permissions = f"{stat.S_IMODE(mode) & PERMISSIONS:o}"
            arguments = [place.path, path.name, permissions]
            return await _feed(cluster, place, RECEIVE_FILE, arguments, descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISDIR(mode):
        raise CliError(f"{source} is neither a file nor a folder", EXIT_USAGE)
    arguments = [place.path, real_path(path).name, "contents" if contents_only(source) else ""]
    with _tar_of(path) as packed:
        return await _feed(cluster, place, RECEIVE_FOLDER, arguments, packed)


async def _feed(
    cluster: Cluster, place: Place, script: str, arguments: list[str], stdin: int
) -> int:
    view = await find_task(cluster, place.task, completed=False)
    argv = ["sh", "-c", script, "cp", *arguments]
    status = await run_inside(cluster, view.task_info.task_id, argv, stdin=stdin)
    return EXIT_FAILED if status else 0


def _tar_into(out: IO[bytes]) -> tarfile.TarFile:
    """In the format that every tar knows, whatever bytes names have."""
    return tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT)


@contextlib.contextmanager
def _tar_of(folder: Path) -> Iterator[int]:
    """A pipe that a tar of what is in the folder comes out of. Raises CliError at the end."""
    read, write = os.pipe()
    problems: list[Exception] = []

    def pack() -> None:
        try:
            with os.fdopen(write, "wb") as out, _tar_into(out) as tar:
                tar.add(folder, ".", filter=_plain_files)
        except BrokenPipeError:
            pass  # it ended in the container, and says why
        except (OSError, tarfile.TarError) as error:
            problems.append(error)

    packing = threading.Thread(target=pack, daemon=True)
    packing.start()
    try:
        yield read
    finally:
        os.close(read)
        packing.join()
    if problems:
        raise CliError(f"{folder} was copied in part: {problems[0]}")


def _plain_files(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if member.isreg() or member.isdir() or member.issym() or member.islnk():
        member.mode &= PERMISSIONS
        return member
    note(f"left out: {printable(member.name)} is no file, folder or link")
    return None
