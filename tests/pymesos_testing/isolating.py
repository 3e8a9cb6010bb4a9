"""What tests of isolation share."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from pymesos_agent.containers.sessions import run_entry
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerStarted
from pymesos_testing.tried import OWN, Tried
from pymesos_testing.waiting import until

LEAVES = (
    "id -u; id -G; setsid env -i /bin/sh -c 'sleep 900 & touch gone; sleep 900' > /dev/null 2>&1 &"
    " until test -e gone; do sleep 0.1; done"
)


async def own_user(t: Tried) -> None:
    """Nobody else reads its files, and what has left it ends with it."""
    for uid in (OWN, OWN + 1):
        spec = t.rig.spec(
            "id -u; id -g; id -G; echo $USER $LOGNAME; echo mine > f; chmod 600 f;"
            f" cat {t.rig.folder}/sandboxes/*/f; echo end; exec sleep 600"
        )
        spec = replace(spec, own_uid=uid, owner=(uid, uid))
        os.chown(spec.sandbox, uid, uid)
        t.rig.runtime.launch(spec)
        await t.rig.until(ContainerStarted, spec.container_id)
        await until("it has said all", partial(has_said, spec, "end"))
        entry = t.rig.runtime.entry(spec, ["sh", "-c", LEAVES], "")
        status, entered = await run_entry(entry, 20)
        assert (status, entered.split()) == (0, [str(uid)] * 2)
        t.rig.runtime.kill(spec.container_id, force=True)
        await t.rig.exited(spec)
        said = out(spec).split()
        assert said[:5] == [str(uid)] * 5 and said[5:] in (["end"], ["mine", "end"]), said
        await until("nothing of it is left", partial(has_nothing, uid))


def out(spec: ContainerSpec) -> str:
    """What a task has said so far."""
    file = spec.sandbox / "stdout"
    return file.read_text() if file.exists() else ""


def has_said(spec: ContainerSpec, word: str) -> bool:
    return word in out(spec)


def has_nothing(uid: int) -> bool:
    """Whether a user of the machine runs no program."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_its = folder.name.isdigit() and folder.stat().st_uid == uid
            if is_its and "State:\tZ" not in (folder / "status").read_text():
                return False
    return True
