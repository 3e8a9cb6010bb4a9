"""TLS of what does not speak gRPC: the same certificates, and what the gate is told of peers.

A client may come without a certificate: the gate then knows nobody, and lets in who needs nothing.
"""

from __future__ import annotations

import os
import ssl
from asyncio.sslproto import SSLProtocol

from pymesos_core.security.credentials import Credentials, Pem
from pymesos_core.security.gate import Authentication
from pymesos_core.security.identities import DOMAIN
from pymesos_core.security.public_certificate import PublicCertificate

# Of each connection, as much as a record of TLS has at most. asyncio takes 256 KiB, and there are
# hundreds of connections on which little is said.
BUFFER_BYTES = 16 * 1024


def server_context(
    credentials: Credentials, public: PublicCertificate | None = None
) -> ssl.SSLContext:
    """A context that shows the certificate of this process as it is when a client comes.

    Who names another server than those of the cluster is shown the public one, if there is any.
    """
    SSLProtocol.max_size = BUFFER_BYTES
    own = f".{credentials.identity.cluster}.{DOMAIN}"
    shown: dict[bool, tuple[Pem, ssl.SSLContext]] = {}

    def renewed(connection: ssl.SSLObject, name: str | None, _first: ssl.SSLContext) -> None:
        pem, is_public = credentials.current(), False
        if public is not None and name is not None and not name.lower().endswith(own):
            pem, is_public = public.shown_by(pem), True
        if is_public not in shown or shown[is_public][0] != pem:
            shown[is_public] = (pem, _context_of(pem))
        connection.context = shown[is_public][1]

    first = _context_of(credentials.current())
    # It is called for each connection, whether or not the client names the server.
    first.sni_callback = renewed
    return first


def client_context(pem: Pem) -> ssl.SSLContext:
    """A context for connections to servers of the cluster, which checks the name that is asked of
    it, and shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _fill(context, pem)
    return context


def _context_of(pem: Pem) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Who comes again is checked again: TLS 1.3 resumes no session without a ticket, while TLS 1.2
    # would by the session's id.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    _fill(context, pem)
    return context


def _fill(context: ssl.SSLContext, pem: Pem) -> None:
    """Give a context the roots, and the certificate with its key."""
    context.load_verify_locations(cadata=pem.roots.decode("ascii"))
    # The ssl module reads certificates and keys from files only; this one is in memory alone.
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, pem.key + b"\n" + pem.chain)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def authentication_of(connection: ssl.SSLObject | None) -> Authentication:
    """What the gate is told of the other end; nothing of one that has shown no certificate."""
    seen = connection.getpeercert() if connection is not None else None
    if connection is None or not seen:
        return {}
    names = seen.get("subjectAltName", ())
    leaf = connection.getpeercert(binary_form=True)
    assert leaf is not None
    assert isinstance(names, tuple)
    chain = _chain_of(connection)
    if not chain:  # of a session that was resumed, for which nothing was verified
        return {}
    return {
        "peer_uri": [str(name).encode() for kind, name in names if kind == "URI"],
        "x509_pem_cert": [ssl.DER_cert_to_PEM_cert(leaf).encode()],
        "x509_pem_cert_chain": ["".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode()],
    }


def _chain_of(connection: ssl.SSLObject) -> list[bytes]:
    """The certificates by which the peer's was verified, in DER."""
    if hasattr(connection, "get_verified_chain"):  # from Python 3.13 on
        return list(connection.get_verified_chain())
    found = connection._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found]
