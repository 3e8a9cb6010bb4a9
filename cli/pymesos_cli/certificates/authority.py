"""`cluster init`, `issue` and `show`: an authority is a folder with two certificates and keys.

The root's key is needed where a master is issued what it signs with, so it can be kept elsewhere
otherwise.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from pymesos_core.private import read_file, read_private
from pymesos_core.security.authority import (
    Authority,
    certificate_pem,
    identity_of,
    key_pem,
    make_root,
    read_authority,
)
from pymesos_core.security.credentials import (
    CERTIFICATE,
    KEY,
    MAX_FILE_BYTES,
    ROOTS,
    CredentialsError,
    read_pem,
)
from pymesos_core.security.identities import Identity, IdentityError, Kind, read_principal
from pymesos_core.security.issuing import (
    SIGNING,
    SIGNING_KEY,
    issue,
    put_authority,
    replace_file,
)
from pymesos_core.security.reading import read_certificate, read_certificates
from pymesos_core.security.secrets import KEY_FILE, KeyringError, add_key, key_file_bytes
from pymesos_core.text import one_line, os_problem

ROOT, ROOT_KEY = "root.pem", "root.key"
MASTER, OPERATOR = "master", "operator"  # folders that `init` makes
DAY_S = 86400.0
FIRST_DAYS = 90.0  # of what is issued by hand; a master's authority renews it for less
MAX_SHOWN = 500  # characters of a path


def make_authority(folder: Path, cluster: str, master: str, operator: str) -> None:
    """`pymesos-cli cluster init`. Raises click.ClickException."""
    now_s = time.time()
    try:
        root = make_root(cluster, now_s)
    except IdentityError as error:
        raise click.UsageError(f"--name: {error}") from error
    first = _first_of(cluster, master, operator)
    signing = root.make_intermediate("intermediate", now_s)
    roots = certificate_pem(root.certificate)

    def fill(made: Path) -> None:
        replace_file(made / ROOT, roots)
        replace_file(made / ROOT_KEY, key_pem(root.key))
        replace_file(made / SIGNING, certificate_pem(signing.certificate))
        replace_file(made / SIGNING_KEY, key_pem(signing.key))
        for name, to in first.items():
            issue(made / name, to, signing, roots, FIRST_DAYS * DAY_S, now_s)
        of_master = root.make_intermediate(first[MASTER].principal, now_s)
        put_authority(made / MASTER, of_master)
        add_key(made / KEY_FILE)
        replace_file(made / MASTER / KEY_FILE, key_file_bytes(made / KEY_FILE))

    _make_folder(folder, fill)
    shown = _shown(folder)
    click.echo(
        f"the authority of the cluster {cluster} is in {shown}\n"
        f"{shown}/{MASTER} is what {first[MASTER].principal} takes with --tls, {shown}/{OPERATOR}"
        f" what {first[OPERATOR].principal} does\n"
        f"whoever has {SIGNING_KEY} or {ROOT_KEY} can be anybody in the cluster: move {shown} to"
        f" where\nno machine of the cluster reaches it, but for those two folders"
    )


def _first_of(cluster: str, master: str, operator: str) -> dict[str, Identity]:
    """Who begins a cluster, by their folders. Raises click.UsageError."""
    made = {}
    for flag, kind, name in (
        ("--master", Kind.MASTER, master),
        ("--operator", Kind.OPERATOR, operator),
    ):
        try:
            made[str(kind)] = Identity(cluster, kind, name)
        except IdentityError as error:
            raise click.UsageError(f"{flag}: {error}") from error
    return made


def issue_certificate(authority: Path, principal: str, folder: Path, days: float) -> None:
    """`pymesos-cli cluster issue`. Raises click.ClickException."""
    signing, root = _read_authority(authority)
    try:
        to = read_principal(signing.cluster, principal)
    except IdentityError as error:
        raise click.UsageError(str(error)) from error
    _check_same_principal(folder, to)
    try:
        of_master = _authority_of(authority, to) if to.kind == Kind.MASTER else None
        roots = _with_roots_there(folder, root)
        certificate = issue(folder, to, signing, roots, days * DAY_S, time.time())
        if of_master is not None:
            put_authority(folder, of_master)
        if to.kind == Kind.MASTER and not (folder / KEY_FILE).exists():
            with contextlib.suppress(FileNotFoundError):  # of a version that knew no secrets
                replace_file(folder / KEY_FILE, key_file_bytes(authority / KEY_FILE))
    except KeyringError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        _cannot_write(error)
    until = certificate.not_valid_after_utc
    click.echo(
        f"{to.principal} of {to.cluster}, until {until:%Y-%m-%d %H:%M} UTC, in {_shown(folder)}"
    )


def make_secrets_key(file: Path) -> None:
    """`pymesos-cli cluster secrets-key`. Raises click.ClickException."""
    try:
        there = file.exists()
        key_id = add_key(file)
    except KeyringError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        _cannot_write(error)
    shown = _shown(file)
    what = f"is on top in {shown}, and seals from now on" if there else f"is in {shown}"
    click.echo(
        f"the key {key_id} {what}\n"
        f"give the file to every master, the one that leads last, as {KEY_FILE} in the folder of"
        f" --tls, for\nits owner alone, and start them again; keep a copy where no backup of the"
        f" registry is"
    )


def show_certificate(folder: Path) -> None:
    """`pymesos-cli cluster show`. Raises click.ClickException."""
    try:
        pem = read_pem(folder)
    except CredentialsError as error:
        raise click.ClickException(str(error)) from error
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(pem.ends_s))
    click.echo(f"{pem.identity.principal} of {pem.identity.cluster}, until {until}")
    leaf, *above = read_certificates(pem.chain)
    for certificate in (leaf, *above):
        what = "its serial number is" if certificate is leaf else "signed below"
        click.echo(f"{what} {certificate.serial_number:x}")


def _with_roots_there(folder: Path, root: bytes) -> bytes:
    """The root, and others of a folder, in PEM: two are in force while one is replaced.

    Raises OSError, click.ClickException.
    """
    try:
        there = read_certificates(read_file(folder / ROOTS, MAX_FILE_BYTES))
    except FileNotFoundError:
        return root
    except ValueError as error:
        raise click.ClickException(f"{folder / ROOTS} holds no certificates: {error}") from error
    own = read_certificate(root)
    return certificate_pem(own, *(other for other in there if other != own))


def _authority_of(folder: Path, master: Identity) -> Authority | None:
    """A new one that this master signs with; None when the root's key is put away.

    Raises OSError, click.ClickException.
    """
    try:
        key = read_private(folder / ROOT_KEY, MAX_FILE_BYTES)
    except FileNotFoundError:
        click.echo(
            f"{_shown(folder / ROOT_KEY)} is not there, so {master.principal} signs nothing:"
            f" it can lead, and nobody joins or renews through it. Put the key there, and issue it"
            f" again",
            err=True,
        )
        return None
    except PermissionError as error:
        raise click.ClickException(os_problem(error)) from error
    try:
        root = read_authority(read_file(folder / ROOT, MAX_FILE_BYTES), key)
    except ValueError as error:
        raise click.ClickException(f"{folder / ROOT_KEY} cannot be used: {error}") from error
    return root.make_intermediate(master.principal, time.time())


def _read_authority(folder: Path) -> tuple[Authority, bytes]:
    """What signs, and the root's certificate. Raises click.ClickException."""
    try:
        signing, root = (read_file(folder / name, MAX_FILE_BYTES) for name in (SIGNING, ROOT))
        key = read_private(folder / SIGNING_KEY, MAX_FILE_BYTES)
        authority = read_authority(signing, key)
        _ = authority.cluster
    except PermissionError as error:
        raise click.ClickException(os_problem(error)) from error
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
    try:
        if (folder / ROOT).exists():
            raise click.ClickException(
                f"{folder} holds an authority, which must not travel with a certificate: name"
                f" another folder"
            )
        there = identity_of(read_certificate(read_file(path, MAX_FILE_BYTES)))
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


def _make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """All that it is filled with or nothing. Raises click.ClickException."""
    made = None
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise click.ClickException(
                f"{folder} is there already and holds something: an authority is never"
                f" overwritten, so name another folder"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".pymesos-", dir=folder.parent))  # 0700
        fill(made)
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
