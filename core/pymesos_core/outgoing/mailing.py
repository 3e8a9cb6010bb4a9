"""Mail by SMTP. It blocks, so that it is sent in a thread."""

from __future__ import annotations

import contextlib
import io
import logging
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from typing import Any

from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.receivers import Email, Tls
from pymesos_core.outgoing.secret_files import read_secret
from pymesos_core.text import one_line, os_problem

log = logging.getLogger(__name__)

TIMEOUT_S = 20.0  # for each answer of the server
MOST_S = 60.0  # for all of them
MOST_BYTES = 1 << 16  # that a server answers while it takes one mail
SHOWN = 300


def send_mail(to: Email, message: EmailMessage) -> None:
    """Return once the server has taken it. Raises UnsentError, which repeats no password."""
    refused: Mapping[str, object] | None = None
    try:
        with _connected(to) as server:
            if to.username:
                server.login(to.username, read_secret(to.password) if to.password else "")
            refused = server.send_message(message)
    except smtplib.SMTPAuthenticationError as error:
        raise UnsentError(
            f"its server refuses the user or the password ({error.smtp_code})"
        ) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        told = f"its server: {one_line(str(error), SHOWN)}"
        raise UnsentError(told, refused=error.smtp_code >= 500) from None  # else: come again
    except smtplib.SMTPException as error:
        if refused is None:  # else it has the mail, and has answered oddly to our goodbye
            raise UnsentError(f"its server: {one_line(str(error), SHOWN)}") from None
    except ssl.SSLError as error:
        raise UnsentError(f"TLS with its server failed: {one_line(str(error), SHOWN)}") from None
    except OSError as error:
        raise UnsentError(f"its server cannot be reached: {os_problem(error)}") from None
    except ValueError:  # as of a challenge that is not base64
        raise UnsentError("its server answers what is not SMTP") from None
    if refused:  # the others have it, and are not to get it again
        log.warning("mail to %s: its server refuses %s", to.name, ascii(sorted(refused)))


class _Answers(io.RawIOBase):
    """What a server says, within bounds: one whose first answer never ends is no such server."""

    def __init__(self, connection: socket.socket, until_s: float) -> None:
        self._connection = connection
        self._until_s = until_s
        self._left_bytes = MOST_BYTES

    def readable(self) -> bool:
        """Whether `readinto` works: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises OSError."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0 or self._left_bytes <= 0:
            raise OSError("its answers do not end")
        self._connection.settimeout(min(TIMEOUT_S, left_s))
        read = self._connection.recv_into(buffer)
        self._left_bytes -= read
        return read


class _Smtp(smtplib.SMTP):
    """A client that reads answers for so long, and so many bytes of them, and then gives up."""

    _until_s = 0.0

    def getreply(self) -> tuple[int, bytes]:
        """See smtplib, which makes a file of its own where it finds none."""
        self._until_s = self._until_s or time.monotonic() + MOST_S
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Answers(self.sock, self._until_s))
        return super().getreply()


class _SmtpTls(_Smtp, smtplib.SMTP_SSL):
    """The same, over TLS from the first byte on."""


def _secured(to: Email) -> ssl.SSLContext:
    """Raises UnsentError."""
    try:
        return ssl.create_default_context(cafile=to.authorities)
    except OSError as error:  # SSLError is one
        raise UnsentError(f"its ca_file cannot be used: {os_problem(error)}") from None


@contextlib.contextmanager
def _connected(to: Email) -> Iterator[smtplib.SMTP]:
    host, port = to.server.host, to.server.port
    context = _secured(to) if to.tls is not Tls.NONE else None
    if to.tls is Tls.TLS:
        with _SmtpTls(host, port, timeout=TIMEOUT_S, context=context) as server:
            yield server
        return
    with _Smtp(host, port, timeout=TIMEOUT_S) as server:
        if to.tls is Tls.STARTTLS:
            server.starttls(context=context)
        yield server
