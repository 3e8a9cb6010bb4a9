"""Named ports and fixed host ports of jobs."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.services.views import instance_view
from pymesos_binpack.specs import JobError
from pymesos_cli.jobs.progress import ports_of
from pymesos_core.jobs_json import instance_json
from pymesos_proto.v1 import jobs_pb2 as pb_jobs
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.changing_jobs import (
    shop,
)


class TestNamedPorts:
    def test_each_is_in_a_variable_of_its_own(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        ports = [{"name": "http"}, {"name": "rest-api"}]
        h.submit(shop(instances=1, ports=ports, resources={"ports": 3}))
        h.offer("cpus:4;mem:400;ports:[7-9]")
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        env = {v.name: v.value for v in accept.tasks[0].command.environment}
        (instance,) = h.core.instances()
        assert [env["PORT_HTTP"], env["PORT_REST_API"]] == [str(p) for p in instance.saved.ports][
            :2
        ]
        assert len(instance.saved.ports) == 3
        view = instance_view(instance)
        assert (list(view.port_names), len(view.ports)) == (["http", "rest-api"], 3)

    def test_they_are_counted_and_mapped(self) -> None:
        (task,) = shop(ports=[{"name": "http", "to": 8080}], network="bridge").tasks
        assert task.ports == 1
        assert task.container.keys["port_mappings"] == [{"port_index": 0, "container_port": 8080}]
        assert shop(ports=[{"name": "a"}]).tasks[0].digest != shop().tasks[0].digest

    def test_host_ports_keep_their_names_whatever_else_it_is_given(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        ports = [{"name": "http", "host": 31080, "to": 8080}, {"name": "admin", "to": 81}]
        check = {"http": {"port_index": 0}}
        job = shop(instances=1, ports=ports, network="bridge", health_check=check)
        h.submit(job)
        h.offer("cpus:4;mem:400;ports:[7-7]")
        assert h.of(c.Accept) == []
        h.offer("cpus:4;mem:400;ports:[7-7,31080-31080]")
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        (info,) = accept.tasks
        env = {v.name: v.value for v in info.command.environment}
        assert (env["PORT_HTTP"], env["PORT_ADMIN"]) == ("31080", "7")
        (instance,) = h.core.instances()
        assert instance.saved.ports == [31080, 7]
        view = instance_view(instance)
        assert view.address == "10.0.0.97" and list(view.ports) == [31080, 7]
        shown = instance_json(view)
        assert shown["named_ports"] == {"http": 31080, "admin": 7}
        assert shown["address"] == "10.0.0.97"
        assert ports_of(view) == "31080 (http), 7 (admin)"
        assert ports_of(pb_jobs.InstanceView(ports=[1, 2], port_names=["a"])) == "1 (a), 2"
        again = BinpackHarness(dict(h.records))
        assert instance_view(*again.core.instances()).address == "10.0.0.97"
        # For the agent the lowest port is the first.
        mapped = {m.container_port: m.port_index for m in info.container.port_mappings}
        assert mapped == {8080: 1, 81: 0}
        assert info.health_check.http.port_index == 1 and not info.health_check.HasField("tcp")

    def test_a_task_that_is_to_run_beside_one_with_its_host_port_is_refused(self) -> None:
        ports = [{"name": "http", "host": 31080}]
        one = {"name": "one", "command": "x", "ports": ports}
        two = {**one, "name": "two", "constraints": ["hostname:WITH:one"]}
        with pytest.raises(JobError, match=r"hostname:WITH:one: both need the host port 31080"):
            parse_job({"name": "j", "tasks": [one, two]})
        parse_job({"name": "j", "tasks": [one, {**two, "constraints": ["hostname:AWAY:one"]}]})

    @pytest.mark.parametrize(
        ("task", "problem"),
        [
            ({"ports": [{"name": "a"}, {"name": "a"}]}, "the same variable PORT_A"),
            ({"ports": [{"name": "a"}], "env": {"PORT_A": "1"}}, "leave it out"),
            (
                {"ports": [{"name": "a"}, {"name": "b"}], "resources": {"ports": 1}},
                "as many at least",
            ),
            ({"ports": [{"name": "a", "to": 80}]}, "ports of its own"),
            ({"ports": [{"name": "A"}]}, "letters a-z"),
            ({"ports": [{"name": "a", "host": 0}]}, "0 is out of range; at least 1"),
            ({"ports": [{"name": "a", "host": 65536}]}, "65536 is out of range; at most 65535"),
            (
                {"ports": [{"name": "a", "host": 80}, {"name": "b", "host": 80}]},
                "'a' has 80 already",
            ),
            (
                {"ports": [{"name": "a", "host": 80}], "update": {"max_surge": 1}},
                "max_surge and canary must be 0",
            ),
        ],
    )
    def test_those_that_cannot_be_are_refused(self, task: dict[str, Any], problem: str) -> None:
        with pytest.raises(JobError, match=problem):
            shop(**task)
