"""Why an instance does not run, as far as its rollout has to know."""

from __future__ import annotations

import re

from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.rollouts.asking import SHOWN
from pymesos_binpack.jobs.rollouts.members import Trouble
from pymesos_core.states import is_terminal
from pymesos_core.text import cut
from pymesos_proto.v1 import types_pb2 as pb

# What runtimes say of an image that they could not get.
_OF_AN_IMAGE = re.compile(r"\bimage\b", re.IGNORECASE)
_REFUSED = re.compile(
    r"not found|unknown|does not exist|denied|unauthorized|forbidden|\b40[134]\b", re.IGNORECASE
)
_UNAVAILABLE = re.compile(
    r"timed? ?out|timeout|takes longer than|too many requests|\b429\b|\b5[0-9]{2}\b|refused"
    r"|unreachable|temporar|no such host|reset by peer",
    re.IGNORECASE,
)


def trouble_of(instance: Instance) -> tuple[Trouble, str]:
    """Return what keeps an instance from running, and what was said of it, cut."""
    trouble, text = _trouble_of(instance)
    return trouble, cut(text, SHOWN)  # a rollout repeats it, and is kept


def _trouble_of(instance: Instance) -> tuple[Trouble, str]:
    saved = instance.saved
    if saved.state == pb.TASK_ERROR and saved.done:
        return Trouble.TASK_ERROR, saved.message
    if instance.image_trouble and not saved.ready_since_s:
        return instance.image_trouble, instance.note
    if instance.pending and instance.refusal is not None:
        return Trouble.CAPACITY, instance.refusal.text
    return Trouble.NONE, ""


def image_trouble(status: pb.TaskStatus) -> Trouble:
    """Return whether an image is why a task has ended, and whether waiting may help."""
    text = status.message
    launch = status.reason == pb.REASON_CONTAINER_LAUNCH_FAILED and is_terminal(status.state)
    if not (launch and _OF_AN_IMAGE.search(text)):
        return Trouble.NONE
    if _UNAVAILABLE.search(text):
        return Trouble.IMAGE_UNAVAILABLE
    return Trouble.IMAGE_REFUSED if _REFUSED.search(text) else Trouble.NONE
