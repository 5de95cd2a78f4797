"""TLS from a mounted certificate and key, for both transports; renewed files hold for the next handshake."""

import ssl
from pathlib import Path
from typing import Any

import grpc

from serving.errors import Refusal
from serving.logs import Log
from serving.mounted import MountedFile


class Tls:
    """The server's certificate chain and private key, PEM.

    :raises Refusal: they cannot be read, or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path, log: Log) -> None:
        self._certificate = MountedFile(certificate)
        self._key = MountedFile(key)
        self._log = log
        self.context = _context()
        self._certificate.changed()
        self._key.changed()
        fault = self._load()
        if fault is not None:
            raise Refusal(fault)

    def look(self) -> None:
        """Take the files if one is another than last time. Ones that do not fit leave the old ones in use."""
        if not any([self._certificate.changed(), self._key.changed()]):
            return
        fault = self._load()
        if fault is None:
            self._log.info("certificate taken", file=str(self._certificate.path))
        else:
            self._log.error("certificate refused", reason=fault)

    def grpc_credentials(self) -> Any:
        """Credentials that ask for the certificate at every handshake."""
        return grpc.dynamic_ssl_server_credentials(self._grpc, lambda: self._grpc)

    def _load(self) -> str | None:
        """Use the files from now on; None, or what is wrong with them."""
        files = (str(self._certificate.path), str(self._key.path))
        certificate, key = self._certificate.text, self._key.text
        try:
            # Into another context first: one that failed half-way would have lost its old pair. No prompt for a passphrase.
            _context().load_cert_chain(*files, password="")
            self.context.load_cert_chain(*files, password="")
        except OSError as error:  # ssl.SSLError is one
            return f"{files[0]} and {files[1]} are no certificate with its key: {error.strerror or error}"
        if certificate is None or key is None:
            return f"{files[0]} or {files[1]} has just been replaced"
        self._grpc = grpc.ssl_server_certificate_configuration([(key, certificate)])
        return None


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
