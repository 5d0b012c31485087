"""What others publish, fetched without being led astray: public addresses only, by https, bounded in size and time.

The name is resolved once, every address it has is looked at, and the connection goes to one of those; the certificate
is checked against the name.  No redirect is followed and no proxy of the environment is used.

OWASP, Server Side Request Forgery Prevention; RFC 8725 s. 3.10
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

#: All of a fetch, after the name is resolved.
SECONDS = 5.0
LARGEST = 256_000

_PORTS = {"https": 443, "http": 80}
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.ASCII | re.IGNORECASE)
_UNKEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])", re.ASCII | re.IGNORECASE)

Addresses = Callable[[str, int], list[str]]


class FetchError(Exception):
    """It was not fetched.  The message says why, in words that may be shown; it holds nothing that was received."""


@dataclass(frozen=True)
class Fetched:
    """
    What was at the address.

    max_age_seconds   how long it may be remembered; None where the answer does not say.  RFC 9111 s. 5.2.2
    """

    body: bytes
    max_age_seconds: int | None


def addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system resolves its name.  Raises FetchError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchError("its host is not known") from None
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def check(url: str, *, private: bool = False) -> SplitResult:
    """
    The parts of a URL that may be fetched, as far as its text tells.  Raises FetchError.

    private: whether addresses that are not public, and plain http, will do.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise FetchError("it is no URL") from None
    if parts.geturl() != url or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise FetchError("it is no URL")
    if parts.scheme not in ("https", "http") or (parts.scheme == "http" and not private):
        raise FetchError("it does not begin with https://")
    if not host or port == 0:
        raise FetchError("it has no host")
    if "@" in parts.netloc or "#" in url:
        raise FetchError("it has a user or a fragment in it")
    literal = _literal(host)
    if not private and (not is_public(literal) if literal else "." not in host.rstrip(".")):
        raise FetchError("its host is not public")
    return parts


def is_public(address: str) -> bool:
    """
    Whether an address is one of the Internet's, by the IANA registries; not if an inner one is hidden in it.

    >>> [is_public(one) for one in ("9.9.9.9", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2620:fe::fe")]
    [True, False, False, False, True]
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        # 2000::/3 is what is given out of IPv6; in it, 2002::/16 and 2001::/32 carry addresses of IPv4.
        given_out = found in ipaddress.ip_network("2000::/3")
        return given_out and found.is_global and not found.sixtofour and not found.teredo
    return found.is_global and not found.is_multicast and not found.is_reserved


def fetch(
    url: str,
    *,
    private: bool = False,
    seconds: float = SECONDS,
    resolve: Addresses = addresses,
    context: ssl.SSLContext | None = None,
) -> Fetched:
    """
    What is at `url`, which answers 200 and sends its body as it is.  Raises FetchError.

    resolve, context   how names become addresses, and which certificates are good: the system's, if not given
    """
    parts = check(url, private=private)
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    found = resolve(host, port)
    if not found or not (private or all(map(is_public, found))):
        raise FetchError("its host is not public")
    connection = _Pinned(host, port, found[0], context=None if parts.scheme == "http" else context or _checked())
    end = threading.Timer(seconds, connection.hang_up)
    end.daemon = True
    end.start()
    try:
        return _received(connection, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", seconds)
    except ssl.SSLCertVerificationError:
        raise FetchError("its certificate is not good") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise FetchError("it did not answer as it should in time") from None
    finally:
        end.cancel()
        connection.close()


def _received(connection: _Pinned, path: str, seconds: float) -> Fetched:
    connection.timeout = seconds
    connection.request("GET", path, headers={"Accept": "application/json", "Accept-Encoding": "identity"})
    with connection.getresponse() as answer:
        if answer.status != 200:
            raise FetchError("it did not answer 200")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchError("its answer is compressed")
        body = answer.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise FetchError("it is too large")
        if connection.ended or (answer.length or 0) > 0:
            raise FetchError("it did not answer as it should in time")
        return Fetched(body, _max_age(answer.headers.get("Cache-Control", ""), answer.headers.get("Age", "0")))


def _max_age(control: str, age: str) -> int | None:
    """The seconds that are left of it.  RFC 9111 s. 4.2"""
    if _UNKEPT.search(control):
        return 0
    found = _MAX_AGE.search(control)
    return max(0, int(found[1]) - (int(age) if age.isascii() and age.isdigit() else 0)) if found else None


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, whatever the name it was found by says later."""

    def __init__(self, host: str, port: int, address: str, *, context: ssl.SSLContext | None):
        super().__init__(host, port)
        self.default_port = port if port in _PORTS.values() else 0  # which need not be said in `Host`
        self._address = address
        self._context = context
        #: The base class forgets its socket before the body of an answer is read.
        self._open: socket.socket | None = None
        self.ended = False

    def connect(self) -> None:
        """Connect, and with https see that the certificate is for the name."""
        self.sock: Any = socket.create_connection((self._address, self.port), self.timeout)
        if self._context is not None:
            self.sock = self._context.wrap_socket(
                self.sock, server_hostname=self.host.rstrip("."), do_handshake_on_connect=False
            )
        self._open = self.sock
        if self._context is not None:
            self.sock.do_handshake()
        if self.ended:
            raise OSError("out of time")

    def hang_up(self) -> None:
        """Time is up, however far it is: who drips its answer makes nobody wait."""
        self.ended = True
        if self._open is None:
            return
        try:
            self._open.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was closed meanwhile


def _checked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _literal(host: str) -> str | None:
    """The address that a host is, in whichever spelling a resolver takes: 2130706433 and 0x7f.1 are 127.0.0.1."""
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
