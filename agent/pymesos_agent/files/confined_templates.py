"""The process that renders a template, which comes from outside: a program of its own, for one.

It imports what it needs, renders once for nothing, and then gives up its user, every file that it
could open and every socket that it could make, before it looks at the template. Jinja2's sandbox
keeps the template from Python; this keeps what gets out of that from the machine.
"""

from __future__ import annotations

import contextlib
import encodings.ascii
import encodings.unicode_escape  # noqa: F401 - of texts in templates
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
import jinja2.debug
import jinja2.ext
import jinja2.sandbox

from pymesos_agent.files.confining import become

NOBODY = (65534, 65534, ())
CPU_S = 1
MIB = 1024 * 1024
MEM_BYTES = 64 * MIB  # beside what the program itself takes
MAX_OUTPUT_BYTES = MIB
TOO_MUCH = json.dumps(
    {"error": f"it takes more than {MEM_BYTES // MIB} MiB of memory to be rendered"}
)
TEMPLATE = "<template>"
# What is imported where it is used first, which is too late for a template.
FIRST = (
    "{% for i in [1] %}{{ i|int }}{{ 'a' ~ 2 }}{% endfor %}{{ range(2)|join(',') }}",
    "{{ 'a b'|wordwrap(2)|urlencode }}{{ {'a': [1]}|tojson }}{{ 'é<'|escape }}{{ [1]|pprint }}",
    "{{ 'a'|truncate(1)|title|trim|indent }}{{ [2, 1]|sort|unique|list }}{{ 3.5|round }}",
    "{{ 'http://a'|urlize }}{{ 3|filesizeformat }}{{ '%s'|format(1) }}{{ '<a>'|striptags }}",
    "{{ none.x }}",
    "{% x %}",
)

MAX_NAMES = 20  # that an error tells


class _Undefined(jinja2.StrictUndefined):
    """What a template names and is not there; the error tells what is."""

    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Mapping) and self._undefined_hint is None:
            there = ", ".join(map(str, sorted(self._undefined_obj)[:MAX_NAMES])) or "nothing"
            return f"there is no {self._undefined_name!r} there; there is: {there}"
        return super()._undefined_message


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """As templates are rendered."""

    def __init__(self) -> None:
        super().__init__(undefined=_Undefined, keep_trailing_newline=True)


def main() -> None:
    """Render what comes on standard input, and print what came of it."""
    job: dict[str, Any] = json.load(sys.stdin)
    environment = _Environment()
    for template in FIRST:
        render(environment, template, {}, quiet=False)  # all is imported that will be
    if os.geteuid() == 0:
        become(NOBODY)
    _bound()
    said = TOO_MUCH
    with contextlib.suppress(MemoryError):
        said = json.dumps(render(environment, job["template"], job["context"], quiet=job["quiet"]))
    sys.stdout.write(said)


def render(
    environment: jinja2.Environment,
    template: str,
    context: Mapping[str, Any],
    *,
    quiet: bool,
) -> dict[str, str]:
    """Return what is `made`, or an `error` in a sentence, with the line. Raises MemoryError.

    `quiet`: what an error says may have a secret in it, and is left out.
    """
    try:
        made, size_bytes = [], 0
        for piece in environment.from_string(template).generate(**context):
            size_bytes += len(piece.encode("utf-8", "surrogatepass"))
            if size_bytes > MAX_OUTPUT_BYTES:
                return {"error": f"it makes more than {MAX_OUTPUT_BYTES // MIB} MiB"}
            made.append(piece)
        text = "".join(made)
        text.encode()
    except jinja2.TemplateSyntaxError as error:
        return {"error": f"line {error.lineno}: {error.message}"}
    except MemoryError:
        raise
    except Exception as error:  # a template can raise anything
        said = f"{error}" if str(error) else type(error).__name__
        if quiet:
            said = f"{type(error).__name__}, and nothing else is said of it, since it uses secrets"
        return {"error": f"line {_line_of(error)}: {said}"}
    return {"made": text}


def _line_of(error: BaseException) -> int:
    """The last line of the template that was come to."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == TEMPLATE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _bound(usage: Callable[[int], Any] = resource.getrusage) -> None:
    """Take the limits: from now on no file and no socket can be opened."""
    used_s = usage(resource.RUSAGE_SELF)
    spent_s = int(used_s.ru_utime + used_s.ru_stime + 1)
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - no codec can be loaded
        size_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, size_bytes + MEM_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, spent_s + CPU_S),
    ):
        _, hard = resource.getrlimit(what)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))


if __name__ == "__main__":
    main()
