"""Launches in an engine: fetch the image, create the container, give it its files, start it.

Each has a thread of its own, and only so many are started at a time. One that the engine has not
begun with can be let go of.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from docker.errors import APIError, ImageNotFound, NotFound

from pymesos_agent.containers import users
from pymesos_agent.containers.environment import plain_error
from pymesos_agent.containers.hostpaths import HostPathError
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerFailed,
    ContainerPulling,
    ContainerStarted,
    killed_early,
)
from pymesos_agent.runtimes.docker.creating import (
    SANDBOX_IN_CONTAINER,
    container_of,
    host_config_of,
    image_of,
)
from pymesos_agent.runtimes.docker.engine import (
    AGENT_LABEL,
    ENGINE_ERRORS,
    ID_LABEL,
    SANDBOX_LABEL,
    Engine,
    engine_name,
    why_away,
)
from pymesos_agent.runtimes.docker.images import PullError, StoppedError, fetch, read_etc
from pymesos_agent.runtimes.docker.output import Outputs
from pymesos_agent.runtimes.docker.variables import VariablesError, explained, script_of
from pymesos_agent.runtimes.image_troubles import trouble_with_image
from pymesos_agent.runtimes.interface import ContainerEvent
from pymesos_proto.v1 import types_pb2 as pb

log = logging.getLogger(__name__)

MAX_STARTS = 8  # at a time
END_LAUNCHES_S = 10.0


@dataclass(eq=False)
class Launch:
    """A container that is being launched."""

    thread: threading.Thread | None = None
    killed: bool = False  # nobody wants to hear of it any more
    made: bool = False  # the engine may have it from now on


class Launches:
    """The containers of one agent that are being launched in its engine."""

    def __init__(
        self,
        agent_tag: str,
        settings: Settings,
        engine: Engine,
        outputs: Outputs,
        tell: Callable[[ContainerEvent], None],
        look_for_exit: Callable[[str], None],
    ) -> None:
        """`tell` is called in threads. `look_for_exit` gets what has just been launched."""
        self._agent_tag = agent_tag
        self._settings = settings
        self._engine = engine
        self._outputs = outputs
        self._tell = tell
        self._look_for_exit = look_for_exit
        self.name_server = ""  # of containers on the engine's bridge; empty: the engine's choice
        self._lock = threading.Lock()
        self._launching: dict[str, Launch] = {}
        self._starts = threading.Semaphore(MAX_STARTS)

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._launching

    def ids(self) -> list[str]:
        """The containers that are being launched now."""
        with self._lock:
            return list(self._launching)

    def begin(self, spec: ContainerSpec) -> None:
        """Launch a container; twice is once."""
        with self._lock:
            if spec.container_id in self._launching:
                return
            launch = self._launching[spec.container_id] = Launch()
        launch.thread = threading.Thread(
            target=self._launch, args=(spec, launch), name="docker-launch", daemon=True
        )
        launch.thread.start()

    def _launch(self, spec: ContainerSpec, launch: Launch) -> None:
        problem, image = None, pb.IMAGE_TROUBLE_UNSPECIFIED
        try:
            self._fetch_if_missing(spec, launch)
            with self._starts:
                self._start(spec, launch)
        except StoppedError:
            return
        except (HostPathError, users.UserError, VariablesError) as error:
            problem = str(error)
        except PullError as error:
            problem, image = str(error), trouble_with_image(str(error))
        except APIError as error:
            problem = explained(str(error.explanation or error), spec)
        except ENGINE_ERRORS as error:
            problem = why_away(error)
            self._engine.look()
        except Exception as error:
            log.exception("the container %s cannot be launched", spec.container_id)
            problem = f"{type(error).__name__}: {error}"
        if problem is not None and launch.made:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.client.remove_container(engine_name(spec.container_id), force=True)
        with self._lock:
            if launch.killed:
                return
            del self._launching[spec.container_id]
        if problem is not None:
            self._tell(ContainerFailed(spec.container_id, plain_error(problem), image=image))
        else:
            self._look_for_exit(spec.container_id)  # in case it has ended already

    def _start(self, spec: ContainerSpec, launch: Launch) -> None:
        name = engine_name(spec.container_id)
        with contextlib.suppress(NotFound):
            self._engine.client.inspect_container(name)
            return  # asked twice; once is enough
        with self._lock:
            if launch.killed:
                raise StoppedError
            launch.made = True
        self._create(spec, name)
        self._give_sandbox(spec, name)
        self._engine.client.start(name)
        pid = self._engine.client.inspect_container(name)["State"]["Pid"]
        self._tell(ContainerStarted(spec.container_id, pid))
        self._outputs.copy(spec.container_id, spec.sandbox)

    def _fetch_if_missing(self, spec: ContainerSpec, launch: Launch) -> None:
        image = image_of(spec, self._settings)
        try:
            self._engine.client.inspect_image(image)
        except ImageNotFound:
            self._tell(ContainerPulling(spec.container_id))
            fetch(
                self._engine.streams,
                image,
                lambda text: self._tell(ContainerPulling(spec.container_id, text)),
                lambda: launch.killed or self._engine.closing,
                spec.secrets.login,
            )

    def _create(self, spec: ContainerSpec, name: str) -> None:
        image = image_of(spec, self._settings)
        told = container_of(spec, image, lambda: self._engine.client.inspect_image(image)["Config"])
        if spec.secrets.variables and self._settings.memory is not None:
            text = script_of(spec, SANDBOX_IN_CONTAINER)
            self._settings.memory.put_variables(spec.container_id, text)
        held = host_config_of(spec, self._settings, self.name_server)
        host_config = self._engine.client.create_host_config(**held)
        labels = {
            ID_LABEL: spec.container_id,
            AGENT_LABEL: self._agent_tag,
            SANDBOX_LABEL: str(spec.sandbox),
        }
        self._engine.client.create_container(
            **told, name=name, host_config=host_config, labels=labels
        )

    def _give_sandbox(self, spec: ContainerSpec, name: str) -> None:
        """Give sandbox and volumes to the container's user, as far as the agent may.

        Raises UserError for one that is not there, or is root by another name.
        """
        text = self._engine.client.inspect_container(name)["Config"]["User"]
        if text in ("", "0", "root"):
            self._give_secrets(spec, 0, 0)
            return
        user = users.resolve(text, partial(read_etc, self._engine.client, name))
        if os.geteuid() == 0:
            self._give_secrets(spec, user.uid, user.gid)
            for path in (spec.sandbox, *(volume.host_path for volume in spec.volumes)):
                os.chown(path, user.uid, user.gid)

    def _give_secrets(self, spec: ContainerSpec, uid: int, gid: int) -> None:
        if (memory := self._settings.memory) is None:
            return
        if spec.has_secret_files:
            memory.give(spec.container_id, uid, gid)
        if spec.secrets.variables:
            memory.give_variables(spec.container_id, uid, gid)

    def stop(self, container_id: str) -> bool:
        """Let go of a launch that the engine has not begun with; whether it is one.

        That it was killed is told.
        """
        with self._lock:
            launch = self._launching.get(container_id)
            if launch is None or launch.made:
                return False
            launch.killed = True
            del self._launching[container_id]
            self._tell(killed_early(container_id))
            return True

    def is_made(self, container_id: str) -> bool:
        """Whether the engine may have a container: it is launched, or begun with."""
        with self._lock:
            launch = self._launching.get(container_id)
            return launch is None or launch.made

    def end(self) -> None:
        """Wait for the launches that the engine has begun with, if it is there."""
        with self._lock:
            begun = [each.thread for each in self._launching.values() if each.made and each.thread]
        for thread in begun:
            thread.join(END_LAUNCHES_S)
