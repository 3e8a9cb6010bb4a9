"""Repositories of packages: what is signed is read, and nothing else."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pymesos_cli.errors import CliError
from pymesos_cli.main import main
from pymesos_cli.packages import repositories
from pymesos_cli.packages.building import build, new_key, read_folder, read_key
from pymesos_cli.packages.fetching import check_location
from pymesos_cli.packages.index import (
    SIGNED_AS,
    Entry,
    Index,
    key_text,
    parse_key,
    read_index,
    written_index,
)
from pymesos_cli.packages.installing import (
    _latest,
    check_origin,
    source_of,
)
from pymesos_cli.packages.package import Origin
from pymesos_cli.packages.parts import PackageError, Version
from pymesos_cli.packages.repositories import Repositories
from pymesos_cli.packages.showing import search
from pymesos_testing.packaged import document, installed

NOW_S = 1_700_000_000.0


KEY = Ed25519PrivateKey.generate()


ENTRY = Entry("web", Version(1, 0, 0), "A server", "0" * 64)


class TestIndexes:
    def test_what_is_signed_is_read(self) -> None:
        index = Index(5, [ENTRY])
        assert read_index(written_index(index, KEY), KEY.public_key()) == index
        assert parse_key(key_text(KEY.public_key())) == KEY.public_key()

    def test_nothing_is_read_that_another_has_signed_or_changed(self) -> None:
        data = written_index(Index(5, [ENTRY]), KEY)
        other = Ed25519PrivateKey.generate()
        line, _, body = data.partition(b"\n")
        for wrong, key in (
            (data, other),
            (data.replace(b"A server", b"A serves"), KEY),
            (body, KEY),
            (b"", KEY),
            (line + b"\n", KEY),
            (b"x" * 90 + b"\n" + body, KEY),
        ):
            with pytest.raises(PackageError, match="is not signed by the key"):
                read_index(wrong, key.public_key())

    def test_a_signature_of_something_else_is_none_of_an_index(self) -> None:
        body = b'{"serial": 1, "packages": []}'
        data = base64.b64encode(KEY.sign(body)) + b"\n" + body
        with pytest.raises(PackageError, match="is not signed"):
            read_index(data, KEY.public_key())

    @pytest.mark.parametrize(
        "entry",
        [
            {"name": "../../etc/passwd"},
            {"version": "1"},
            {"sha256": "0" * 63},
            {"summary": "\x1b[2J"},
        ],
    )
    def test_an_entry_names_nothing_but_a_package(self, entry: dict[str, str]) -> None:
        good = {"name": "web", "version": "1.0.0", "summary": "s", "sha256": "0" * 64}
        body = json.dumps({"serial": 1, "packages": [good | entry]}).encode()
        data = base64.b64encode(KEY.sign(SIGNED_AS + body)) + b"\n" + body
        with pytest.raises(PackageError):
            read_index(data, KEY.public_key())

    def test_a_text_that_is_no_key(self) -> None:
        for text in ("", "ed25519:", "ed25519:AAAA", key_text(KEY.public_key())[8:], "ssh:x"):
            with pytest.raises(PackageError, match="is no public key"):
                parse_key(text)


def put(folder: Path, **changes: Any) -> Path:
    """Write a package's folder."""
    made = document(**changes)
    folder.mkdir(parents=True)
    about = {key: made[key] for key in ("name", "version", "summary")}
    (folder / "package.yaml").write_text(json.dumps(about))
    (folder / "options.schema.json").write_text(json.dumps(made["options"]))
    (folder / "job.yaml").write_text(json.dumps(made["job"]))
    (folder / "README.md").write_text(made["readme"])
    return folder


