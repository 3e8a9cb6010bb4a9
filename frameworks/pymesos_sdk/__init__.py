"""Write a framework: subclass `Scheduler`, hand it to a `Driver`, run that.

The driver finds the leading master and stays with it: it reconnects, re-subscribes, reconciles and
acknowledges, so that a framework decides what runs where and nothing else.
"""

from pymesos_core.states import is_terminal
from pymesos_sdk.driver import Driver
from pymesos_sdk.program import run_framework
from pymesos_sdk.scheduler import (
    FrameworkDeniedError,
    FrameworkError,
    FrameworkRemovedError,
    FrameworkSupersededError,
    Scheduler,
)
from pymesos_sdk.sizes import TooLargeError
from pymesos_sdk.tasks import Room, draw, draw_ports, make_task, take_ports

__all__ = [
    "Driver",
    "FrameworkDeniedError",
    "FrameworkError",
    "FrameworkRemovedError",
    "FrameworkSupersededError",
    "Room",
    "Scheduler",
    "TooLargeError",
    "draw",
    "draw_ports",
    "is_terminal",
    "make_task",
    "run_framework",
    "take_ports",
]
