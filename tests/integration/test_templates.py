"""Templates are rendered by a process that has nothing: what it makes, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.below import NEW
from pymesos_agent.files.config import NOTHING, ConfigError, Found, Rendering
from pymesos_agent.files.kept import DIGESTS, Kept
from pymesos_agent.files.memory import Memory
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb


def spec_of(sandbox: Path, *files: pb.ConfigFile) -> ContainerSpec:
    command = pb.CommandInfo(environment=[pb.EnvironmentVariable(name="MODE", value="fast")])
    info = pb.TaskInfo(task_id="j.t.0", name="t", command=command)
    info.container.config.extend(files)
    resources = parse("cpus:1;ports:[31000]")
    return ContainerSpec("c", "f", "", None, info, resources, sandbox)


def write_config(spec: ContainerSpec, told: Mapping[str, Found] = NOTHING) -> None:
    asyncio.run(Rendering().write(spec, told))


def rewritten(spec: ContainerSpec, told: Mapping[str, Found]) -> tuple[list[str], list[Exception]]:
    async def rewrite_and_keep() -> tuple[list[str], list[Exception]]:
        rendering = Rendering()
        remade = await rendering.rewrite(spec, told)
        return [*remade.changed], [*remade.problems, *await rendering.keep(spec, remade)]

    return asyncio.run(rewrite_and_keep())


def rewrite_config(spec: ContainerSpec, told: Mapping[str, Found]) -> list[str]:
    changed, problems = rewritten(spec, told)
    for problem in problems:
        raise problem
    return changed


def secret_config(spec: ContainerSpec, secrets: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return asyncio.run(Rendering().with_secrets(spec, secrets))


def template(text: str, **more: object) -> pb.ConfigFile:
    return pb.ConfigFile(path="a.conf", template=text, **more)  # type: ignore[arg-type]


def made(sandbox: Path, text: str, **more: object) -> str:
    write_config(spec_of(sandbox, template(text, **more)))
    return (sandbox / "a.conf").read_text("utf-8")


def test_files_are_made_below_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/b.conf").write_text("of an archive")
    write_config(
        spec_of(
            tmp_path,
            pb.ConfigFile(path="etc/b.conf", content="{{ not a template }}\n"),
            pb.ConfigFile(path="new/folder/c.conf", content="ü"),
            template("x"),
        )
    )
    assert (tmp_path / "etc/b.conf").read_text() == "{{ not a template }}\n"
    assert (tmp_path / "new/folder/c.conf").read_text("utf-8") == "ü"
    assert (tmp_path / "a.conf").stat().st_mode & 0o777 == 0o644


PEERS = "{% for peer in addresses.web %}{{ peer.address }} {{ peer.ports.http }}\n{% endfor %}"


def test_addresses_are_made_anew_where_they_have_changed(tmp_path: Path) -> None:
    use = pb.AddressesUse(name="web", role="*", job="shop", task="web")
    spec = spec_of(
        tmp_path,
        pb.ConfigFile(path="plain", content="as it is"),
        pb.ConfigFile(path="etc/peers", template=PEERS, addresses=[use]),
    )
    one = {"address": "10.0.0.1:80", "ports": {"http": 80}}
    other = {"address": "10.0.0.2:81", "ports": {"http": 81}}
    write_config(spec, {"etc/peers": {"web": [one]}})
    assert (tmp_path / "etc/peers").read_text() == "10.0.0.1:80 80\n"
    (tmp_path / "plain").write_text("as its task wants it")
    assert rewrite_config(spec, {"etc/peers": {"web": [one]}}) == []
    assert rewrite_config(spec, {"etc/peers": {"web": [one, other]}}) == ["etc/peers"]
    assert (tmp_path / "etc/peers").read_text() == "10.0.0.1:80 80\n10.0.0.2:81 81\n"
    assert (tmp_path / "plain").read_text() == "as its task wants it"
    assert not (tmp_path / "etc" / NEW).exists()


def test_what_a_task_has_made_of_its_file_is_no_change(tmp_path: Path) -> None:
    use = pb.AddressesUse(name="web", role="*", job="shop", task="web")
    sandbox = tmp_path / "c" / "c"  # in its guard
    sandbox.mkdir(parents=True)
    files = [
        pb.ConfigFile(path=path, template=PEERS, addresses=[use], on_change=on_change)
        for path, on_change in (("a", pb.ON_CHANGE_SIGNAL), ("b", pb.ON_CHANGE_RESTART))
    ]
    spec = spec_of(sandbox, *files)
    one = [{"address": "10.0.0.1:80", "ports": {"http": 80}}]
    told: dict[str, Any] = {path: {"web": one} for path in "ab"}
    write_config(spec, told)
    for path in "ab":
        (sandbox / path).write_text("as its task wants it")
    assert rewrite_config(spec, told) == []
    assert (sandbox / "a").read_text() == "as its task wants it"
    assert [path.name for path in sandbox.iterdir() if path.name not in "ab"] == []
    assert (sandbox.parent / DIGESTS).stat().st_mode & 0o777 == 0o600
    told = {path: {"web": one * 2} for path in "ab"}
    assert rewrite_config(spec, told) == ["a", "b"]
    assert (sandbox / "a").read_text() == "10.0.0.1:80 80\n" * 2
    assert rewrite_config(spec, told) == ["b"], "it has not begun anew since"
    (sandbox.parent / DIGESTS).write_text("[")
    assert rewrite_config(spec, told) == [], "then what is there counts"


@pytest.mark.parametrize("inside", ["c/c", "sandbox"])  # with a guard, without one
@pytest.mark.parametrize("first", ["a", "b"])
def test_one_that_cannot_be_made_keeps_no_other(tmp_path: Path, inside: str, first: str) -> None:
    use = pb.AddressesUse(name="web", role="*", job="shop", task="web")
    sandbox = tmp_path / inside
    sandbox.mkdir(parents=True)
    spec = spec_of(
        sandbox,
        *(
            pb.ConfigFile(path=path, template="{{ addresses.web[0].ip }}", addresses=[use])
            for path in (first, "ab".replace(first, ""))
        ),
    )
    one, other = {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}
    write_config(spec, {"a": {"web": [one]}, "b": {"web": [one]}})
    told: dict[str, Any] = {"a": {"web": [other]}, "b": {"web": []}}
    changed, problems = rewritten(spec, told)
    assert changed == ["a"] and (sandbox / "a").read_text() == "10.0.0.2"
    assert len(problems) == 1 and "config file b cannot be made: line 1" in str(problems[0])
    assert (sandbox / "b").read_text() == "10.0.0.1"
    changed, problems = rewritten(spec, told)
    assert not changed and len(problems) == 1, "it is told once"
    with pytest.raises(ConfigError, match="its config file b cannot be made"):
        write_config(spec, told)  # a task that starts has all or none


def test_what_was_made_is_told_whatever_happens_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use = pb.AddressesUse(name="web", role="*", job="shop", task="web")
    sandbox = tmp_path / "c" / "c"
    sandbox.mkdir(parents=True)
    spec = spec_of(sandbox, template(PEERS, addresses=[use]))
    one = {"address": "10.0.0.1:80", "ports": {"http": 80}}
    write_config(spec, {"a.conf": {"web": [one]}})

    def keep(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Kept, "keep", keep)
    changed, problems = rewritten(spec, {"a.conf": {"web": [one, one]}})
    assert changed == ["a.conf"] and [type(each) for each in problems] == [RuntimeError]


def test_what_was_made_differs_until_its_task_was_told(tmp_path: Path) -> None:
    use = pb.AddressesUse(name="web", role="*", job="shop", task="web")
    sandbox = tmp_path / "c" / "c"
    sandbox.mkdir(parents=True)
    spec = spec_of(sandbox, template(PEERS, addresses=[use]))
    one = {"address": "10.0.0.1:80", "ports": {"http": 80}}
    write_config(spec, {"a.conf": {"web": [one]}})
    told: dict[str, Any] = {"a.conf": {"web": [one, one]}}
    first = asyncio.run(Rendering().rewrite(spec, told))
    assert first.changed == ["a.conf"], "and the agent crashes before it tells"
    assert rewrite_config(spec, told) == ["a.conf"] and rewrite_config(spec, told) == []


def test_nothing_is_made_anew_through_what_a_task_has_put_there(tmp_path: Path) -> None:
    use = pb.AddressesUse(name="web", role="*", job="shop", task="web")
    sandbox, outside = tmp_path / "sandbox", tmp_path / "outside"
    for folder in (sandbox, outside):
        folder.mkdir()
    (outside / "peers").write_text("of another")
    file = pb.ConfigFile(path="etc/peers", template="{{ addresses.web|length }}", addresses=[use])
    spec = spec_of(sandbox, file)
    told: dict[str, Any] = {"etc/peers": {"web": []}}
    with pytest.raises(ConfigError):
        rewrite_config(spec, told)  # its folder is gone, and stays so
    assert not (sandbox / "etc").exists()
    (sandbox / "etc").symlink_to(outside)
    with pytest.raises(ConfigError):
        rewrite_config(spec, told)
    (sandbox / "etc").unlink()
    (sandbox / "etc").mkdir()
    (sandbox / "etc/peers").symlink_to(outside / "peers")
    assert rewrite_config(spec, told) == ["etc/peers"], "the link is replaced"
    assert (outside / "peers").read_text() == "of another"
    (sandbox / "etc/peers").unlink()
    os.mkfifo(sandbox / "etc/peers")
    assert rewrite_config(spec, told) == ["etc/peers"], "nobody waits for what would write to it"
    assert (sandbox / "etc/peers").read_text() == "0"


def test_a_template_has_variables_environment_and_task(tmp_path: Path) -> None:
    text = (
        "{% for n in [1, 2] %}level{{ n }} = {{ variables.level | upper }}\n{% endfor %}"
        "mode = {{ env.MODE }}\nport = {{ env.PORT0 }}\nid = {{ task.id }} of {{ task.name }}\n"
    )
    assert made(tmp_path, text, variables={"level": "info"}) == (
        "level1 = INFO\nlevel2 = INFO\nmode = fast\nport = 31000\nid = j.t.0 of t\n"
    )


def test_filters_work_without_a_file_to_import(tmp_path: Path) -> None:
    text = (
        "{{ 'a b'|urlencode }} {{ {'k': 'é'}|tojson }} {{ 'x y'|wordwrap(1) }} {{ [1]|pprint }}"
        " {{ '\\u00e9' }} {{ [1, 2]|sum }} {{ 'a'|md5 if false else 'b'|center(3)|trim }}"
    )
    expected = 'a%20b {"k": "\\u00e9"} x\ny [1] é 3 b'
    text = text.replace("'a'|md5 if false else ", "")
    assert made(tmp_path, text) == expected


def test_one_with_secrets_is_not_in_the_sandbox(tmp_path: Path) -> None:
    file = template("key={{ secrets.key }}", secrets=["key"])
    spec = spec_of(tmp_path, file)
    assert spec.has_secret_files
    write_config(spec)
    assert not list(tmp_path.iterdir())
    assert secret_config(spec, {"key": b"hush"}) == {"a.conf": b"key=hush"}
    with pytest.raises(ConfigError, match="the secret key is no text"):
        secret_config(spec, {"key": b"\xff"})


BOTH = "{{ secrets.key }}\n{% for each in addresses.web %}{{ each.ip }}\n{% endfor %}"


def with_both(tmp_path: Path, on_change: Any = pb.ON_CHANGE_SIGNAL) -> tuple[Memory, ContainerSpec]:
    """A container whose file has a secret and addresses, and where that is."""
    use = pb.AddressesUse(name="web", role="*", job="shop", task="web")
    (folder := tmp_path / "memory").mkdir()
    sandbox = tmp_path / "c" / "c"
    sandbox.mkdir(parents=True)
    file = template(BOTH, secrets=["key"], addresses=[use], on_change=on_change)
    return Memory(folder), spec_of(sandbox, file)


def begun(memory: Memory, spec: ContainerSpec, *ips: str) -> Path:
    """Make it as its task is started; return where it is."""
    secrets = {"key": b"hush-5a", "other": b"unused-5b"}
    told: dict[str, Any] = {"a.conf": {"web": [{"ip": ip} for ip in ips]}}
    made = asyncio.run(Rendering(memory=memory).with_secrets(spec, secrets, told))
    memory.put("c", made)
    memory.give("c", os.geteuid(), os.getegid())
    return memory.secrets_of("c") / "a.conf"


def remade(memory: Memory, spec: ContainerSpec, *ips: str, keep: bool = True) -> list[str]:
    async def renew() -> list[str]:
        rendering = Rendering(memory=memory)
        told: dict[str, Any] = {"a.conf": {"web": [{"ip": ip} for ip in ips]}}
        made = await rendering.rewrite(spec, told)
        problems = [*made.problems, *(await rendering.keep(spec, made) if keep else [])]
        for problem in problems:
            raise problem
        return [*made.changed]

    return asyncio.run(renew())


def test_one_with_secrets_and_addresses_goes_on_with_the_values_of_its_start(
    tmp_path: Path,
) -> None:
    memory, spec = with_both(tmp_path)
    file = begun(memory, spec, "10.0.0.1")
    assert file.read_text() == "hush-5a\n10.0.0.1\n"
    assert remade(memory, spec, "10.0.0.1") == []
    assert remade(memory, spec, "10.0.0.1", "10.0.0.2", keep=False) == ["a.conf"]
    assert remade(memory, spec, "10.0.0.1", "10.0.0.2") == ["a.conf"], "it was not told yet"
    assert remade(memory, spec, "10.0.0.1", "10.0.0.2") == []
    assert file.read_text() == "hush-5a\n10.0.0.1\n10.0.0.2\n"
    assert file.stat().st_mode & 0o777 == 0o400 and [*file.parent.iterdir()] == [file]
    assert file.parent.stat().st_mode & 0o777 == (0o550 if os.geteuid() == 0 else 0o500)
    kept = memory.of("c") / "kept"
    assert kept.stat().st_mode & 0o777 == 0o400
    assert b"unused" not in b64decode(json.loads(kept.read_bytes())["values"]["key"])
    assert [*json.loads(kept.read_bytes())["values"]] == ["key"], "no more than is needed"
    on_disk = b"".join(each.read_bytes() for each in (tmp_path / "c").rglob("*") if each.is_file())
    assert b"hush" not in on_disk and DIGESTS.encode() not in on_disk
    memory.remove("c")
    assert [*memory.folder.iterdir()] == []


def test_one_by_which_its_task_begins_anew_differs_until_it_has(tmp_path: Path) -> None:
    memory, spec = with_both(tmp_path, pb.ON_CHANGE_RESTART)
    begun(memory, spec, "10.0.0.1")
    for _ in range(2):
        assert remade(memory, spec, "10.0.0.2") == ["a.conf"]
    assert remade(memory, spec, "10.0.0.1") == []


@pytest.mark.parametrize("kept", [b"", b"[", b"[]", b'{"values": 5}', b'{"values": {"key": 5}}'])
def test_what_is_kept_and_cannot_be_read_is_said(tmp_path: Path, kept: bytes) -> None:
    memory, spec = with_both(tmp_path)
    file = begun(memory, spec, "10.0.0.1")
    memory.keep("c", kept)
    with pytest.raises(ConfigError, match="the value of the secret key that it began with is not"):
        remade(memory, spec, "10.0.0.2")
    assert file.read_text() == "hush-5a\n10.0.0.1\n", "it stays as it was"


def test_nothing_is_made_anew_through_a_link_in_memory(tmp_path: Path) -> None:
    memory, spec = with_both(tmp_path)
    file = begun(memory, spec, "10.0.0.1")
    (outside := tmp_path / "outside").mkdir()
    (outside / "a.conf").write_text("mine")
    file.parent.rename(tmp_path / "away")
    file.parent.symlink_to(outside)
    with pytest.raises(ConfigError, match=r"config file a\.conf cannot be made"):
        remade(memory, spec, "10.0.0.2")
    assert (outside / "a.conf").read_text() == "mine" and [*outside.iterdir()] == [
        outside / "a.conf"
    ]


def test_an_error_says_nothing_of_a_secret(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, template("\n{{ {}[secrets.key] }}", secrets=["key"]))
    with pytest.raises(ConfigError) as caught:
        secret_config(spec, {"key": b"hush"})
    assert "hush" not in str(caught.value)
    assert "line 2: UndefinedError" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n\n{{ variables.none }}", "line 3: there is no 'none' there"),
        ("a\n{{ nobody }}", "line 2: 'nobody' is undefined"),
        ("{{ 1 / 0 }}", "line 1: division by zero"),
        ("a\n{% if %}", "line 2: Expected an expression"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% include 'x' %}", "line 1"),
        ("{{ [3, 1]|sort|join('-')|upper|wordwrap(9)|tojson|nothing }}", "No filter named"),
        ("{{ 'x' * (2 ** 28) }}", "takes more than 64 MiB of memory"),
        ("{% for a in range(90000) %}{{ 'x' * 99 }}{% endfor %}", "makes more than 1 MiB"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "takes more than 1 s",
        ),
    ],
)
def test_what_cannot_be_made_is_said_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"its config file a\.conf cannot be made: ") as caught:
        made(tmp_path, text)
    assert says in str(caught.value)


@pytest.mark.parametrize("path", ["../a", "link/a", "to", ""])
def test_nothing_is_written_elsewhere(tmp_path: Path, path: str) -> None:
    outside, sandbox = tmp_path / "outside", tmp_path / "sandbox"
    outside.mkdir()
    sandbox.mkdir()
    (outside / "kept").write_text("kept")
    (sandbox / "link").symlink_to(outside)
    (sandbox / "to").symlink_to(outside / "kept")
    spec = spec_of(sandbox, pb.ConfigFile(path=path, content="x"))
    if path == "to":  # the link itself gives way
        write_config(spec)
        assert (sandbox / "to").read_text() == "x" and not (sandbox / "to").is_symlink()
    else:
        with pytest.raises(ConfigError, match="its path"):
            write_config(spec)
    assert [each.name for each in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"


def test_a_machine_that_can_start_no_process_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(ConfigError, match=r"renders it cannot be started: .*No such file"):
        made(tmp_path, "x")


def test_the_process_can_open_nothing_any_more(tmp_path: Path) -> None:
    """What got out of Jinja2's sandbox would find no files, no network and no rights."""
    from subprocess import run

    program = (
        "import os, socket, sys; from pymesos_agent.files import confined_templates as c;"
        " os.geteuid() or c.become(c.NOBODY); c._bound();"
        " said = []\n"
        "for do in (lambda: open('/etc/hostname'), socket.socket, os.fork):\n"
        "    try: do(); said.append('did')\n"
        "    except OSError: said.append('could not')\n"
        "print(said, os.geteuid())"
    )
    done = run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    opened, user = done.stdout.rsplit(" ", 1)
    assert opened.startswith("['could not', 'could not'"), done
    assert int(user) == (65534 if os.geteuid() == 0 else os.geteuid())
