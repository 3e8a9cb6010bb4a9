"""Mail by SMTP. It blocks, so that it is sent in a thread."""

from __future__ import annotations

import contextlib
import logging
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage

from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.receivers import Email, Tls
from pymesos_core.outgoing.secret_files import read_secret
from pymesos_core.text import one_line, os_problem

log = logging.getLogger(__name__)

TIMEOUT_S = 20.0  # for each answer of the server
SHOWN = 300


def send_mail(to: Email, message: EmailMessage) -> None:
    """Return once the server has taken it. Raises UnsentError, which repeats no password."""
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
        raise UnsentError(f"its server: {one_line(str(error), SHOWN)}") from None
    except ssl.SSLError as error:
        raise UnsentError(f"TLS with its server failed: {one_line(str(error), SHOWN)}") from None
    except OSError as error:
        raise UnsentError(f"its server cannot be reached: {os_problem(error)}") from None
    if refused:  # the others have it, and are not to get it again
        log.warning("mail to %s: its server refuses %s", to.name, ascii(sorted(refused)))


@contextlib.contextmanager
def _connected(to: Email) -> Iterator[smtplib.SMTP]:
    host, port = to.server.host, to.server.port
    context = ssl.create_default_context(cafile=to.authorities)
    if to.tls is Tls.TLS:
        with smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context) as server:
            yield server
        return
    with smtplib.SMTP(host, port, timeout=TIMEOUT_S) as server:
        if to.tls is Tls.STARTTLS:
            server.starttls(context=context)
        yield server