class TestRepositories:
    @pytest.fixture
    def key(self, tmp_path: Path) -> Ed25519PrivateKey:
        return new_key(tmp_path / "key")

    @pytest.fixture
    def own(self, tmp_path: Path, key: Ed25519PrivateKey) -> Repositories:
        build([put(tmp_path / "1")], tmp_path / "out", key, NOW_S)
        (tmp_path / "config").mkdir()
        own = Repositories(tmp_path / "config", 1.0)
        own.add("ours", str(tmp_path / "out"), key_text(key.public_key()))
        return own

    def test_a_shell_is_offered_the_options_of_the_one_that_was_typed(
        self, own: Repositories, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repositories, "own_repositories", lambda timeout_s: own)

        def offered(*typed: str) -> list[str]:
            completing = ShellComplete(main, {}, "pymesos-cli", "_C")
            return [item.value for item in completing.get_completions(["package", *typed], "po")]

        assert offered("install", "ours/web", "--set") == ["port="]
        assert offered("update", "web", "--set", "a=b", "--set") == ["port="]
        assert offered("install", "wob", "--set") == []

    def test_the_latest_version_is_found(
        self, own: Repositories, tmp_path: Path, key: Ed25519PrivateKey
    ) -> None:
        folders = [put(tmp_path / v, version=v) for v in ("1.9.0", "1.10.0")]
        build(folders, tmp_path / "out", key, NOW_S)
        assert own.load(own.find("web")).version == Version(1, 10, 0)
        assert own.load(own.find("ours/web", Version(1, 0, 0))).version == Version(1, 0, 0)
        with pytest.raises(PackageError, match=r"no version 3.0.0; there are 1.0.0, 1.9.0, 1.10.0"):
            own.find("web", Version(3, 0, 0))
        with pytest.raises(
            PackageError, match=r"no repository has a package 'wob'; did you mean web\?"
        ):
            own.find("wob")
        with pytest.raises(PackageError, match=r"a package 'web@1\.0\.0'; which version is meant"):
            own.find("web@1.0.0")
        with pytest.raises(PackageError, match="there is no repository 'theirs'"):
            own.find("theirs/web")

    def test_a_search_says_what_cannot_be_trusted(
        self, own: Repositories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        search(own, ("web",), as_json=False)
        assert "1.0.0" in capsys.readouterr().out
        (tmp_path / "out/index.signed").write_bytes(b"")
        with pytest.raises(PackageError, match=r"^ours: "):
            search(own, ("web",), as_json=False)
        assert "no package is like that" not in capsys.readouterr().out
        (tmp_path / "none").mkdir()
        with pytest.raises(PackageError, match="there is no repository yet"):
            search(Repositories(tmp_path / "none", 1.0), (), as_json=False)

    def test_other_bytes_than_were_signed_are_not_read(
        self, own: Repositories, tmp_path: Path
    ) -> None:
        path = tmp_path / "out/web-1.0.0.json"
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(PackageError, match="its sha256 is another"):
            own.load(own.find("web"))

    def test_a_link_leads_nowhere(self, own: Repositories, tmp_path: Path) -> None:
        path = tmp_path / "out/web-1.0.0.json"
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(PackageError, match="cannot read"):
            own.load(own.find("web"))

    def test_an_older_index_is_refused(
        self, own: Repositories, tmp_path: Path, key: Ed25519PrivateKey
    ) -> None:
        before = (tmp_path / "out/index.signed").read_bytes()
        build([put(tmp_path / "2", version="2.0.0")], tmp_path / "out", key, NOW_S)
        own.find("web")
        (tmp_path / "out/index.signed").write_bytes(before)
        with pytest.raises(PackageError, match="an older one than was seen before"):
            own.find("web")

    def test_a_name_that_two_have_is_nobodys(
        self, own: Repositories, tmp_path: Path, key: Ed25519PrivateKey
    ) -> None:
        build([put(tmp_path / "9", version="9.0.0")], tmp_path / "more", key, NOW_S)
        own.add("more", str(tmp_path / "more"), key_text(key.public_key()))
        with pytest.raises(PackageError, match="more, ours have a package web: say which"):
            own.find("web")
        assert own.find("ours/web").entry.version == Version(1, 0, 0)
        own.remove("more")
        assert own.find("web").repository.name == "ours"

    def test_what_was_published_is_not_changed(
        self, own: Repositories, tmp_path: Path, key: Ed25519PrivateKey
    ) -> None:
        changed = put(tmp_path / "changed", readme="Other words.")
        with pytest.raises(PackageError, match="other contents: give it another version"):
            build([changed], tmp_path / "out", key, NOW_S)

    def test_a_file_of_a_template_is_in_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s")
        for name in ("../secret", "/etc/hostname", "link"):
            folder = tmp_path / name.replace("/", "_")
            task = {"name": "t", "command": {"@file": name}, "env": {"PORT": "@{port}"}}
            put(folder, job={"tasks": [task]})
            (folder / "link").symlink_to(tmp_path / "secret")
            with pytest.raises(PackageError, match="is not in the folder of the package"):
                read_folder(folder)

    def test_a_key_that_others_can_read_signs_nothing(self, tmp_path: Path) -> None:
        new_key(tmp_path / "key")
        (tmp_path / "key").chmod(0o644)
        with pytest.raises(PackageError, match="can be read by others"):
            read_key(tmp_path / "key")

    def test_keys_that_others_can_write_are_not_trusted(self, own: Repositories) -> None:
        (own.folder / "packages.json").chmod(0o666)
        with pytest.raises(PackageError, match="can be written by others than you"):
            own.all()

    @pytest.mark.parametrize(
        "text",
        ["http://h/x", "file:///x", "https://", "https://u:p@h/", "https://h/?a", "https://h/a\nb"],
    )
    def test_what_is_no_place_of_a_repository(self, text: str) -> None:
        with pytest.raises(PackageError):
            check_location(text)


class TestOrigins:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Repositories:
        (tmp_path / "config").mkdir()
        own = Repositories(tmp_path / "config", 1.0)
        for name, version in (("ours", "1.0.0"), ("theirs", "9.0.0")):
            key = new_key(tmp_path / f"key-{name}")
            build([put(tmp_path / name, version=version)], tmp_path / f"at-{name}", key, NOW_S)
            own.add(name, str(tmp_path / f"at-{name}"), key_text(key.public_key()))
        return own

    def test_an_update_comes_from_where_the_package_came_from(self, own: Repositories) -> None:
        ours, theirs = (one.origin for one in own.all())
        assert source_of(own, installed("web", "1.0.0", ours)) == "ours"
        assert source_of(own, installed("web", "1.0.0", Origin("ours", theirs.key))) == "theirs"
        own.remove("ours")
        with pytest.raises(
            CliError, match=r"no repository of yours has that key.*Yours are: theirs"
        ):
            source_of(own, installed("web", "1.0.0", ours))

    def test_a_job_that_does_not_say_is_not_guessed_at(self, own: Repositories) -> None:
        with pytest.raises(CliError, match=r"with --from. Yours are: ours, theirs"):
            source_of(own, installed("web", "1.0.0"))

    def test_the_latest_version_is_that_of_the_same_repository(self, own: Repositories) -> None:
        assert _latest(own) == {
            (one.origin.key, "web"): version
            for one, version in zip(own.all(), ("1.0.0", "9.0.0"), strict=True)
        }

    def test_another_origin_is_named_or_refused(
        self, own: Repositories, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ours, theirs = (one.origin for one in own.all())
        job = installed("web", "1.0.0", ours)
        check_origin(job, Origin("called-otherwise-here", ours.key), named=False)
        assert capsys.readouterr().err == ""
        for before in (job, installed("web", "1.0.0")):
            with pytest.raises(CliError, match="If you mean it, say so: theirs/web"):
                check_origin(before, theirs, named=False)
        check_origin(job, theirs, named=True)
        assert "came from ours, and comes from theirs now" in capsys.readouterr().err
