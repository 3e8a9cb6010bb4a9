"""Files that a process is given: whatever they are, it neither waits for ever nor falls over."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.settings import NetworkSettings
from pymesos_agent.runtimes.oci.credentials import credentials_id
from pymesos_agent.runtimes.oci.networks import NetworkError, Networks
from pymesos_cli.access.policy import check_policy
from pymesos_cli.access.secrets import _value as secret_value
from pymesos_cli.backup.restoring import read_file as read_backup_file
from pymesos_cli.errors import CliError
from pymesos_cli.migrating.asking import read_secret
from pymesos_cli.variables.calls import read_value
from pymesos_core import private
from pymesos_core.addresses import AddressError, parse_zk
from pymesos_core.private import open_regular, read_file, read_private
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.joining import JoinError, read_invitation_file
from pymesos_core.security.public_certificate import PublicCertificate
from pymesos_lb.certificates import _read_file as read_certificate_file
from pymesos_master.mesos.authenticating import read_credentials
from pymesos_master.settings import read_policy_at


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "PIPE_WAIT_S", 0.2)


@pytest.mark.parametrize(
    ("error", "read"),
    [
        (ValueError, lambda pipe: read_policy_at(str(pipe))),
        (ValueError, lambda pipe: read_credentials(str(pipe))),
        (AddressError, lambda pipe: parse_zk(f"zk://h:2181/p?auth={pipe}")),
        (JoinError, read_invitation_file),
    ],
)
def test_what_is_read_once_waits_for_no_pipe(
    error: type[Exception], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    os.mkfifo(pipe := tmp_path / "pipe", 0o600)
    with pytest.raises(error, match="nobody has written and closed it within"):
        read(pipe)
    with pytest.raises(error, match="Is a directory"):
        read(tmp_path)


def test_what_is_written_into_a_pipe_is_read(tmp_path: Path) -> None:
    """As of `--policy <(sops --decrypt policy.yaml)`."""
    os.mkfifo(pipe := tmp_path / "pipe", 0o600)
    writer = threading.Thread(target=pipe.write_bytes, args=[b"x" * 100_000])
    writer.start()
    assert read_private(pipe, 1 << 20, pipes=True) == b"x" * 100_000
    writer.join()
    assert read_file(Path("/dev/null"), 10, pipes=True) == b""
    assert read_file(Path("/dev/zero"), 10, pipes=True) == b"\0" * 10
    (tmp_path / "file").write_bytes(b"abc")
    assert read_file(tmp_path / "file", 2) == b"ab"


def test_a_writer_that_does_not_end_is_waited_for_no_longer(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe", 0o600)
    held = os.open(pipe, os.O_RDWR)
    os.write(held, b"some of it")
    with pytest.raises(TimeoutError):
        read_file(pipe, 100, pipes=True)
    os.close(held)


def test_what_is_read_again_and_again_is_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "fullchain.pem", 0o600)
    for read in (open_regular, lambda p: read_private(p, 9), read_certificate_file):
        with pytest.raises(OSError, match="no regular file"):
            read(pipe)
    os.mkfifo(tmp_path / "cert.pem", 0o600)
    for folder in (Credentials, lambda p: PublicCertificate(p / "cert.pem", pipe)):
        with pytest.raises(CredentialsError, match="no regular file"):
            folder(tmp_path)


def test_pipes_in_a_folder_for_zookeeper(tmp_path: Path) -> None:
    """A pipe would be opened as TLS begins, and waited for."""
    (tmp_path / "roots.pem").touch()
    os.mkfifo(tmp_path / "cert.pem")
    (tmp_path / "key.pem").touch(0o600)
    with pytest.raises(AddressError, match="holds one of"):
        parse_zk(f"zk://h:2181/p?tls={tmp_path}")


def test_pipes_where_skopeo_and_plugins_look(tmp_path: Path) -> None:
    os.mkfifo(auth := tmp_path / "auth.json")
    assert credentials_id("a/b", auth, b"k" * 32) == ""
    os.mkfifo(tmp_path / "own.conflist")
    networks = Networks(tmp_path, NetworkSettings(config_dir=tmp_path))
    with pytest.raises(NetworkError, match="no regular file"):
        list(networks._configured())


def test_ctrl_c_ends_a_wait_for_a_pipe_at_once(tmp_path: Path) -> None:
    """asyncio would note it, and go on with the wait."""
    os.mkfifo(pipe := tmp_path / "pipe")

    def ends(read: Callable[[], object]) -> None:
        async def main() -> None:
            read()

        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())

    ends(lambda: secret_value(pipe))
    ends(lambda: check_policy(str(pipe)))
    ends(lambda: read_value(pipe))
    ends(lambda: read_backup_file(str(pipe)))
    ends(lambda: read_secret(pipe))
    with pytest.raises(CliError, match="Is a directory"):
        read_value(tmp_path)
