"""What all tests share. With STRICT=1 (CI) a skip is a failure."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from pymesos_testing.components import (
    MissingError,
    Roles,
    ZooKeeper,
    docker_engine,
    import_busybox,
    passable_folder,
    unmount_all,
)
from pymesos_testing.podman import podman_service
from pymesos_testing.scheduling import OneAtATime
from pymesos_testing.signals import give_children_the_defaults

# A property is about values; a busy machine must not make it fail.
settings.register_profile("pymesos", deadline=None)
settings.load_profile("pymesos")

give_children_the_defaults()

# No test reads or changes the contexts of whoever runs it.
CONFIG = tempfile.TemporaryDirectory(prefix="pymesos-tests-")
os.environ["XDG_CONFIG_HOME"] = CONFIG.name
for variable in ("PYMESOS_MASTER", "PYMESOS_TLS"):
    os.environ.pop(variable, None)
# Masters of tests that run side by side have each a port of their own.
os.environ["PYMESOS_MASTER_HTTP_PORT"] = "0"

STRICT = os.environ.get("STRICT") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    servers = item.funcargs.get("roles") if isinstance(item, pytest.Function) else None
    if report.when == "call" and report.failed and isinstance(servers, Roles):
        report.sections += servers.last_words()
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"STRICT=1: a skip is a failure ({call.excinfo and call.excinfo.value})"
    return report


def _levels() -> dict[str, int]:
    loggers = logging.root.manager.loggerDict
    return {name: logger.level for name, logger in loggers.items()
            if isinstance(logger, logging.Logger) and logger.level}  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Logging is set back after each test: one that runs a role sets it up, for errors only."""
    root = logging.root
    level, handlers, before = root.level, root.handlers[:], _levels()
    ran = yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name in before.keys() | _levels().keys():
        logging.getLogger(name).setLevel(before.get(name, logging.NOTSET))
    return ran


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneAtATime:
    """See xdist.newhooks."""
    return OneAtATime(config, log)


@pytest.fixture(scope="session")
def zookeeper_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """A ZooKeeper that the whole session shares; every test uses a path of its own."""
    server = ZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    try:
        server.start()
    except MissingError as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def zk_url(zookeeper_server: ZooKeeper, request: pytest.FixtureRequest) -> str:
    """A path in ZooKeeper that no other test uses."""
    return f"zk://{zookeeper_server.address}/t{abs(hash(request.node.nodeid))}"


@pytest.fixture(scope="session")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Docker engine with the busybox image."""
    try:
        with docker_engine(tmp_path_factory.mktemp("docker")) as host:
            import_busybox(host)
            yield host
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def podman_host() -> Iterator[str]:
    """Podman's compatible API, with the busybox image.

    It takes no path of more than 50 characters for what it keeps while it runs, which pytest's own
    folders have after some hundred runs.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="pymesos-") as folder:
        try:
            with podman_service(Path(folder)) as host:
                import_busybox(host)
                yield host
        except MissingError as error:
            pytest.skip(str(error))


@pytest.fixture
def engine_folder() -> Iterator[Path]:
    """For a Docker engine that a test starts and ends; its sockets' paths must be short."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="pymesos-") as name:
        try:
            yield Path(name)
        finally:
            unmount_all(Path(name))


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that every user may pass through; pytest's own are not."""
    with passable_folder() as folder:
        yield folder


@pytest.fixture
def roles(passable: Path) -> Iterator[Roles]:
    """Our servers; whatever is left of them ends with the test."""
    started = Roles(passable)
    yield started
    started.close()
