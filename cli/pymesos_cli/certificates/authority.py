"""`cluster init`, `issue` and `show`: an authority is a folder with two certificates and keys.

The root's key is needed by `init` alone, so it can be kept elsewhere, or put away for good.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click
from cryptography import x509

from pymesos_core.security.authority import (
    Authority,
    certificate_pem,
    identity_of,
    key_pem,
    make_root,
    read_authority,
)
from pymesos_core.security.credentials import CERTIFICATE, KEY, CredentialsError, read_pem
from pymesos_core.security.identities import Identity, IdentityError, read_principal
from pymesos_core.security.issuing import issue, replace_file
from pymesos_core.text import one_line, os_problem

ROOT, ROOT_KEY = "root.pem", "root.key"
SIGNING, SIGNING_KEY = "intermediate.pem", "intermediate.key"
DAY_S = 86400.0
MAX_SHOWN = 500  # characters of a path


def make_authority(folder: Path, cluster: str) -> None:
    """`pymesos-cli cluster init`. Raises click.ClickException."""
    now_s = time.time()
    try:
        root = make_root(cluster, now_s)
    except IdentityError as error:
        raise click.UsageError(f"--name: {error}") from error
    signing = root.make_intermediate("intermediate", now_s)
    _write_new_folder(
        folder,
        {
            ROOT: certificate_pem(root.certificate),
            ROOT_KEY: key_pem(root.key),
            SIGNING: certificate_pem(signing.certificate),
            SIGNING_KEY: key_pem(signing.key),
        },
    )
    click.echo(
        f"the authority of the cluster {cluster} is in {_shown(folder)}\n"
        f"whoever has {SIGNING_KEY} can be anybody in it; {ROOT_KEY} is needed no more, but to\n"
        f"replace that: move it to where no machine of the cluster reaches it"
    )


def issue_certificate(authority: Path, principal: str, folder: Path, days: float) -> None:
    """`pymesos-cli cluster issue`. Raises click.ClickException."""
    signing, root = _read_authority(authority)
    try:
        to = read_principal(signing.cluster, principal)
    except IdentityError as error:
        raise click.UsageError(str(error)) from error
    _check_same_principal(folder, to)
    try:
        certificate = issue(folder, to, signing, root, days * DAY_S, time.time())
    except OSError as error:
        _cannot_write(error)
    until = certificate.not_valid_after_utc
    click.echo(
        f"{to.principal} of {to.cluster}, until {until:%Y-%m-%d %H:%M} UTC, in {_shown(folder)}"
    )


def show_certificate(folder: Path) -> None:
    """`pymesos-cli cluster show`. Raises click.ClickException."""
    try:
        pem = read_pem(folder)
    except CredentialsError as error:
        raise click.ClickException(str(error)) from error
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(pem.ends_s))
    click.echo(f"{pem.identity.principal} of {pem.identity.cluster}, until {until}")


def _read_authority(folder: Path) -> tuple[Authority, bytes]:
    """What signs, and the root's certificate. Raises click.ClickException."""
    try:
        signing, key, root = ((folder / name).read_bytes() for name in (SIGNING, SIGNING_KEY, ROOT))
        authority = read_authority(signing, key)
        _ = authority.cluster
    except OSError as error:
        raise click.ClickException(
            f"{os_problem(error)}. Expected is a folder that `pymesos-cli cluster init` made"
        ) from error
    except ValueError as error:
        raise click.ClickException(
            f"{folder} holds no authority that can be used: {error}"
        ) from error
    if authority.certificate.not_valid_after_utc.timestamp() <= time.time():
        raise click.ClickException(f"{folder / SIGNING} has ended; the cluster needs a new one")
    return authority, root


def _check_same_principal(folder: Path, to: Identity) -> None:
    """A folder is never taken from another principal. Raises click.ClickException."""
    path = folder / CERTIFICATE
    if (folder / SIGNING_KEY).exists():
        raise click.ClickException(
            f"{folder} holds an authority, which must not travel with a certificate: name another"
            f" folder"
        )
    try:
        there = identity_of(x509.load_pem_x509_certificate(path.read_bytes()))
    except FileNotFoundError:
        if (folder / KEY).exists():
            raise click.ClickException(
                f"{folder / KEY} is there without its certificate, so whose it is cannot be said:"
                f" name another folder, or remove it"
            ) from None
        return
    except (OSError, ValueError) as error:
        why = os_problem(error) if isinstance(error, OSError) else f"{path}: {error}"
        raise click.ClickException(f"{why}. Name another folder, or remove it") from error
    if there != to:
        raise click.ClickException(
            f"{folder} holds the certificate of {there.principal} of {there.cluster}: name another"
            f" folder for {to.principal}"
        )


def _write_new_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """All files or none. Raises click.ClickException."""
    made = None
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise click.ClickException(
                f"{folder} is there already and holds something: an authority is never"
                f" overwritten, so name another folder"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".pymesos-", dir=folder.parent))  # 0700
        for name, data in files.items():
            replace_file(made / name, data)
        made.replace(folder)
    except OSError as error:
        _cannot_write(error)
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _shown(folder: Path) -> str:
    return one_line(str(folder), MAX_SHOWN)


def _cannot_write(error: OSError) -> NoReturn:
    raise click.ClickException(f"cannot write there: {os_problem(error)}") from error
