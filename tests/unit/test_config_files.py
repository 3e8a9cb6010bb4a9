"""Config files in job files: what is refused with which line, and what a task is launched with."""

from __future__ import annotations

from typing import Any, cast

import jinja2
import pytest

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.confined_templates import _Environment, render
from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobfiles.templates import references
from pymesos_binpack.jobfiles.trial import env_problem
from pymesos_binpack.specs import JobError
from pymesos_core import contract
from pymesos_core.containers import fitting_runtimes, secret_names
from pymesos_core.resources import EMPTY
from pymesos_master.core.launching import not_capable
from pymesos_master.core.validation import _executor_problem, _secrets_problem
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness


def document(*files: dict[str, Any], **keys: Any) -> dict[str, Any]:
    task = {"name": "t", "kind": "service", "command": "x", "config": list(files)}
    return {"name": "j", "tasks": [task], **keys}


def launched(read: dict[str, Any], *capabilities: Any) -> list[pb.TaskInfo]:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(parse_job(read))
    h.offer(capabilities=capabilities)
    accepts = [cast(c.Accept, accept) for accept in h.of(c.Accept)]
    return [i for each in accepts for of in (each.tasks, *each.groups) for i in of]


ALL = (pb.SECRETS, pb.KILL_SIGNAL, pb.CONFIG)
TEMPLATE = "level={{ variables.level }}\nkey={{ secrets['db-key'] }}\nport={{ env.PORT_HTTP }}\n"


def test_a_task_is_launched_with_what_its_templates_use() -> None:
    read = document(
        {"path": "etc/plain.conf", "content": "{{ as it is }}"},
        {"path": "app.conf", "template": TEMPLATE},
        variables={"level": "info", "other": "x"},
    )
    (info,) = launched(read, *ALL)
    assert list(info.container.config) == [
        pb.ConfigFile(path="etc/plain.conf", content="{{ as it is }}"),
        pb.ConfigFile(
            path="app.conf", template=TEMPLATE, secrets=["db-key"], variables={"level": "info"}
        ),
    ]
    assert contract.problem(info) is None
    assert secret_names(info.container) == ("db-key",)
    assert fitting_runtimes(info.container) == ("process", "oci")


def test_an_agent_that_cannot_make_them_gets_none() -> None:
    read = document({"path": "a", "content": "x"})
    assert not launched(read, pb.SECRETS, pb.KILL_SIGNAL)
    (info,) = launched(read, pb.CONFIG)
    using = document({"path": "a", "template": "{{ secrets.key }}"})
    assert not launched(using, pb.CONFIG), "it would need secrets, too"

    class Agent:
        info = pb.AgentInfo(capabilities=[pb.SECRETS, pb.KILL_SIGNAL])

    agent: Any = Agent()
    assert "upgrade the agent" in (not_capable(agent, info) or "")
    agent.info.capabilities.append(pb.CONFIG)
    assert not_capable(agent, info) is None
    of_executor = pb.TaskInfo(executor=pb.ExecutorInfo(container=info.container))
    assert not_capable(agent, of_executor) is None
    agent.info.capabilities.remove(pb.CONFIG)
    assert "upgrade the agent" in (not_capable(agent, of_executor) or "")


def test_a_changed_template_or_variable_replaces_its_tasks() -> None:
    def digest(template: str, level: str) -> str:
        file = {"path": "a", "template": template}
        return parse_job(document(file, variables={"level": level})).tasks[0].digest

    text = "{{ variables.level }}"
    assert digest(text, "info") == digest(text, "info")
    assert digest(text, "info") != digest(text, "debug")
    assert digest(text, "info") != digest(text + "\n", "info")
    assert digest("none", "info") == digest("none", "debug"), "it does not refer to it"


def test_a_template_refers_to_variables_that_are_missing() -> None:
    job = parse_job(document({"path": "a", "template": "{% if variables.x %}y{% endif %}"}))
    assert job.missing == ("x",)


