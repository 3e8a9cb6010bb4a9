"""Checks and the longest life of a task: when it is asked, and what the answers lead to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pymesos_agent.containers.facets import DECLARED
from pymesos_agent.containers.isolation import asked, refusal
from pymesos_agent.containers.settings import AllowedPath, ImageSettings, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core import events as ev
from pymesos_agent.core.tasks.checks import HEALTH, READINESS
from pymesos_agent.runtimes.docker.creating import image_of
from pymesos_core.containers import fitting_runtimes
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import INFO, AgentHarness

COMMAND = pb.CommandInfo(shell=True, value="true")
CHECK = pb.Check(
    command=COMMAND, delay_s=2, interval_s=1, timeout_s=5, grace_period_s=4, consecutive_failures=2
)


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


def answer(h: AgentHarness, problem: str | None = None, name: str = HEALTH) -> None:
    h.feed(ev.Checked(h.container(), name, problem))


def last(h: AgentHarness) -> pb.TaskStatus:
    """The latest update; the earlier ones are acknowledged until it comes."""
    while len(h.core.state.by_key[("f", "t")].unacknowledged) > 1:
        h.acknowledge(h.updates()[-1].status)
    return h.updates()[-1].status


def test_it_is_asked_after_the_delay_and_then_after_each_answer(h: AgentHarness) -> None:
    h.run(health_check=CHECK)
    began = h.now_s
    h.advance(10)
    assert [at - began for at, _ in h.asked] == [2], "the next question waits for the answer"
    assert h.asked[0][1].timeout_s == 5
    answer(h)
    assert (last(h).healthy, last(h).message) == (True, "Healthy")
    assert last(h).reason == pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
    h.advance(1)
    answer(h)
    assert len(h.asked) == 2
    assert h.states() == ["TASK_RUNNING"] * 2, "the same answer is not told again"


def test_the_defaults_are_those_of_mesos(h: AgentHarness) -> None:
    h.run(health_check=pb.Check(command=COMMAND))
    began = h.now_s
    h.advance(15)
    assert [at - began for at, _ in h.asked] == [15]
    assert h.asked[0][1].timeout_s == 20
    answer(h, "no")
    h.advance(10)
    assert len(h.asked) == 2
    answer(h, "no")
    assert h.kills == []
    answer(h, "no")
    assert h.kills == [(h.container(), False)]


def test_failures_in_a_row_end_it(h: AgentHarness) -> None:
    container = h.run(health_check=CHECK)
    h.advance(5)
    answer(h, "first")
    assert (last(h).healthy, last(h).message) == (False, "Unhealthy: first")
    answer(h)
    answer(h, "second")
    assert h.kills == []
    answer(h, "third")
    assert h.kills == [(container, False)]
    h.advance(3)
    assert h.kills[-1] == (container, True), "after its grace period"
    h.feed(ev.ContainerExited(container, 0))
    end = last(h)
    assert (end.state, end.reason) == (
        pb.TASK_KILLED,
        pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
    )
    assert not end.healthy and "third" in end.message


def test_failures_in_the_grace_period_do_not_count(h: AgentHarness) -> None:
    h.run(health_check=CHECK)
    h.advance(2)
    for _ in range(5):
        answer(h, "starting")
    assert h.kills == [] and h.states() == ["TASK_RUNNING"]
    answer(h)
    answer(h, "broke")
    answer(h, "broke")
    assert len(h.kills) == 1, "once it was well, the grace period is over"


def test_zero_failures_is_never(h: AgentHarness) -> None:
    check = pb.Check()
    check.CopyFrom(CHECK)
    check.consecutive_failures = 0
    h.run(health_check=check)
    h.advance(5)
    for _ in range(10):
        answer(h, "no")
    assert h.kills == [] and last(h).healthy is False


def test_readiness_is_reported_only(h: AgentHarness) -> None:
    h.run(readiness_check=CHECK)
    h.advance(2)
    for _ in range(5):
        answer(h, "loading", READINESS)
    assert (last(h).ready, last(h).reason) == (False, pb.REASON_TASK_CHECK_STATUS_UPDATED)
    answer(h, None, READINESS)
    assert last(h).ready and not last(h).HasField("healthy") and h.kills == []


def test_an_answer_after_the_end_is_nothing(h: AgentHarness) -> None:
    container = h.run(health_check=CHECK)
    h.kill()
    answer(h, "no")
    h.feed(ev.ContainerExited(container, -15))
    answer(h, "no")
    assert last(h).state == pb.TASK_KILLED and last(h).reason == pb.REASON_UNSPECIFIED


def test_checks_begin_anew_when_the_agent_restarts(h: AgentHarness) -> None:
    container = h.run(health_check=CHECK, max_completion_time_s=30)
    h.advance(10)
    answer(h)
    again = AgentHarness(h.records, recovered={container: ev.ContainerState(4711)}, generation=2)
    again.now_s = h.now_s
    again.connect()
    again.advance(2)
    assert len(again.asked) == 1
    again.advance(17)
    assert again.kills == [], "its life goes on from its start"
    again.advance(1)
    assert again.kills == [(container, False)]


def test_the_longest_life(h: AgentHarness) -> None:
    container = h.run(max_completion_time_s=20)
    h.advance(19)
    assert h.kills == []
    h.advance(1)
    assert h.kills == [(container, False)]
    h.feed(ev.ContainerExited(container, -15))
    assert last(h).state == pb.TASK_FAILED, "and is not said to be killed before"
    assert last(h).reason == pb.REASON_MAX_COMPLETION_TIME_REACHED


def test_too_much_disk(h: AgentHarness) -> None:
    container = h.run()
    h.feed(ev.DiskExceeded(container, 5 * 2**20))
    assert h.kills[-1] == (container, True), "at once"
    h.feed(ev.ContainerExited(container, -9))
    assert last(h).reason == pb.REASON_CONTAINER_LIMITATION_DISK
    assert "used 5 MiB" in last(h).message


def test_how_far_its_image_is(h: AgentHarness) -> None:
    h.launch()
    container = h.container()
    for text in ("being fetched", "1 of 2 layers"):
        h.feed(ev.ContainerPulling(container, text))
        assert last(h).state == pb.TASK_STARTING and last(h).message == text
    h.feed(ev.ContainerStarted(container, 1))
    h.feed(ev.ContainerPulling(container, "late"))
    assert last(h).state == pb.TASK_RUNNING


def test_a_framework_that_wants_it_is_told_of_every_start(h: AgentHarness) -> None:
    h.launch(starting_state=True)
    container = h.container()
    h.feed(ev.ContainerPulling(container, "being fetched"))
    assert h.updates() == [], "it does not start yet"
    h.feed(ev.ContainerStarted(container, 1))
    assert h.states() == ["TASK_STARTING"], "the next waits until this is acknowledged"
    h.acknowledge(h.updates()[0].status)
    assert h.states() == ["TASK_STARTING", "TASK_RUNNING"]


def test_one_that_does_not_start_is_not_said_to_start(h: AgentHarness) -> None:
    h.launch(starting_state=True)
    h.feed(ev.ContainerFailed(h.container(), "no such image"))
    assert [update.status.state for update in h.updates()] == [pb.TASK_FAILED]


@pytest.mark.parametrize(
    ("starting_state", "told"),
    [(True, ["TASK_STARTING", "TASK_RUNNING", "TASK_FAILED"]), (False, ["TASK_FAILED"])],
)
def test_a_program_that_is_not_there(
    h: AgentHarness, starting_state: bool, told: list[str]
) -> None:
    """As in Mesos, whose executor runs already, to a framework that is told of every start."""
    h.launch(starting_state=starting_state)
    text = "cannot execute /no/such: No such file or directory"
    h.feed(ev.ContainerFailed(h.container(), text, no_program=True))
    for _ in told[1:]:
        h.acknowledge(h.updates()[-1].status)
    assert h.states() == told and text in last(h).message
    reason = pb.REASON_UNSPECIFIED if starting_state else pb.REASON_CONTAINER_LAUNCH_FAILED
    assert last(h).reason == reason and last(h).exit_status == int(starting_state)


def test_a_command_that_says_nothing_starts_and_fails(h: AgentHarness) -> None:
    """The master takes such a command only of a framework that is told of every start."""
    h.launch(starting_state=True, command=pb.CommandInfo(shell=True))
    h.acknowledge(h.updates()[-1].status)
    assert h.states() == ["TASK_STARTING", "TASK_FAILED"]
    assert last(h).reason == pb.REASON_EXECUTOR_TERMINATED and h.started == []


def test_forks_without_end(h: AgentHarness) -> None:
    container = h.run()
    h.feed(ev.ProcessesRefused(container, 10))
    assert h.capped == [], "a few are no bomb"
    h.feed(ev.ProcessesRefused(container, 5000))
    h.feed(ev.ProcessesRefused(container, 5000))
    assert h.capped == [(container, 1000)], "once, at what it asked for"
    assert last(h).state == pb.TASK_RUNNING
    assert "refused 5000 processes" in last(h).message and "1 CPUs" in last(h).message


def test_one_that_starts_when_it_was_given_up_is_ended(h: AgentHarness) -> None:
    h.launch()
    container = h.container()
    h.feed(ev.ContainerFailed(container, "its supervisor ended"))
    before = h.destroyed.count(container)
    h.feed(ev.ContainerStarted(container, 7))
    assert (container, True) in h.kills and h.destroyed.count(container) == before + 1
    h.feed(ev.ContainerExited(container, -9))
    assert h.destroyed.count(container) == before + 2, "it could not be destroyed while it ran"
    h.feed(ev.ContainerStarted("stranger", 8))
    assert ("stranger", True) in h.kills and "stranger" in h.destroyed
    assert h.states() == ["TASK_FAILED"]


def test_one_that_ends_by_a_kill_before_it_was_said_to_run(h: AgentHarness) -> None:
    h.launch(starting_state=True)
    h.kill()
    h.feed(ev.ContainerStarted(h.container(), 7))
    h.feed(ev.ContainerExited(h.container(), -15))
    assert h.updates()[-1].status.reason == pb.REASON_TASK_KILLED_DURING_LAUNCH
    assert h.states() == ["TASK_KILLED"]


def test_a_kill_while_it_is_launched_is_a_kill(h: AgentHarness) -> None:
    h.launch()
    h.kill()
    h.feed(ev.ContainerFailed(h.container(), "killed before it was started"))
    assert h.updates()[-1].status.reason == pb.REASON_TASK_KILLED_DURING_LAUNCH
    assert h.states()[-1] == "TASK_KILLED"


@pytest.mark.parametrize(
    ("runtimes", "image", "asked_for", "chosen"),
    [
        (["process", "docker", "oci"], "", "", "process"),
        (["process", "docker", "oci"], "i", "", "docker"),
        (["process", "oci"], "i", "", "oci"),
        (["oci"], "", "", "oci"),
        (["process", "oci"], "", "oci", "oci"),
    ],
)
def test_the_runtime(runtimes: list[str], image: str, asked_for: str, chosen: str) -> None:
    info = pb.AgentInfo()
    info.CopyFrom(INFO)
    info.runtimes[:] = runtimes
    h = AgentHarness(info=info)
    h.connect()
    launch = agent_pb.LaunchTask(
        framework_id="f",
        task_info=pb.TaskInfo(
            task_id="t",
            resources=to_proto(parse("cpus:1")),
            command=COMMAND,
            container=pb.ContainerInfo(image=image, runtime=asked_for),
        ),
    )
    h.hear(agent_pb.MasterMessage(launch=launch))
    assert h.started[0].runtime == chosen


class Bare:
    """A runtime that holds nothing but memory."""

    name = "bare"
    isolation = {"mem": "yes"}  # noqa: RUF012


class Full:
    """A runtime that holds everything."""

    name = "full"
    isolation: Mapping[str, str] = dict.fromkeys(
        ("mem", "cpu_quota", "pids", "network", "bridge", "root", "read_only", "mounts", "ulimits",
         "capabilities"), "yes"
    )  # fmt: skip


def spec(tmp_path: object, **container: object) -> ContainerSpec:
    info = pb.TaskInfo(container=pb.ContainerInfo(**container))  # type: ignore[arg-type]
    return ContainerSpec("c", "f", "", None, info, parse("cpus:1"), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "container",
    [
        {"cpu_quota": True},
        {"pids_max": 5},
        {"network": "none"},
        {"network": "yes"},
        {"image": "i"},
        {"read_only": True},
        {"mounts": [pb.ContainerMount(container_path="x")]},
        {"ulimits": [pb.Ulimit(name="core")]},
        {"drop_capabilities": ["ALL"]},
    ],
)
def test_what_cannot_be_held_is_refused(container: dict[str, object], tmp_path: object) -> None:
    refused = refusal(Bare(), spec(tmp_path, **container), Settings())
    assert refused and "which the runtime bare cannot give here" in refused
    assert refusal(Full(), spec(tmp_path, **container), Settings()) is None
    assert list(asked(spec(tmp_path, **container).info))


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ({"network": "elsewhere"}, "no network 'elsewhere' on this agent; it has host, none, yes"),
        ({"ulimits": [pb.Ulimit(name="files")]}, "is not one of"),
        ({"ulimits": [pb.Ulimit(name="core", soft=2, hard=1)]}, "more than hard"),
        ({"add_capabilities": ["SYS_ADMIN"]}, "--allow-capabilities"),
        ({"mounts": [pb.ContainerMount(container_path="../x")]}, "leads elsewhere"),
        ({"mounts": [pb.ContainerMount(container_path="x", host_path="etc")]}, "not absolute"),
        ({"mounts": [pb.ContainerMount(container_path="x", host_path="/etc")]}, "--allow-host"),
    ],
)
def test_what_is_not_allowed_is_refused(
    container: dict[str, object], says: str, tmp_path: object
) -> None:
    refused = refusal(Full(), spec(tmp_path, **container), Settings())
    assert refused and says in refused


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("nginx", True),
        ("docker.io/library/nginx:1", True),
        ("registry.corp/app", True),
        ("evil/nginx", False),
        ("registry.corp:5000/app", False),
        ("4bcff63911fc", True),  # as a name, which is what the engine is asked for
    ],
)
def test_images_are_allowed_on_every_runtime(image: str, allowed: bool, tmp_path: Path) -> None:
    """Only the oci runtime asked that."""
    settings = Settings(images=ImageSettings(("docker.io/library/", "registry.corp/")))
    asked_for = spec(tmp_path, image=image)
    refused = refusal(Full(), asked_for, settings)
    assert (refused is None) is allowed
    assert allowed or "--allow-images" in (refused or "")
    assert "/" in image_of(asked_for, settings), "no beginning of a digest"
    assert image_of(asked_for, Settings()) == image


@pytest.mark.parametrize("allowed", [(), ("docker.io/library/",)], ids=["all", "some"])
@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("oci:5000/evil", "is no reference of an image"),  # of a host called oci, for an engine
        ("docker-archive:5000/evil", "is no reference of an image"),
        ("dir:/etc", "is no reference of an image"),
        ("oci:/srv/layout", "image: oci:/path"),  # Podman reads it, as root, from anywhere
        ("oci-archive:/srv/a.tar:x", "image: oci:/path"),
    ],
)
def test_an_engine_is_asked_for_images_of_registries(
    image: str, says: str, allowed: tuple[str, ...], tmp_path: Path
) -> None:
    engine = Full()
    engine.isolation = DECLARED["docker"]
    settings = Settings(images=ImageSettings(allowed))
    assert says in (refusal(engine, spec(tmp_path, image=image), settings) or "")


def test_a_limit_of_a_network_is_for_the_oci_runtime() -> None:
    limited = pb.ContainerInfo(image="i", network="bridge", network_out_mbit_per_s=8)
    assert fitting_runtimes(limited) == ("oci",)


def test_an_image_of_the_disk_is_for_the_oci_runtime(tmp_path: Path) -> None:
    container = pb.ContainerInfo(image="oci:/srv/layout")
    assert fitting_runtimes(container) == ("oci",)
    oci = Full()
    oci.isolation = DECLARED["oci"]
    settings = Settings(images=ImageSettings(("docker.io/library/",)))
    asked_for = spec(tmp_path, image=container.image)
    assert refusal(oci, asked_for, settings) is None, "it is below --allow-host-paths, or not"


def test_host_paths_are_judged_behind_their_links(tmp_path_factory: pytest.TempPathFactory) -> None:
    allowed, secret = tmp_path_factory.mktemp("allowed"), tmp_path_factory.mktemp("secret")
    (allowed / "inside").mkdir()
    (allowed / "link").symlink_to(secret)
    settings = Settings(host_paths=(AllowedPath(allowed, read_only=True),))

    def problem(path: str, read_only: bool = True) -> str | None:
        mount = pb.ContainerMount(container_path="x", host_path=path, read_only=read_only)
        return refusal(Full(), spec(allowed, mounts=[mount]), settings)

    assert problem(f"{allowed}/inside") is None
    assert "read-only only" in (problem(f"{allowed}/inside", read_only=False) or "")
    assert "goes through a link below" in (problem(f"{allowed}/link") or "")
    assert "is not below" in (problem(f"{allowed}/../{secret.name}") or "")
    assert "there is no" in (problem(f"{allowed}/none") or "")
