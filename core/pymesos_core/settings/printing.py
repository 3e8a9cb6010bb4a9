"""Printing of settings: what is in force, as a TOML file, and all there are, as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pymesos_core.settings.declaring import Setting, Settings, settings_of
from pymesos_core.settings.kinds import Number, Raw
from pymesos_core.settings.resolving import DEFAULT, Resolved, S

COMMENT_COLUMN = 44


def in_force(cls: type[Settings], resolved: Resolved[S], title: str) -> str:
    """A TOML file of what is in force, with where each value comes from in a comment.

    Secrets are masked, on lines that are comments as a whole: the file says nothing that is wrong.
    """
    lines = [
        f"# {title}: what is in force, and where it comes from.",
        "# A flag wins over the environment, which wins over the file of --config.",
    ]
    for setting in settings_of(cls):
        given = resolved.given.get(setting.name)
        if given is None:
            continue  # its default is wrong, which is said elsewhere
        notes = [given.origin, _unit(setting)]
        if given.origin == DEFAULT and not given.raw:
            notes.append(setting.declared.default_text)
        if given.raw is None:
            line = f"# {setting.name} is not set"
        else:
            line = f"{setting.name} = {toml(given.raw)}"
            mask = setting.declared.mask
            if mask is not None and mask(str(given.raw)) != given.raw:
                line = f"# {setting.name} = {toml(mask(str(given.raw)))}"
                notes.append("masked")
        lines.append(f"{line:{COMMENT_COLUMN}}  # {', '.join(filter(None, notes))}")
    return "\n".join(lines) + "\n"


def _unit(setting: Setting) -> str:
    unit = setting.declared.kind.unit
    return unit.plural if unit else ""


def toml(raw: Raw) -> str:
    """A value as TOML writes it. JSON's texts are TOML's but for DEL, which TOML has escaped."""
    if isinstance(raw, list):
        return f"[{', '.join(toml(item) for item in raw)}]"
    return json.dumps(raw, ensure_ascii=False).replace("\x7f", "\\u007f")


def default_of(setting: Setting) -> str:
    """The default as help and reference say it; empty for none."""
    declared = setting.declared
    if declared.default_text or callable(declared.default):
        return declared.default_text
    if declared.default is None or declared.default in ("", []):
        return ""
    if isinstance(declared.default, float) and declared.default.is_integer():
        return str(int(declared.default))
    if isinstance(declared.default, bool):
        return str(declared.default).lower()
    return str(declared.default)


def range_of(setting: Setting) -> str:
    """The range of a number, "1 to 120", or nothing."""
    kind = setting.declared.kind
    return kind.range.removeprefix("from ") if isinstance(kind, Number) else ""


def table(cls: type[Settings]) -> Iterator[str]:
    """The lines of a Markdown table of all settings."""
    yield "| flag | key of the file | value | default | what it does |"
    yield "|---|---|---|---|---|"
    for setting in settings_of(cls):
        declared = setting.declared
        value = " ".join(filter(None, (_cell(declared.kind.metavar), range_of(setting))))
        default = default_of(setting)
        if declared.required:
            default = "required"
        elif default and not declared.default_text:
            default = f"`{default}`"
        also = f" Also the variable `{declared.also}`." if declared.also else ""
        yield (
            f"| `{setting.flag}` | `{setting.name}` | {value} | {_cell(default)} |"
            f" {_cell(declared.help)}{also} |"
        )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
