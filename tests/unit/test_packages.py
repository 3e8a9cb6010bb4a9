"""Packages: templates take values and nothing else, options are checked, what is signed is read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pymesos_binpack.specs import PackageSpec
from pymesos_cli.errors import CliError
from pymesos_cli.packages.building import read_folder
from pymesos_cli.packages.index import (
    key_text,
)
from pymesos_cli.packages.installing import (
    check_change,
)
from pymesos_cli.packages.options import Options, parse_options
from pymesos_cli.packages.package import Installing, Origin, Package, package_of, read_package
from pymesos_cli.packages.parts import MAX_PACKAGE_BYTES, PackageError, Version, parse_version
from pymesos_cli.packages.template import escaped, options_of, rendered
from pymesos_testing.packaged import PORT, document, installed, schema

ROOT = Path(__file__).resolve().parents[2]


OURS = sorted((ROOT / "deploy/packages").glob("*/"))


TEXT = {"type": "string", "default": "x"}


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
