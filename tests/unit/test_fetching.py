"""Nobody has this server fetch what only it can reach.  OWASP, Server Side Request Forgery Prevention"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fhir_server.smart import fetching
from fhir_server.smart.fetching import FetchError, check, fetch, is_public

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: public, max-age=60\r\nAge: 20\r\n\r\n{}"

INNER = [
    "127.0.0.1",
    "127.255.0.9",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:9.9.9.9",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:1::1",
    "169.254.169.254",
    "10.0.0.8",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "0.0.0.0",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "2001:db8::1",
    "not an address",
]


@pytest.mark.parametrize("address", INNER)
def test_an_address_that_is_not_the_internet_s_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe"])
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("address", INNER)
def test_a_name_is_refused_whatever_inner_address_it_has(address):
    """Looked at anew at each fetch: what a name is may change.  One inner address among good ones is enough."""
    check("https://keys.example.org/jwks")

    with pytest.raises(FetchError, match="not public"):
        fetch("https://keys.example.org/jwks", resolve=lambda host, port: ["9.9.9.9", address])


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/jwks",
        "https://2130706433/jwks",
        "https://0x7f000001/jwks",
        "https://0177.0.0.1/jwks",
        "https://127.1/jwks",
        "https://[::1]/jwks",
        "https://[::ffff:127.0.0.1]/jwks",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/jwks",
        "https://mongodb/jwks",
        "https://localhost./jwks",
        "http://keys.example.org/jwks",
        "file:///etc/passwd",
        "gopher://keys.example.org/",
        "//keys.example.org/jwks",
        "https:///jwks",
        "https://user@keys.example.org/jwks",
        "https://keys.example.org/jwks#one",
        "https://keys.example.org\\@127.0.0.1/jwks",
        "https://keys.example.org /jwks",
        "https://keys.example.org/jwks\r\nHost: inner",
        "https://clés.example.org/jwks",
        "https://keys.example.org:0/jwks",
        "https://keys.example.org:99999/jwks",
        "https://[keys.example.org/jwks",
        "",
    ],
)
def test_a_url_is_refused_by_its_text(url):
    def never(host: str, port: int) -> list[str]:
        raise AssertionError("it was resolved")

    with pytest.raises(FetchError):
        fetch(url, resolve=never)


def test_a_name_that_is_not_known_is_refused(monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(FetchError, match="not known"):
        fetch("https://keys.example.org/jwks")


def test_what_is_fetched_says_how_long_it_is_good():
    """RFC 9111 s. 4.2: max-age less Age"""
    with _serving(ANSWER) as port:
        found = fetch(f"http://127.0.0.1:{port}/jwks?x=1", private=True)

    assert (found.body, found.max_age_seconds) == (b"{}", 40)


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("", None),
        ("public", None),
        ("no-store", 0),
        ("max-age=60, no-cache", 0),
        ('max-age="60"', 60),
        ("MAX-AGE=60", 60),
        ("s-maxage=60", None),
        ("max-age=-1", None),
    ],
)
def test_what_cache_control_says_is_read(control, seconds):
    """RFC 9111 s. 5.2.2"""
    with _serving(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: {control}\r\n\r\n{{}}".encode()) as port:
        assert fetch(f"http://127.0.0.1:{port}/", private=True).max_age_seconds == seconds


def test_the_name_is_resolved_once_and_the_connection_goes_there():
    """Between looking at an address and connecting to it, nothing is asked again."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with _serving(ANSWER) as port:
        assert fetch(f"http://keys.example.org:{port}/", private=True, resolve=resolve).body == b"{}"
    assert asked == ["keys.example.org"]


def test_a_redirect_is_not_followed():
    with socket.create_server(("127.0.0.1", 0)) as inner:
        where = f"http://127.0.0.1:{inner.getsockname()[1]}/"
        start = f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
        with _serving(start) as port, pytest.raises(FetchError, match="200"):
            fetch(f"http://127.0.0.1:{port}/", private=True)
        inner.setblocking(False)
        with pytest.raises(BlockingIOError):
            inner.accept()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (fetching.LARGEST + 1),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b" " * (fetching.LARGEST + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"40000\r\n" + b" " * 0x40000 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        b"nonsense",
        b"",
    ],
)
def test_an_answer_without_measure_or_sense_is_refused(answer):
    with _serving(answer) as port, pytest.raises(FetchError):
        fetch(f"http://127.0.0.1:{port}/", private=True)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_who_drips_an_answer_makes_nobody_wait(start):
    with _serving(start, drip=b"x") as port:
        began = time.monotonic()
        with pytest.raises(FetchError, match="in time"):
            fetch(f"http://127.0.0.1:{port}/", private=True, seconds=0.4)

    assert time.monotonic() - began < 60


def test_who_drips_a_handshake_makes_nobody_wait():
    # A TLS record of 16 kB begins and does not end.
    with _serving(b"\x16\x03\x03\x40\x00", drip=b"\x00", at_once=True) as port:
        began = time.monotonic()
        with pytest.raises(FetchError, match="in time"):
            fetch(f"https://127.0.0.1:{port}/", private=True, seconds=0.4)

    assert time.monotonic() - began < 60


def test_nobody_listening_is_told():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError):
            fetch(f"http://127.0.0.1:{probe.getsockname()[1]}/", private=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of keys.example.org, with its key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys.example.org")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("keys.example.org")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "keys.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("host", "trusted", "good"),
    [("keys.example.org", True, True), ("other.example.org", True, False), ("keys.example.org", False, False)],
)
def test_the_certificate_is_checked_against_the_name(certificate, host, trusted, good):
    """RFC 9110 s. 4.3.4: though the connection goes to an address"""
    context = ssl.create_default_context(cafile=str(certificate) if trusted else None)

    with _serving(ANSWER, certificate=certificate) as port:
        url = f"https://{host}:{port}/jwks"
        if good:
            assert fetch(url, private=True, resolve=_here, context=context).body == b"{}"
        else:
            with pytest.raises(FetchError, match="certificate"):
                fetch(url, private=True, resolve=_here, context=context)


def _accepted(listener: socket.socket, certificate: Path | None) -> socket.socket:
    caller, _ = listener.accept()
    if certificate is None:
        return caller
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(caller, server_side=True)


def _here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@contextmanager
def _serving(
    answer: bytes, *, drip: bytes = b"", certificate: Path | None = None, at_once: bool = False
) -> Iterator[int]:
    """A port that gives one caller this answer, and then drips until it is hung up on."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)

    def serve() -> None:
        with suppress(OSError), _accepted(listener, certificate) as caller:
            if not at_once:
                caller.recv(4096)
            caller.sendall(answer)
            while drip:
                time.sleep(0.02)
                caller.sendall(drip)
            caller.shutdown(socket.SHUT_WR)
            caller.recv(4096)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join()
