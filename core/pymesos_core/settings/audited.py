"""Settings of the roles that write an audit: where, and how much."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pymesos_core import limits
from pymesos_core.directories import FULL
from pymesos_core.exits import RoleError
from pymesos_core.limits import MAX_SAID
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.settings import MIB, folder, text, whole
from pymesos_core.settings.server import ServerSettings
from pymesos_core.text import one_line, os_problem

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditedSettings(ServerSettings):
    """What a server may be told, and where its audit goes."""

    audit_dir: Path | None = folder(
        None,
        default_text="audit in the role's directory with --tls, else none",
        help="Where the audit is written: one line for each call that changes something, and for"
        " each that is denied.",
    )
    audit_max_mib: int = whole(
        256,
        8,
        1_000_000,
        unit=MIB,
        help="What the files of the audit may take; the oldest go.",
    )
    no_audit: str | None = text(
        None,
        metavar="REASON",
        default_text="it is written",
        help="Write no audit in spite of --tls; the reason is logged.",
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """See Settings."""
        yield from super().problems()
        if self.no_audit is not None and self.audit_dir is not None:
            yield "no_audit", "--audit-dir is given, too: leave one of them out"

    @property
    def audited(self) -> bool:
        """Whether an audit is written."""
        return self.no_audit is None and (self.audit_dir is not None or self.tls is not None)

    def open_audit(self, directory: Path) -> AuditFiles | None:
        """Open the audit, if one is written: in --audit-dir, or below the role's directory.

        Raises RoleError.
        """
        if self.no_audit is not None:
            log.warning("no audit is written: %s", one_line(self.no_audit, MAX_SAID))
        if not self.audited:
            return None
        files = AuditFiles(self.audit_dir or directory / "audit", self.audit_max_mib * limits.MIB)
        try:
            files.open()
        except OSError as error:
            if error.errno not in FULL:  # then nothing is changed for operators
                raise RoleError(f"the audit cannot be written: {os_problem(error)}") from error
            log.error("the audit cannot be written: %s", os_problem(error))
        return files
