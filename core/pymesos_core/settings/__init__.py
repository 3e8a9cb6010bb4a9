"""Settings of a role: declared once, given in a file, in the environment and on the command line.

`declaring` has what a declaration looks like, `kinds` what values a setting takes, `sources` the
file and the environment, `resolving` which value is in force, `command` the click command,
`printing` what --print-config and the reference say.
"""

from pymesos_core.settings.command import resolved, resolved_one, takes
from pymesos_core.settings.declaring import (
    Settings,
    choice,
    file,
    folder,
    number,
    switch,
    text,
    texts,
    whole,
)
from pymesos_core.settings.kinds import DAYS, MIB, SECONDS
from pymesos_core.settings.resolving import Resolved, resolve

__all__ = [
    "DAYS",
    "MIB",
    "SECONDS",
    "Resolved",
    "Settings",
    "choice",
    "file",
    "folder",
    "number",
    "resolve",
    "resolved",
    "resolved_one",
    "switch",
    "takes",
    "text",
    "texts",
    "whole",
]
