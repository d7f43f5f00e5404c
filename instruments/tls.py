"""Certificates for servers on loopback, made for the moment, by an authority that nobody knows."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """A server's ``certificate``, its key before it, and who vouches for it: files in PEM."""

    certificate: Path
    authority: Path

    def server(self) -> ssl.SSLContext:
        """Return what a server shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context

    def client(self) -> ssl.SSLContext:
        """Return what a client believes, nobody else."""
        return ssl.create_default_context(cafile=self.authority)


def make_identity(folder: Path, name: str = "127.0.0.1", until: datetime | None = None) -> Identity:
    """Make the identity of a server called ``name``, good ``until`` then, into a folder."""
    try:
        import trustme
    except ImportError:
        raise RuntimeError("trustme is not installed: pip install --group test") from None
    authority = trustme.CA()
    begins = None if until is None else datetime(2001, 1, 1, tzinfo=UTC)
    made = authority.issue_cert(name, not_before=begins, not_after=until)
    folder.mkdir(parents=True, exist_ok=True)
    identity = Identity(folder / "server.pem", folder / "authority.pem")
    made.private_key_and_cert_chain_pem.write_to_path(identity.certificate)
    authority.cert_pem.write_to_path(identity.authority)
    return identity
