"""TLS for the pipe: keys and requests made where they stay, contexts for clients, words for a handshake that failed.

A gateway's clock may start in 1970: `ignore_dates` then lets the handshake pass without looking at dates, and
`check_dates` looks at them once signed time has come. Everything else of the verification stays on.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocols.errors import ConfigurationError, SecurityError

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME; Python's ssl has no name for it.
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
# How long one step of a diagnosis may take; a broker refuses a certificate at once.
DIAGNOSIS_TIMEOUT_S = 5.0
# With TLS 1.3 a refused client certificate shows only after the handshake: how long to listen for the alert.
ALERT_WAIT_S = 1.0

# OpenSSL's verification results (x509_vfy.h) that have one plain cause.
_VERIFY_WORDS = {
    9: "the broker's certificate is not valid yet: check this machine's clock",
    10: "the broker's certificate has expired",
    18: "the broker's certificate is self-signed and not of the site's authority",
    19: "the broker's certificate is of an unknown authority",
    20: "the broker's certificate is of an unknown authority",
    21: "the broker's certificate is of an unknown authority",
    62: "the broker's certificate is for another name",
    64: "the broker's certificate is for another address",
}
# Pieces of the alerts that a server sends about our certificate.
_ALERT_WORDS = {
    "CERTIFICATE_REQUIRED": "the broker demands a client certificate and got none",
    "HANDSHAKE_FAILURE": "the broker refused the handshake: no common cipher, or no client certificate",
    "UNKNOWN_CA": "the broker does not know the authority of our certificate",
    "BAD_CERTIFICATE": "the broker refused our certificate",
    "CERTIFICATE_EXPIRED": "the broker says that our certificate has expired",
    "CERTIFICATE_REVOKED": "the broker says that our certificate is revoked",
    "CERTIFICATE_UNKNOWN": "the broker refused our certificate",
    "WRONG_VERSION_NUMBER": "there is no TLS on this port",
    "RECORD_LAYER_FAILURE": "there is no TLS on this port",
    "PACKET_LENGTH_TOO_LONG": "there is no TLS on this port",
    "HTTP_REQUEST": "there is no TLS on this port",
    "UNEXPECTED_EOF": "the other side closed the connection in the handshake: it may not speak TLS",
}
_SOCKET_WORDS = {
    TimeoutError: "no answer: the port may be filtered, or what listens there does not speak TLS",
    ConnectionRefusedError: "nothing listens on this port",
    ConnectionResetError: "the other side reset the connection: it may not speak TLS, or refuse our certificate",
}


class TlsFileError(ConfigurationError):
    """A key, certificate or authority file is missing, unreadable or does not belong to the others."""

    code = "PLB-C201"
    do = "check the paths of ca, certificate and key, and that key and certificate were made for each other"


class TlsKeyExistsError(ConfigurationError):
    """A key would overwrite one that is there; keys are never made twice at one place."""

    code = "PLB-C202"
    do = "keep the key, or move it away first"


class CertificateDatesError(SecurityError):
    """A certificate that was accepted without a clock is outside its dates."""

    code = "PLB-X201"
    do = "renew the certificate at the broker, or find out who answers at its address"


class _PromptSocket(ssl.SSLSocket):
    """Its time-out bounds the whole handshake; ssl's own bounds each step, and a server that drips bytes has many."""

    def do_handshake(self, block: bool = False) -> None:
        """As in `ssl.SSLSocket`, with one deadline where there is a time-out."""
        timeout_s = self.gettimeout()
        if not timeout_s:
            super().do_handshake(block)
            return
        deadline = time.monotonic() + timeout_s
        self.settimeout(0.0)
        try:
            while (event := self._step()) and _wait(self, event, deadline):
                pass
        finally:
            self.settimeout(timeout_s)

    def _step(self) -> int:
        """Go as far as there are bytes; what to wait for then, or 0 when done."""
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        return 0


class TlsContext(ssl.SSLContext):
    """A client's context that expects one name in the server's certificate, whatever host the socket was opened to."""

    server_name: str | None = None
    sslsocket_class = _PromptSocket

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """As in `ssl.SSLContext`, with `server_name` in place of the host where one is set."""
        if self.server_name is not None:
            kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(*args, **kwargs)


