"""Packages: templates take values and nothing else, options are checked, what is signed is read."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pymesos_binpack.specs import PackageSpec
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
    Installed,
    _latest,
    check_change,
    check_origin,
    source_of,
)
from pymesos_cli.packages.options import Options, parse_options
from pymesos_cli.packages.package import Installing, Origin, Package, package_of, read_package
from pymesos_cli.packages.parts import MAX_PACKAGE_BYTES, PackageError, Version, parse_version
from pymesos_cli.packages.repositories import Repositories
from pymesos_cli.packages.showing import search
from pymesos_cli.packages.template import escaped, options_of, rendered
from pymesos_proto.v1 import jobs_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted((ROOT / "deploy/packages").glob("*/"))
NOW_S = 1_700_000_000.0


def schema(**options: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"description": "What it is.", **one} for name, one in options.items()
        },
    }


PORT = {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80}
TEXT = {"type": "string", "default": "x"}


def document(**changes: Any) -> dict[str, Any]:
    task = {"name": "t", "kind": "service", "command": "exec x", "env": {"PORT": "@{port}"}}
    return {
        "format": 1,
        "name": "web",
        "version": "1.0.0",
        "summary": "A server",
        "options": schema(port=PORT),
        "job": {"tasks": [task]},
        "readme": "It serves.",
        **changes,
    }


class TestTemplates:
    def test_a_value_alone_keeps_its_type_and_is_text_in_text_and_in_environments(self) -> None:
        node = {"a": "@{n}", "b": "p-@{n}-@{flag}", "env": {"A": "@{n}", "B": "@{flag}"}}
        assert rendered(node, {"n": 3, "flag": True}) == {
            "a": 3,
            "b": "p-3-true",
            "env": {"A": "3", "B": "true"},
        }

    @pytest.mark.parametrize("value", ["x\n- y: 1", "{a: 1}", "@{other}", '"', "a: b", "[]"])
    def test_a_value_becomes_no_structure(self, value: str) -> None:
        assert rendered({"a": ["@{t}", "<@{t}>"]}, {"t": value, "other": "secret"}) == {
            "a": [value, f"<{value}>"]
        }

    @pytest.mark.parametrize(
        "node",
        [
            {"command": "run @{t}"},
            {"health_check": {"command": "@{t}"}},
            {"command": {"@value": "@{t}"}},
            {"command": {"@when": "t", "@value": "x@{t}"}},
        ],
    )
    def test_no_value_is_part_of_a_command(self, node: Any) -> None:
        with pytest.raises(PackageError, match="stands in a command, which a shell would read"):
            options_of({"tasks": [node]})

    def test_no_value_is_part_of_the_template_of_a_config_file(self) -> None:
        files = [{"path": "a", "template": "x = @{t}"}]
        with pytest.raises(PackageError, match="stands in a template, which Jinja would read"):
            options_of({"tasks": [{"config": files}]})

    def test_what_is_there_only_when_an_option_says_something(self) -> None:
        node = {
            "ports": [{"name": "p", "host": {"@when": "port", "@value": "@{port}"}}],
            "volumes": [{"@when": "size", "size": "@{size}"}],
            "expose": {"@when": "host", "http": "@{host}"},
        }
        nothing: dict[str, Any] = {"port": 0, "size": 0, "host": ""}
        assert rendered(node, nothing) == {"ports": [{"name": "p"}], "volumes": []}
        assert rendered(node, {"port": 80, "size": 1, "host": "h"}) == {
            "ports": [{"name": "p", "host": 80}],
            "volumes": [{"size": 1}],
            "expose": {"http": "h"},
        }
        assert options_of(node) == {"port", "size", "host"}

    @pytest.mark.parametrize("text", ["@{a}", "@@{a}", "a@@@{b}", "${a} $(b) @ {"])
    def test_a_text_that_is_escaped_comes_out_as_it_was(self, text: str) -> None:
        assert options_of(escaped(text)) == set()
        assert rendered(escaped(text), {}) == text

    @pytest.mark.parametrize("text", ["@{A}", "@{", "@{a b}", "x@{a}@{"])
    def test_what_is_no_name_of_an_option(self, text: str) -> None:
        with pytest.raises(PackageError, match="begins the name of an option"):
            options_of({"k": text})

    def test_a_key_is_no_place_for_an_option(self) -> None:
        with pytest.raises(PackageError, match="no place for an option"):
            options_of({"env": {"@{a}": "x"}})


class TestOptions:
    OPTIONS = parse_options(
        schema(
            port=PORT,
            mode={"type": "string", "enum": ["fast", "safe"], "default": "safe"},
            ratio={"type": "number", "default": 0.5},
            on={"type": "boolean", "default": False},
            host={"type": "string", "pattern": "^[a-z]*$", "expected": "letters", "default": ""},
        )
    )

    def test_values_have_the_types_of_their_options(self) -> None:
        given = ("port=8080", "ratio=1", "on=true", "host=true", "mode=fast")
        assert self.OPTIONS.read(given) == {
            "port": 8080, "ratio": 1, "on": True, "host": "true", "mode": "fast",
        }  # fmt: skip
        assert self.OPTIONS.filled({"port": 8080})["mode"] == "safe"

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("port=0", "the option port: 0 is out of range; at least 1"),
            ("port=x", "the option port: 'x' is not a whole number"),
            ("port=", "the option port: '' is not a whole number"),
            ("port=true", "the option port: "),
            ("port=99999999999999999999999999999999999", "the option port: "),
            ("mode=slow", "the option mode: 'slow' is not one of fast, safe"),
            ("on=1", "the option on: "),
            ("host=A1", "the option host: 'A1' cannot be used; expected: letters"),
            ("prot=1", "there is no option 'prot'; did you mean port?"),
            ("port", "is not NAME=VALUE"),
        ],
    )
    def test_what_is_wrong_is_said_with_the_option(self, setting: str, said: str) -> None:
        with pytest.raises(PackageError) as caught:
            self.OPTIONS.filled(self.OPTIONS.read([setting]))
        assert said in str(caught.value)

    def test_one_that_is_required_is_asked_for(self) -> None:
        asked = schema(key={"type": "string", "examples": ["x"]}) | {"required": ["key"]}
        options = parse_options(asked)
        with pytest.raises(PackageError, match=r"the option key is missing: What it is. Give it"):
            options.filled({})
        assert options.examples() == {"key": "x"}

    def test_a_default_is_as_the_option_wants_it(self) -> None:
        with pytest.raises(PackageError, match="of its own default, example or enum: the option"):
            parse_options(schema(port={**PORT, "default": 0}))

    @pytest.mark.parametrize(
        ("option", "said"),
        [
            (
                {"type": "integer", "minimum": 5, "maximum": 1},
                "options.o: no whole number is at least 5 (minimum) and at most 1 (maximum)",
            ),
            (
                {"type": "integer", "minimum": 1.2, "maximum": 1.8},
                "no whole number is at least 1.2 (minimum) and at most 1.8",
            ),
            ({"type": "number", "minimum": 1.8, "maximum": 1.2}, "no number is at least 1.8"),
            (
                {"type": "string", "minLength": 3, "maxLength": 2},
                "options.o: no text is at least 3 (minLength) and at most 2 (maxLength): change",
            ),
            (
                {"type": "string", "minimum": 3},
                "options.o.minimum is for the type integer or number, and its type is string",
            ),
            ({"type": "boolean", "maximum": 1}, "options.o.maximum is for the type integer or"),
            ({"type": "integer", "maxLength": 9}, "options.o.maxLength is for the type string"),
            (
                {"type": "integer", "pattern": "1.*", "expected": "ones"},
                "options.o.pattern is for the type string, and its type is integer: leave it out",
            ),
            ({"type": "integer", "enum": [1, "two"]}, "of its own default, example or enum"),
            (
                {"type": "integer", "enum": [1, 9], "maximum": 5},
                "the option o: 9 is out of range; at most 5",
            ),
        ],
    )
    def test_limits_that_contradict_each_other_are_refused(
        self, option: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(PackageError) as caught:
            parse_options(schema(o=option))
        assert said in str(caught.value)

    def test_limits_may_leave_one_value(self) -> None:
        options = parse_options(
            schema(
                whole={"type": "integer", "minimum": 0.5, "maximum": 1.5, "default": 1},
                one={"type": "number", "minimum": 1.5, "maximum": 1.5, "default": 1.5},
                text={"type": "string", "minLength": 2, "maxLength": 2, "default": "ab"},
            )
        )
        assert options.defaults() == {"whole": 1, "one": 1.5, "text": "ab"}


class TestPackages:
    def job(self, **options: Any) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(
            package_of(document()).job(Installing("shop", "dev", options)).document
        )
        return made

    def test_a_job_says_what_it_was_made_from(self) -> None:
        made = self.job(port=81)
        assert (made["name"], made["role"]) == ("shop", "dev")
        assert made["package"] == {"name": "web", "version": "1.0.0", "options": {"port": 81}}
        assert made["tasks"][0]["env"] == {"PORT": "81"}
        assert self.job()["package"]["options"] == {}, "defaults are of the package, and may change"

    def test_one_with_a_volume_is_installed_for_a_role(self) -> None:
        volume = {"name": "v", "path": "v", "size": 1}
        task = {"name": "t", "command": "x", "env": {"PORT": "@{port}"}, "volumes": [volume]}
        package = package_of(document(job={"tasks": [task]}))
        with pytest.raises(PackageError, match=r"web 1\.0\.0 keeps data on a volume.* --role data"):
            package.job(Installing("shop", "*", {}))
        assert package.job(Installing("shop", "dev", {})).tasks[0].volumes

    def test_a_job_says_which_repository_it_came_from(self) -> None:
        key = key_text(Ed25519PrivateKey.generate().public_key())
        job = package_of(document()).job(Installing("shop", "dev", {}, Origin("ours", key)))
        assert json.loads(job.document)["package"]["repository"] == {"name": "ours", "key": key}
        assert job.package == PackageSpec("web", "1.0.0", "ours", key)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"name": "../web"}, "no name of a package"),
            ({"version": "1.0"}, "no version of a package"),
            ({"version": "01.0.0"}, "no version of a package"),
            ({"format": 2}, "it wants a later pymesos-cli"),
            ({"extra": 1}, "unknown key 'extra'"),
            ({"readme": "\x1b[2J"}, "a character that cannot be shown"),
            ({"notes": {"1.0.0": "a\rb"}}, "a character that cannot be shown"),
            ({"summary": "\x1b[2J"}, "control character"),
            ({"options": schema()}, "asks for the option 'port', which is not there"),
            ({"options": schema(port=PORT, other=TEXT)}, "is asked for nowhere"),
            ({"options": {**schema(port=PORT), "$ref": "file:///x"}}, "unknown key '$ref'"),
            ({"options": schema(port={**PORT, "format": "uri"})}, "unknown key 'format'"),
            ({"job": {"name": "x", "tasks": []}}, "job.name: whoever installs"),
            ({"job": {"package": {}}}, "job.package: whoever installs"),
            ({"job": {"@value": {"name": "x", "role": "y", "tasks": []}}}, "the whole job"),
            ({"job": {"@when": "port", "tasks": []}}, "job.@when: it stands for the whole job"),
        ],
    )
    def test_what_is_no_package_is_refused(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(PackageError) as caught:
            package_of(document(**changes))
        assert said in str(caught.value)

    @pytest.mark.parametrize(
        "data",
        [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b"x" * MAX_PACKAGE_BYTES * 2],
    )
    def test_bytes_that_hold_none_are_refused(self, data: bytes) -> None:
        with pytest.raises(PackageError):
            read_package(data)

    def test_a_job_that_cannot_be_is_refused_before_anything_is_asked(self) -> None:
        package = package_of(document(job={"tasks": [{"name": "t", "instances": "@{port}"}]}))
        with pytest.raises(PackageError, match=r"the job of web 1.0.0 cannot be: .*command"):
            package.job(Installing("web", "*", {}))

    def test_notes_are_of_the_versions_between(self) -> None:
        notes = {"1.1.0": "a", "1.2.0": "b", "2.0.0": "c", "3.0.0": "d"}
        package = package_of(document(version="2.0.0", notes=notes))
        assert [text for _, text in package.notes_since(Version(1, 1, 0))] == ["b", "c"]

    @pytest.mark.parametrize("folder", OURS, ids=lambda path: path.name)
    def test_ours_can_be_installed_with_every_option(self, folder: Path) -> None:
        package, data = read_folder(folder)
        assert read_package(data) == package and package.name == folder.name
        examples = package.options.examples()
        required = {name: examples[name] for name in package.options.schema.get("required", ())}
        package.job(Installing(package.name, "data", required))
        package.job(Installing(package.name, "data", examples))


def test_prometheus_has_the_rules_that_are_shown() -> None:
    text = (ROOT / "deploy/prometheus/rules.yml").read_text()
    assert (ROOT / "deploy/packages/prometheus/rules.yml").read_text() == text


def test_the_example_of_the_page_is_a_package(tmp_path: Path) -> None:
    text = (ROOT / "docs/packages.md").read_text("utf-8")
    blocks = re.findall(r"```(?:yaml|json)\n(.*?)```", text, re.S)
    for name, block in zip(
        ("package.yaml", "options.schema.json", "job.yaml"), blocks, strict=True
    ):
        (tmp_path / name).write_text(block)
    (tmp_path / "start.sh").write_text("exec hello")
    (tmp_path / "README.md").write_text("It says hello.")
    package, _ = read_folder(tmp_path)
    job = json.loads(package.job(Installing("h", "*", {"words": "good day", "port": 80})).document)
    (task,) = job["tasks"]
    assert task["env"] == {"WORDS": "good day"} and task["resources"] == {"mem": 32}
    assert task["command"] == "exec hello" and task["ports"] == [{"name": "http", "host": 80}]


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


def installed(name: str, version: str, origin: Origin | None = None) -> Installed:
    view = pb.JobView(job_id="web-1", name="web", state="running", role="*")
    if name:
        view.package.CopyFrom(pb.PackageView(name=name, version=version))
    if origin:
        view.package.repository, view.package.repository_key = origin.name, origin.key
    return Installed("h:1", view)


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


class TestChanges:
    PACKAGE: Package = package_of(document(version="1.5.0"))

    @pytest.mark.parametrize("version", ["1.4.9", "1.5.0"])
    def test_what_is_not_older_may_follow(self, version: str) -> None:
        check_change(installed("web", version), self.PACKAGE, downgrade=False)

    def test_a_downgrade_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(CliError, match=r"web 1.5.0 is older than 1.10.0"):
            check_change(installed("web", "1.10.0"), self.PACKAGE, downgrade=False)
        check_change(installed("web", "1.10.0"), self.PACKAGE, downgrade=True)
        assert "this is a downgrade, from 1.10.0 to 1.5.0" in capsys.readouterr().err

    @pytest.mark.parametrize(("name", "said"), [("", "from no package"), ("db", "from db")])
    def test_a_job_of_something_else_is_left_alone(self, name: str, said: str) -> None:
        with pytest.raises(CliError, match=said):
            check_change(installed(name, "1.0.0"), self.PACKAGE, downgrade=True)


def test_versions_are_numbers() -> None:
    assert parse_version("1.10.0") > parse_version("1.9.0")
    for text in ("", "1", "1.0.0-rc1", "1.0.0\n", "-1.0.0", "1.0.0.0", "٣.0.0", "1" * 10 + ".0.0"):
        with pytest.raises(PackageError):
            parse_version(text)


def test_options_are_a_value() -> None:
    assert Options(schema(port=PORT)).defaults() == {"port": 80}
