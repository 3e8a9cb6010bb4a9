"""Unusual files: their readers take them as they are meant, or refuse them in a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pymesos_agent.main import main as agent
from pymesos_agent.runtimes.oci.image_folder import Record
from pymesos_agent.runtimes.oci.layers import LayerError, config_layers
from pymesos_agent.runtimes.oci.skopeo import ImageError
from pymesos_binpack.main import main as binpack
from pymesos_cli.main import main as cli
from pymesos_cli.packages.building import read_folder
from pymesos_cli.packages.parts import PackageError
from pymesos_cli.packages.repositories import own_repositories
from pymesos_core.directories import real_path
from pymesos_core.documents import DocumentError
from pymesos_core.outgoing.receivers import ReceiversError, read_receivers, read_receivers_file
from pymesos_core.settings import kinds
from pymesos_core.settings.sources import read_file
from pymesos_master.mesos.authenticating import read_credentials
from pymesos_master.settings import read_policy_at
from pymesos_testing.said import said


def test_files_that_are_too_large_are_called_so(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("#" + "é" * 300_000)  # what is read of it ends within a letter
    assert "bytes" in said(ReceiversError, read_receivers_file, file)
    assert "bytes" in said(ValueError, read_policy_at, str(file))


@pytest.mark.parametrize(
    "credential",
    [
        {"principal": "a", "secret": None},
        {"principal": "a", "secret": 5},
        {"principal": "a", "secret": ["x"]},
        {"principal": None, "secret": "x"},
        {"principal": "a", "secret": "\ud800"},
        {"principal": "a", "secret": "x\0"},
    ],
)
def test_secrets_are_text(credential: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"credentials": [credential]}))
    said(ValueError, read_credentials, str(file))


def test_credentials_that_an_editor_began_with_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.touch(mode=0o600)
    for text in ("a b", '{"credentials": [{"principal": "a", "secret": "b"}]}'):
        file.write_text(text, "utf-8-sig")
        assert read_credentials(str(file)) == {"a": "b"}


def test_settings_in_a_file_that_no_flag_could_say(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text(f'path = "a\\u0000b"\nlist = ["\\u0000"]\nport = 0x{"f" * 5000}\n')
    path, texts, port = (entry.value for entry in read_file(file))
    assert "NUL" in said(ValueError, kinds.Text().from_file, path)
    assert "NUL" in said(ValueError, kinds.Texts().from_file, texts)
    number = kinds.Number(0, 9, whole=True)
    assert said(ValueError, number.read, port).startswith("a number of hundreds of digits is given")


def test_a_file_of_a_package_that_no_file_can_be(tmp_path: Path) -> None:
    for name in ("options.schema.json", "README.md"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "package.yaml").write_text("name: p")
    (tmp_path / "loop").symlink_to("loop")
    for name in (r"a\0b", "loop"):
        (tmp_path / "job.yaml").write_text(f'tasks: [{{"@file": "{name}"}}]')
        said(PackageError, read_folder, tmp_path)


@pytest.mark.parametrize(
    "arguments", [["policy", "check", "-"], ["run", "-"], ["cluster", "join", "f", "-"]]
)
def test_a_standard_input_that_is_closed(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "pymesos_cli", *arguments]
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *command], check=False, capture_output=True, timeout=60
    )
    assert b"fault" not in done.stderr and b"Traceback" not in done.stderr


def test_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert real_path(loop / "x") == loop / "x"
    for name, main in (("agent", agent), ("binpack", binpack)):
        flags = ["--work-dir", str(loop)] if name == "agent" else [str(loop)]
        done = CliRunner().invoke(main, ["--master", "127.0.0.1:9", *flags])
        assert "symbolic links" in done.output or "cannot use the work" in done.output, done.output


def test_a_key_file_whose_name_is_too_long() -> None:
    done = CliRunner().invoke(cli, ["cluster", "secrets-key", "x" * 300])
    assert done.exit_code == 1 and "File name too long" in done.output


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    monkeypatch.setattr("os.getuid", lambda: 54321)  # of nobody in /etc/passwd
    done = CliRunner().invoke(agent, ["--master", "127.0.0.1:9", "--print-config"])
    assert done.exit_code == 2 and "--work-dir: this user has no home folder" in done.output


def test_a_directory_that_was_removed_while_one_was_in_it(tmp_path: Path) -> None:
    begin = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    for program in (["pymesos_cli", "--tls", "f", "agents"], ["pymesos_agent", "--work-dir", "w"]):
        command = [sys.executable, "-m", *program]
        done = subprocess.run(
            ["sh", "-c", begin, "sh", *command], check=False, capture_output=True, timeout=60,
            text=True, cwd=tmp_path, env=os.environ | {"PYMESOS_MASTER": "127.0.0.1:9"},
        )  # fmt: skip
        assert "fault" not in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert "directory" in done.stderr


@pytest.mark.parametrize("odd", ["sh", [1], {"a": "b"}, 5, True])
def test_images_whose_configuration_is_odd(odd: Any, tmp_path: Path) -> None:
    for key in ("Env", "Entrypoint", "Cmd"):
        record = Record("r", (), (), {"config": {key: odd}}, 0, "")
        said(ImageError, record.image, tmp_path)


@pytest.mark.parametrize("digest", [f"sha256:{'../' * 21}x", f"sha256:{'G' * 64}", "sha256:", 5])
def test_digests_of_layers_that_are_none(digest: Any) -> None:
    said(LayerError, config_layers, {"rootfs": {"diff_ids": [digest]}})


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_pipes_and_folders_where_files_are_read_again_and_again(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe without a writer would be waited for."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "pymesos").mkdir()
    for name in ("receivers.yaml", "key", "pymesos/packages.json"):
        make(tmp_path / name)
    said(ReceiversError, read_receivers_file, tmp_path / "receivers.yaml")
    hook = f"a: {{kind: webhook, url_file: '{tmp_path / 'key'}'}}"
    said(DocumentError, read_receivers, hook)
    assert "packages.json" in said(PackageError, lambda s: own_repositories(s).all(), 1.0)