def make_tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A new P-256 key, written to `path` as unencrypted PKCS #8 PEM with mode 0600.

    Raises:
        TlsKeyExistsError: there is a file already; it is left as it is.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise TlsKeyExistsError("no file", "a file", str(path)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def load_tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in the PEM file `path`.

    Raises:
        TlsFileError: no such file, or no P-256 key in it.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise TlsFileError("a PEM key", str(error), str(path)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TlsFileError("a P-256 key", type(key).__name__, str(path))
    return key


def make_csr(key: ec.EllipticCurvePrivateKey, common_name: str) -> bytes:
    """A PEM certificate request for `common_name`, signed by `key`."""
    from cryptography import x509  # noqa: PLC0415 - 1 MB that a daemon need not have

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def client_context(
    ca: Path,
    certificate: Path | None,
    key: Path | None,
    *,
    server_name: str | None = None,
    ignore_dates: bool = False,
) -> TlsContext:
    """A context for TLS 1.2 or newer that trusts `ca` alone and shows `certificate` (None: none, for checks).

    Args:
        ca: PEM file of the site's authority.
        certificate: PEM file of our certificate.
        key: PEM file of its key.
        server_name: the name that the server's certificate must have; None: the host that is connected to.
        ignore_dates: do not look at the dates of any certificate (our clock is unset).

    Raises:
        TlsFileError: a file is missing or wrong.
    """
    context = TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ignore_dates:
        context.verify_flags |= NO_CHECK_TIME
    place = f"{ca}, {certificate}, {key}"
    try:
        context.load_verify_locations(cafile=str(ca))
        if certificate is not None and key is not None:
            context.load_cert_chain(str(certificate), str(key))
    except (OSError, ssl.SSLError) as error:
        raise TlsFileError("an authority, a certificate and its key", str(error), place) from error
    return context


def check_dates(certificate_der: bytes, now_ms: int) -> None:
    """Pass when `now_ms` (UTC) lies within the certificate's dates.

    Raises:
        CertificateDatesError: it does not, or the certificate shows none.
    """
    from cryptography import x509  # noqa: PLC0415 - 1 MB that a daemon need not have

    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
    except ValueError as error:
        raise CertificateDatesError("a certificate with dates", f"{error}", certificate_der[:16].hex()) from None
    start_ms = int(certificate.not_valid_before_utc.timestamp() * 1000)
    end_ms = int(certificate.not_valid_after_utc.timestamp() * 1000)
    if not start_ms <= now_ms <= end_ms:
        dates = f"{certificate.not_valid_before_utc.isoformat()} to {certificate.not_valid_after_utc.isoformat()}"
        raise CertificateDatesError(f"a certificate valid at {now_ms} ms", dates, certificate.subject.rfc4514_string())


def diagnose(host: str, port: int, context: ssl.SSLContext) -> str | None:
    """Why no connection comes about, in words, or None where TLS works: a handshake and nothing else, no byte of ours.

    It blocks for at most about 11 s; call it in a thread.
    """
    try:
        with socket.create_connection((host, port), timeout=DIAGNOSIS_TIMEOUT_S) as plain:
            return _diagnose_tls(host, plain, context)
    except OSError as error:
        return _socket_words(error)


def _wait(secured: ssl.SSLSocket, event: int, deadline: float) -> bool:
    """True once `event` has come; TimeoutError after the deadline."""
    with selectors.DefaultSelector() as selector:
        selector.register(secured, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError("the TLS handshake took too long")
    return True


def _diagnose_tls(host: str, plain: socket.socket, context: ssl.SSLContext) -> str | None:
    with context.wrap_socket(plain, server_hostname=host) as secured:
        secured.settimeout(ALERT_WAIT_S)
        try:
            first = secured.recv(1)
        except TimeoutError:
            return None  # the broker waits for our CONNECT: TLS is well
    if first:
        return "what answers is not an MQTT broker: it spoke first"
    return "the broker closed the connection after the handshake: it may refuse our certificate"


def _socket_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return _ssl_words(error)
    if isinstance(error, socket.gaierror):
        return f"the host's name is unknown ({error.strerror})"
    for kind, words in _SOCKET_WORDS.items():
        if isinstance(error, kind):
            return words
    return f"no connection ({error.strerror or error})"


def _ssl_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        words = _VERIFY_WORDS.get(error.verify_code, "the broker's certificate does not hold")
        return f"{words} ({error.verify_message})"
    reason = (error.reason or str(error)).replace(" ", "_").upper()
    for piece, words in _ALERT_WORDS.items():
        if piece in reason:
            return f"{words} ({reason})"
    return f"the TLS handshake failed ({reason})"
