"""Why an instance does not run, as far as its rollout has to know."""

from __future__ import annotations

from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.rollouts.asking import SHOWN
from pymesos_binpack.jobs.rollouts.members import Trouble
from pymesos_core.states import is_terminal
from pymesos_core.text import cut
from pymesos_proto.v1 import types_pb2 as pb

_OF_AN_IMAGE = {
    pb.IMAGE_UNAVAILABLE: Trouble.IMAGE_UNAVAILABLE,
    pb.IMAGE_REFUSED: Trouble.IMAGE_REFUSED,
}


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
    if not is_terminal(status.state):
        return Trouble.NONE
    return _OF_AN_IMAGE.get(status.image_trouble, Trouble.NONE)