def test_files_with_secrets_are_where_secrets_are() -> None:
    info = pb.TaskInfo()
    spec = ContainerSpec("c", "f", "", None, info, EMPTY, cast(Any, None))
    info.container.config.add(path="a", content="x")
    assert not spec.has_secret_files
    info.container.config.add(path="b", template="x", secrets=["k"])
    assert spec.has_secret_files


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ({"path": "a"}, "config[0]: either content or template is expected"),
        ({"path": "a", "content": "x", "template": "x"}, "either content or template"),
        ({"path": "/etc/a", "content": "x"}, "config[0].path: '/etc/a' leads elsewhere"),
        ({"path": "a/../../b", "content": "x"}, "leads elsewhere"),
        ({"path": "a", "template": "a\n{% if %}"}, "config[0].template: line 2: Expected an ex"),
        ({"path": "a", "template": "a\n{{ nobody }}"}, "it refers to 'nobody', and a template has"),
        ({"path": "a", "template": "\n{% include 'b' %}"}, "line 2: a template cannot include"),
        ({"path": "a", "template": "{{ secrets[env.X] }}"}, "line 1: secrets: each is to be named"),
        ({"path": "a", "template": "{{ secrets }}"}, "line 1: secrets: each is to be named"),
        ({"path": "a", "template": "{{ variables|length }}"}, "variables: each is to be named"),
        ({"path": "a", "template": "{{ secrets['-a'] }}"}, "is no name of a secret"),
        ({"path": "a", "template": "{{ variables['a-b'] }}"}, "is no name of a variable"),
        ({"path": "a", "template": "{{ " + "(" * 5000 + " }}"}, "nested too deeply"),
        ({"path": "a", "template": "{{ " + "1" * 5000 + " }}"}, "has 5000 digits"),
        ({"path": "a", "template": "x", "secrets": ["a"]}, "secrets"),
        (
            {"path": "etc/a.conf", "template": "{{ secrets.key }}"},
            "config[0].path: with secrets it is a file in $PYMESOS_SECRETS, and 'etc/a.conf' is no",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(file: dict[str, Any], says: str) -> None:
    with pytest.raises(JobError) as caught:
        parse_job(document(file))
    assert says in str(caught.value)


def test_two_files_of_one_path_are_refused() -> None:
    twice = ({"path": "a", "content": "x"}, {"path": "a", "template": "y"})
    with pytest.raises(JobError, match="two files have the path a"):
        parse_job(document(*twice))
    read = document({"path": "key", "template": "{{ secrets.key }}"})
    read["tasks"][0]["secrets"] = [{"name": "key"}]
    with pytest.raises(JobError, match="two files have the path key"):
        parse_job(read)


def test_a_sidecar_has_its_own() -> None:
    read = document({"path": "a", "content": "x"}, variables={"v": "1"})
    file = {"path": "b", "template": "{{ variables.v }}"}
    read["tasks"][0]["sidecars"] = [{"name": "s", "command": "y", "config": [file]}]
    _, sidecar = launched(read, *ALL)
    assert sidecar.container.config[0].variables == {"v": "1"}
    read["tasks"][0]["sidecars"][0]["config"][0]["template"] = "{% x"
    with pytest.raises(JobError, match=r"tasks\[0\]\.sidecars\[0\]\.config\[0\]\.template: line 1"):
        parse_job(read)


def test_what_a_template_refers_to_is_found_wherever_it_is() -> None:
    found = references(
        "{% set a = variables.one %}{% for x in env %}{{ secrets.two ~ variables['three'] }}"
        "{% endfor %}{% macro m(v) %}{{ v.secrets }}{% endmacro %}{{ m(task) }}"
    )
    assert (found.variables, found.secrets) == (("one", "three"), ("two",))


@pytest.mark.parametrize(
    "expression",
    ["{{ 'k'|computed }}", "{% if 'k'|computed %}{% endif %}", "{% set x = ('k'|computed) ~ 1 %}",
     "{% autoescape 'k'|computed %}{% endautoescape %}"],
)  # fmt: skip
def test_nothing_of_a_template_is_computed(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    monkeypatch.setitem(jinja2.filters.FILTERS, "computed", computed.append)
    assert not references(expression).variables and not computed


NAMES = {
    "env": {"A": "1"},
    "ports": [{"name": "http"}, {"name": "admin-api"}],
}


@pytest.mark.parametrize(
    ("template", "missing"),
    [
        ("{{ env.A }}{{ env.PORT0 }}{{ env.PORT1 }}{{ env['PORT_HTTP'] }}", ""),
        ("{{ env.PORT_ADMIN_API }}{{ env.PYMESOS_INSTANCE }}", ""),
        ("{{ env.PORT2 }}", "PORT2"),
        ("{{ env.A }}\n{{ env.NOPE }}", "NOPE"),
        ("{% if env.NOPE %}{% endif %}", "NOPE"),
        ("{{ env['NOPE'] }}", "NOPE"),
        ("{{ env.PYMESOS_RUN }}", "PYMESOS_RUN"),
        ("{{ env.NOPE | default('x') }}", ""),
        ("{% if env.NOPE is defined %}{{ env.NOPE }}{% endif %}", ""),
        ("{% if 'NOPE' in env %}{{ env.NOPE }}{% endif %}", ""),
        ("{{ env.get('NOPE') }}", ""),
        ("{{ env[task.name] }}", ""),
        ("{% set env = {'NOPE': 1} %}{{ env.NOPE }}", ""),
    ],
)
def test_a_name_that_env_does_not_have_is_found_beforehand(template: str, missing: str) -> None:
    read = document({"path": "plain", "content": "x"}, {"path": "a", "template": template})
    read["tasks"][0] |= NAMES
    problem = env_problem(parse_job(read))
    if not missing:
        assert problem is None
        return
    assert problem == (
        f"tasks[0] (t).config[1].template: there is no env.{missing}; of the task's environment"
        f" templates have A, PORT0, PORT1, PORT_ADMIN_API, PORT_HTTP, PYMESOS_INSTANCE"
    )


def test_what_a_run_or_a_sidecar_has_in_its_environment() -> None:
    read = document({"path": "a", "template": "{{ env.DAY }}{{ env.PYMESOS_RUN }}"})
    read["tasks"][0] |= {"kind": "periodic", "parameters": [{"name": "DAY"}]}
    assert env_problem(parse_job(read)) is None
    sidecar = {"name": "s", "command": "y", "config": [{"path": "b", "template": "{{ env.A }}"}]}
    read["tasks"][0] |= {"sidecars": [sidecar], "env": {"A": "1"}}
    assert "tasks[0] (s).config[0]" in (env_problem(parse_job(read)) or ""), "it has its own"
    read["tasks"][0]["sidecars"][0]["env"] = {"A": "2"}
    assert env_problem(parse_job(read)) is None


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([pb.ConfigFile(path="../etc/x", content="a", secrets=["s"])], "no plain name"),
        ([pb.ConfigFile(path="/etc/x", content="a", secrets=["s"])], "no plain name"),
        ([pb.ConfigFile(path="key", content="a", secrets=["s"])], "with the same path"),
        ([pb.ConfigFile(path="a/b", content="a")] * 2, "with the same path"),
        ([pb.ConfigFile(path="a/b", content="a"), pb.ConfigFile(path="key", content="a")], None),
    ],
)
def test_a_master_looks_where_the_files_of_any_framework_are_to_be(
    files: list[pb.ConfigFile], says: str | None
) -> None:
    given = pb.SecretUse(name="s", path="key")
    found = _secrets_problem(pb.ContainerInfo(secrets=[given], config=files))
    assert (found is None) if says is None else (found is not None and says in found)


def test_an_executor_has_no_config_with_secrets() -> None:
    made = pb.ExecutorInfo(executor_id="e", command=pb.CommandInfo(value="true"))
    made.container.config.add(path="a", content="a")
    assert _executor_problem(pb.TaskInfo(executor=made), grouped=False) is None
    made.container.config.add(path="b", template="{{ secrets.s }}", secrets=["s"])
    assert "Executor asks for secrets" in str(
        _executor_problem(pb.TaskInfo(executor=made), grouped=False)
    )


def test_what_is_not_there_is_told_with_what_is() -> None:
    context = {"env": {"B": "2", "A": "1"}}
    said = render(_Environment(), "a\n{{ env.NOPE }}", context, quiet=False)
    assert said == {"error": "line 2: there is no 'NOPE' there; there is: A, B"}
    assert "'nope' is undefined" in render(_Environment(), "{{ nope }}", {}, quiet=False)["error"]
    assert "NOPE" not in render(_Environment(), "{{ env.NOPE }}", context, quiet=True)["error"]
