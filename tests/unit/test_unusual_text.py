"""Unusual text from outside: its readers take it as it is meant, or refuse it in a sentence."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pymesos_agent.claims import read_task_uids
from pymesos_agent.health.gauges import sum_of
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.periodic.rules import Parameter, Type, value_problem
from pymesos_binpack.placement.packing.policies import PolicyError as PackingError
from pymesos_binpack.placement.packing.policies import read_policy as read_packing
from pymesos_binpack.specs import JobError
from pymesos_cli.errors import CliError
from pymesos_cli.jobs.alerts import _shown
from pymesos_cli.jobs.versions import told_document
from pymesos_cli.local.whatif import run_whatif
from pymesos_cli.main import main as cli
from pymesos_cli.migrating.asking import Asking, read_secret
from pymesos_cli.migrating.checking import findings
from pymesos_cli.operators.explain import waiting_lines
from pymesos_cli.packages.index import SIGNED_AS, read_index
from pymesos_cli.packages.package import Installing, read_package
from pymesos_cli.packages.parts import PackageError
from pymesos_cli.web.guard import Guard
from pymesos_core.addresses import AddressError, parse_master
from pymesos_core.clock import utc
from pymesos_core.discovery.forwarding import Upstream
from pymesos_core.documents import DocumentError
from pymesos_core.flags import Lifetime, Moment
from pymesos_core.jobs_json import described_json
from pymesos_core.mesos.json_messages import ConversionError, from_json
from pymesos_core.outgoing.receivers import read_receivers
from pymesos_core.private import is_same
from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_core.security.access_tokens import is_csrf_token
from pymesos_core.security.policy_file import PolicyError, read_policy
from pymesos_core.transport import CallError
from pymesos_master.http import asking
from pymesos_master.http.answering import _made
from pymesos_master.http.routes import ROUTES
from pymesos_master.mesos.operators.maintenance import finder
from pymesos_proto.mesos.v1.master_pb2 import MachineID
from pymesos_proto.mesos.v1.mesos_pb2 import Resource
from pymesos_proto.v1 import jobs_pb2, operator_pb2, types_pb2
from pymesos_sdk.tasks import Room
from pymesos_testing.said import said


@pytest.mark.parametrize(
    "document", ["allow: [\n", "allow:\n- {who: [\n\n", "allow: [*\n", '"\n\n']
)
def test_a_policy_that_ends_too_soon(document: str) -> None:
    assert said(PolicyError, read_policy, document).startswith("line ")


@pytest.mark.parametrize(
    "address",
    [
        "h\0:1", "\x1b[31m:1", "h\u200b:1", "a..b:1", f"{'a' * 64}.b:1", "[...]:1", "[1]:5",
        "[999::99999]:1", "zk://h\0/x", "zk://[1.2]:1/x",
    ],
)  # fmt: skip
def test_what_is_no_host(address: str) -> None:
    assert "is not host:port" in said(AddressError, parse_master, address)


@pytest.mark.parametrize("address", ["h:1", "a.b.:1", "h_1.x-y:1", "[::1]:1", "[::ffff:1.2.3.4]:1"])
def test_hosts(address: str) -> None:
    assert str(parse_master(address)) == address


@pytest.mark.parametrize(
    "end", ["\0", "\u202e", "\ud800", "?auth=%00", "?tls=a%00b", "?auth=%1b[m"]
)
def test_what_cannot_be_seen_in_the_address_of_a_zookeeper(end: str) -> None:
    sentence = said(AddressError, parse_master, f"zk://h/x{end}")
    assert sentence.isprintable(), "whatever shows it"


@pytest.mark.parametrize("text", ["1e308d", "-5m", "-0.1s", "1e400s", "nan s", "5m\0"])
def test_what_is_no_length_of_time(text: str) -> None:
    said(click.BadParameter, lambda x: Lifetime().convert(x, None, None), text)
    said(click.BadParameter, lambda x: Moment().convert(f"+{x}", None, None), text)


@pytest.mark.parametrize(
    "text",
    ["2026-12-01\u202e22:00Z", "2026-12-01T22:00Z\0", "2026-W49-2T22:00Z", "２026-12-01T00:00Z"],
)
def test_what_is_no_time(text: str) -> None:
    said(click.BadParameter, lambda x: Moment().convert(x, None, None), text)
    said(ValueError, asking.moment("at", "").read, text)


@pytest.mark.parametrize(
    "text", ["2026-12-01T22:00Z", "2026-12-01 22:00:00.000Z", "2026-12-01T23:00+01:00"]
)
def test_times(text: str) -> None:
    assert Moment().convert(text, None, None) == asking.moment("at", "").read(text) == 1796162400


@pytest.mark.parametrize("value", ["1_000", "0x10", "٣", "nan", "1e-400", " 5", ""])
def test_what_no_run_is_given_as_a_number(value: str) -> None:
    for kind in (Type.INTEGER, Type.NUMBER):
        assert value_problem(Parameter("n", kind), value)


def test_a_default_that_is_a_whole_number_with_a_point() -> None:
    job = {
        "name": "j",
        "tasks": [
            {
                "name": "t",
                "kind": "periodic",
                "command": "true",
                "parameters": [{"name": "N", "type": "integer", "default": 5.0}],
            }
        ],
    }
    rules = parse_job(job).tasks[0].periodic
    assert rules is not None
    assert rules.parameters[0].default == "5"
    job["tasks"][0]["parameters"][0]["default"] = 5.5  # type: ignore[index]
    assert "is no whole number" in said(JobError, parse_job, job)


HOOK = "a: {kind: webhook, url: 'http://h', ca_file: '%s'}"


MAIL = 'a: {kind: email, smtp: "%s", from: a@b, to: ["%s"]}'


@pytest.mark.parametrize(
    "document",
    [
        HOOK % f"/{'a' * 300}",
        "a: {kind: webhook, url: 'http://é/'}",
        "a: {kind: webhook, url: 'http://h:0'}",
        "a: {kind: alertmanager, urls: ['http://h/?x=1']}",
        MAIL % ("a..b", "a@b"),
        *(MAIL % ("h", to) for to in ('\\"@b', "a,c@d", "a(@b", "a@[b", ":@b", "a@b.", "a..b@c")),
    ],
)
def test_receivers_that_cannot_be(document: str) -> None:
    assert said(DocumentError, read_receivers, document).startswith("line 1: a.")


def test_mail_addresses() -> None:
    found = read_receivers(MAIL % ("mail.example.org:25", "o'neil+on-call@sub.example.org"))
    assert found["a"].to == ("o'neil+on-call@sub.example.org",)  # type: ignore[union-attr]


@pytest.mark.parametrize("text", [f"{'9' * 5000}:70000", "1:", "a:b", "２:3", "1_0:5", "70000"])
def test_what_is_no_range_of_users(text: str) -> None:
    assert "BASE:COUNT" in said(ValueError, read_task_uids, text)


@pytest.mark.parametrize("name", [":x", "os:getcwd", "builtins:object", "json:loads"])
def test_what_is_no_policy_of_packing(name: str) -> None:
    assert repr(name) in said(PackingError, read_packing, name)


def test_the_number_of_an_index_with_a_point() -> None:
    key = Ed25519PrivateKey.generate()
    body = json.dumps({"serial": 5.0, "packages": []}).encode()
    index = read_index(
        base64.b64encode(key.sign(SIGNED_AS + body)) + b"\n" + body, key.public_key()
    )
    assert json.dumps(index.serial) == "5", "as it is kept, and read again"


NUMBER = {"n": {"type": "integer", "description": "d"}}


def package(**changed: Any) -> bytes:
    return json.dumps(
        {
            "format": 1,
            "name": "p",
            "version": "1.0.0",
            "summary": "s",
            "options": {"type": "object", "additionalProperties": False, "properties": NUMBER},
            "job": {"tasks": [{"name": "t", "command": "x", "env": {"N": "@{n}"}}]},
            "readme": "r",
        }
        | changed
    ).encode()


@pytest.mark.parametrize(("text", "number"), [("5.0", "5"), ("1e3", "1000"), ("0x10", "16")])
def test_an_option_that_is_a_whole_number_is_written_as_one(text: str, number: str) -> None:
    known = read_package(package())
    job = known.job(Installing("j", "r", known.options.read([f"n={text}"])))
    assert job.tasks[0].env == {"N": number}


@pytest.mark.parametrize("text", ["5 # x", "!!int 5", "&a 5", '"5"', "1_0", "{}"])
def test_what_is_no_number_for_an_option(text: str) -> None:
    known = read_package(package())
    said(PackageError, lambda given: known.options.filled(known.options.read([given])), f"n={text}")


def test_a_later_format_whose_number_has_a_point() -> None:
    assert "wants a later" in said(PackageError, read_package, package(format=2.0))


@pytest.mark.parametrize("text", ["1_0", "٣", "nan", "0x10", "", "1e400"])
def test_numbers_in_quotes_of_mesos_clients(text: str) -> None:
    for scalar in ({"scalar": {"value": text}}, {"ranges": {"range": [{"begin": text, "end": 9}]}}):
        value = {"name": "cpus", "type": "SCALAR", **scalar}
        said(ConversionError, lambda given: from_json(given, Resource), value)


def test_name_servers_that_are_none(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver a..b\nnameserver {'x' * 70}\nnameserver ::1\nnameserver 1.1.1.1\n")
    assert Upstream(conf)() == (("::1", 53), ("1.1.1.1", 53))


def whatif(tmp_path: Path, nodes: str, pods: str, load: float | None = None) -> list[Any]:
    """What `whatif` says of CSV files with one row each, in JSON."""
    for name, row in (("nodes", nodes), ("pods", pods)):
        (tmp_path / name).write_text(f"cpu_milli,memory_mib\n{row}\n")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run_whatif(
            *(tmp_path / "nodes", tmp_path / "pods", ["best-fit"], 0, load, None), as_json=True
        )
    found: list[Any] = json.loads(out.getvalue())
    return found


def test_what_if_machines_or_pods_are_nothing(tmp_path: Path) -> None:
    assert whatif(tmp_path, "1000,1000", "0,0")[0]["placed"] == 1
    found = whatif(tmp_path, "0,0", "1,1")[0]
    assert (found["placed"], found["load"]) == (0, None)


def test_what_if_sums_are_large(tmp_path: Path) -> None:
    large = 10**15
    nodes = "\n".join([f"{large},{large}"] * 20)
    found = whatif(tmp_path, nodes, "\n".join([f"{large},{large}"] * 15))[0]
    assert found["allocated"] == {"cpus": 0.75, "mem": 0.75}


def test_what_if_pods_are_so_small_that_none_would_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymesos_binpack.placement.packing.replay.MAX_ROWS", 1000)
    with pytest.raises(CliError, match="more than 1000 pods"):
        whatif(tmp_path, "1000000000,1000000000", "1,1", 1.3)


MESOS_URLS = [
    "http://[x",
    "h:99999",
    "http://a\0b",
    "http://h\x1b[m/",
    "http:///x",
    "ftp://h",
    "h:0",
]


@pytest.mark.parametrize("url", MESOS_URLS)
def test_what_is_no_url_of_a_master_of_mesos(url: str) -> None:
    for flags in (["--mesos", url], ["--mesos", "h:1", "--also", url]):
        done = CliRunner().invoke(cli, ["migrate", "check", *flags])
        assert (done.exit_code, "is no URL" in done.output) == (2, True), done.output


def test_a_secret_for_mesos_that_is_no_text(tmp_path: Path) -> None:
    for name, data in (("bytes", b"\xff"), ("empty", b"\n"), ("large", b"x" * 5000)):
        (tmp_path / name).write_bytes(data)
        said(CliError, read_secret, tmp_path / name)
    (tmp_path / "good").write_bytes(b"s\r\n")
    assert read_secret(tmp_path / "good") == "s"


@pytest.mark.parametrize("odd", [5, "x", [], [5], {}, {"slaves": 5}, {"frameworks": [5]}, None])
def test_answers_of_a_master_of_mesos_that_are_odd(odd: Any) -> None:
    paths = ("version", "flags", "frameworks", "slaves", "roles", "weights", "quota")
    assert findings(dict.fromkeys(paths, odd), ())
    framework = {"name": odd, "capabilities": odd, "executors": odd, "tasks": odd}
    assert findings({"frameworks": {"frameworks": [framework]}}, ())


def test_a_master_of_mesos_that_sends_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("http://[x", "http://h:99999/", "//\x1b[m", "nowhere"):
        monkeypatch.setattr(Asking, "_open", lambda *_, place=place, **__: place)
        said(CliError, lambda url: Asking(url).master(), "h:1")


@pytest.mark.parametrize("text", ["1_0", "１", "9" * 5000])
def test_no_command_takes_another_number(text: str) -> None:
    for command in (
        ["migrate", "check", "--mesos", "h:1", "--agents", text],
        ["apply", "j", "--if-version", text],
        ["variables", "set", "r", "N", "v", "--if-version", text],
    ):
        done = CliRunner().invoke(cli, command)
        assert (done.exit_code, "the range is" in done.output) == (2, True), done.output


def test_each_machine_of_a_schedule_is_found_without_a_look_at_all() -> None:
    number = 5000
    agents = [
        operator_pb2.AgentView(
            info=types_pb2.AgentInfo(
                agent_id=str(n), address=types_pb2.Address(hostname=f"H{n}", ip=f"10.0.0.{n}")
            ),
            state="active",
        )
        for n in range(number)
    ]
    machines = [MachineID(hostname=f"h{n}") for n in range(number)]
    machines += [MachineID(ip=f"10.0.0.{n}") for n in range(number)]
    began_s = time.process_time()
    find = finder(agents)
    found = [[view.info.agent_id for view in find(machine)] for machine in machines]
    assert found == [[str(n)] for n in range(number)] * 2
    assert not find(MachineID(hostname="h1", ip="10.0.0.2"))
    assert time.process_time() - began_s < 2, "it was eight"


@pytest.mark.parametrize("sample", ["1_0", "0x10", "٣", "1e400", "NaN", "Inf", ""])
def test_samples_of_tasks_that_are_no_numbers(sample: str) -> None:
    assert sum_of(f"m {sample}\n".encode(), b"m") is None
    assert sum_of(b'm{a="} 1_0"} 2.5e1 1700000000\nm 1\n', b"m") == 26


def test_a_code_and_a_cookie_that_are_no_text() -> None:
    """A header has bytes, which Python keeps as halves of characters."""
    guard = Guard(80)
    host = {"host": "127.0.0.1:80"}
    for target, cookie in (("/?code=\udcff", ""), ("/", "pymesos-80=\udcff"), ("/", "\udcff")):
        refused = guard.check("GET", target, host | {"cookie": cookie})
        assert refused is not None and refused.status == 403
    assert not is_same("s", "\udcff") and not is_csrf_token("s", "\udcff")
    assert is_same("é", "é") and not is_same("s", "s ")


@pytest.mark.parametrize(
    "document", ["", "x", "5", "[]", "{}", '{"tasks": 5}', '{"tasks": [5]}', "[" * 10**5]
)
def test_documents_that_a_framework_made_up(document: str) -> None:
    answer = jobs_pb2.DescribeJobResponse(job_id="j", job_json=document)
    said(ValueError, described_json, answer)
    said(CliError, told_document, answer)
    by_name = {route.path: route for route in ROUTES}
    said(CallError, lambda told: _made(by_name["/v1/jobs/{job}/document"], told), answer)


def test_a_task_that_cannot_be_made_takes_nothing_of_its_room() -> None:
    offer = types_pb2.Offer(resources=to_proto(parse("cpus:4;mem:4096;ports:[1000-1009]")))
    room = Room(offer)
    for wrong in ({"env": {"A": 5}}, {"ports": -1}, {"ports": 1.5}, {"ports": math.nan}):
        with pytest.raises((TypeError, ValueError)):
            room.make_task("t", "true", cpus=4, **wrong)
    made = room.make_task("t", "true", cpus=4, ports=2.0)  # type: ignore[arg-type]
    assert str(from_proto(made.resources)) == "cpus:4;mem:32;ports:[1000-1001]"


@pytest.mark.parametrize("when_s", [math.nan, math.inf, -math.inf, 1e300, 1e12])
def test_times_that_a_framework_made_up(when_s: float) -> None:
    assert utc(when_s).startswith("a time that there is not")
    _shown(jobs_pb2.AlertView(state="firing", since_s=when_s, silenced_until_s=when_s))
    view = jobs_pb2.InstanceView(attempts=1, next_start_at_s=when_s)
    list(waiting_lines("n", view, "why", operator_pb2.ExplainFrameworkResponse()))
    assert utc(0) == "1970-01-01T00:00:00Z"
