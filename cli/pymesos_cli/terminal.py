"""Where all that is printed goes through: nothing of others' moves the cursor, and nothing fails.

Names, messages and labels come from others. What is written as text is escaped here, and written in
whatever encoding the terminal has; what tasks write is passed on byte by byte by `write_raw`.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import io
import json
import logging
import os
import shutil
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pymesos_core.text import quoted

WIDE = 10_000  # a pipe has no width: nothing is cut there
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
DEBUG_VARIABLE = "PYMESOS_DEBUG"
_ENCODING_ERRORS = "pymesos-plain"
_PLAIN = {"…": "...", "×": "x", "–": "-", "—": "-", "→": "->", "≥": ">=", "≤": "<="}


class OutputError(Exception):
    """Nothing more can be written there."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write the output: {error.strerror or error}")
        self.reader_has_gone = error.errno == errno.EPIPE


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What is written instead of a character that the encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    bad = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or json.dumps(c)[1:-1] for c in bad), error.end


codecs.register_error(_ENCODING_ERRORS, _plain)


def printable(text: str) -> str:
    """Without what would move a terminal's cursor or colour it: ids and messages are others'."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if unicodedata.category(c) == "Zs" else "?" for c in text
    )


class SafeStream(io.TextIOBase):
    """A text stream over stdout or stderr. Raises OutputError alone."""

    # Whatever it is given it writes, so that nobody need look for another stream.
    encoding = "utf-8"
    errors = "strict"

    def __init__(self, raw: TextIO, screen: Screen) -> None:
        self.raw = raw
        self._screen = screen
        if isinstance(raw, io.TextIOWrapper):
            raw.reconfigure(errors=_ENCODING_ERRORS)

    def can_encode(self, text: str) -> bool:
        """Whether it appears as it is."""
        try:
            text.encode(self.raw.encoding or "ascii")
        except (UnicodeError, LookupError):
            return False
        return True

    def write(self, text: str) -> int:
        """Escaped, but for line ends and tabs."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")  # click asks so
        if not text:
            return 0
        parts = text.split("\n")
        safe = "\n".join("\t".join(map(printable, part.split("\t"))) for part in parts)
        with _output_errors():
            if self._screen.unfinished(self):
                self.raw.write("\n")
            self.raw.write(safe)
        return len(text)

    def write_raw(self, data: bytes) -> None:
        """Bytes as they are; a line of text that comes to the same place begins a new line."""
        with _output_errors():
            self.raw.flush()
            buffer = getattr(self.raw, "buffer", None)
            if buffer is None:
                self.raw.write(data.decode("utf-8", "replace"))
            else:
                buffer.write(data)
                buffer.flush()
        self._screen.wrote(self, data)

    @property
    def buffer(self) -> _Bytes:
        """For those that write bytes, as click's completion does."""
        return _Bytes(self)

    def control(self, codes: str) -> None:
        """Escape codes of our own, for a terminal only."""
        if self.isatty():
            with _output_errors():
                self.raw.write(codes)

    def flush(self) -> None:
        """See io."""
        with _output_errors():
            self.raw.flush()

    def isatty(self) -> bool:
        """See io."""
        return self.raw.isatty()

    def fileno(self) -> int:
        """See io."""
        return self.raw.fileno()

    def writable(self) -> bool:
        """See io."""
        return True

    @functools.cached_property
    def place(self) -> object:
        """The same for two streams that end in the same place."""
        try:
            status = os.fstat(self.raw.fileno())
        except (OSError, ValueError):
            return self
        return "terminal" if self.isatty() else (status.st_dev, status.st_ino, status.st_rdev)


class _Bytes(io.RawIOBase):
    """`write_raw` as a binary stream."""

    def __init__(self, stream: SafeStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """See io."""
        return True

    def write(self, data: Any) -> int:
        """See io."""
        self._stream.write_raw(bytes(data))
        return len(data)

    def close(self) -> None:
        """The stream stays open: it is everybody's."""


class Screen:
    """Remembers which places stand in the middle of a line of raw output."""

    def __init__(self) -> None:
        self._open: set[object] = set()

    def wrote(self, stream: SafeStream, data: bytes) -> None:
        if data.endswith(b"\n"):
            self._open.discard(stream.place)
        elif data:
            self._open.add(stream.place)

    def unfinished(self, stream: SafeStream) -> bool:
        """Whether text would be glued to raw output; asked once for each."""
        if not self._open or stream.place not in self._open:
            return False
        self._open.discard(stream.place)
        return True


@contextlib.contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(error) from error
    except ValueError as error:  # it was closed
        raise OutputError(OSError(errno.EBADF, os.strerror(errno.EBADF))) from error


def stream(*, stderr: bool = False) -> SafeStream:
    """stdout or stderr."""
    found = sys.stderr if stderr else sys.stdout
    return found if isinstance(found, SafeStream) else SafeStream(found, Screen())


def width() -> int:
    """The width of the terminal that stdout is; WIDE when it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def note(text: str) -> None:
    """A line on stderr, beside the output."""
    print(text, file=sys.stderr, flush=True)


def _reopen_standard_streams() -> None:
    """A closed descriptor would be that of the next socket."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


class _Notes(logging.Handler):
    """Our own warnings as lines; a library's, and tracebacks, are not for people."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("pymesos_"):
            with contextlib.suppress(OutputError):
                note(f"pymesos-cli: {record.getMessage()}")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Print safely inside; whatever fails ends in a sentence and an exit status."""
    _reopen_standard_streams()
    before = sys.stdout, sys.stderr
    screen = Screen()
    sys.stdout, sys.stderr = SafeStream(before[0], screen), SafeStream(before[1], screen)
    root = logging.getLogger()
    handler = _Notes(logging.WARNING)
    root.addHandler(handler)
    try:
        with _ending_in_a_sentence():
            yield
            sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before
        root.removeHandler(handler)


@contextlib.contextmanager
def _ending_in_a_sentence() -> Iterator[None]:
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
    except OutputError as error:
        _give_up(error)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except UnicodeEncodeError as error:
        # What the shell gave was not in the encoding that it said, so it cannot be sent as text.
        _fail(f"Error: {quoted(error.object)} is not text in UTF-8; give it as such", EXIT_USAGE)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        if isinstance(error, FileNotFoundError) and not _is_somewhere():
            told = "Error: the directory that this was started in was removed: cd to another one"
            _fail(told, EXIT_USAGE)
        where = traceback.extract_tb(error.__traceback__)[-1]
        _fail(
            f"pymesos-cli has a fault: {type(error).__name__}: {error}"
            f" ({Path(where.filename).name}, line {where.lineno}). Please report it;"
            f" {DEBUG_VARIABLE}=1 shows where it comes from"
        )


def _is_somewhere() -> bool:
    """Whether the working directory is there, which relative paths start from."""
    try:
        return bool(os.getcwd())  # noqa: PTH109 - whether it raises is what is asked
    except OSError:
        return False


def _give_up(error: OutputError) -> None:
    """Silently when the reader of our output has gone, as `head` does."""
    for broken in (sys.stdout, sys.stderr):
        try:
            broken.flush()
        except OutputError:
            # What is left in its buffer would fail again at the end.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())
    if error.reader_has_gone:
        sys.exit(0)
    _fail(f"pymesos-cli: {error}")


def _fail(message: str, status: int = EXIT_FAILED) -> None:
    with contextlib.suppress(OutputError):
        note(message)
    sys.exit(status)
