"""Write a framework: subclass `Scheduler`, hand it to a `Driver`, run that.

The driver finds the leading master and stays with it: it reconnects, re-subscribes, reconciles and
acknowledges, so that a framework decides what runs where and nothing else.
"""

from pymesos_sdk.driver import Driver, FrameworkError, Scheduler
from pymesos_sdk.tasks import make_task

__all__ = ["Driver", "FrameworkError", "Scheduler", "make_task"]
