"""Settings: one table, `FHIR_SERVER_<NAME>`; an unknown name stops the start.  And where the carried data lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

PREFIX = "FHIR_SERVER_"
#: A key of fewer characters could be guessed.
LEAST_KEY = 32


class ConfigError(Exception):
    """A setting that is not known or cannot be read.  The message is one line, for the operator."""


@dataclass(frozen=True)
class Setting:
    """A row of the settings table.  secret: no message repeats its value."""

    name: str
    read: Callable[[str], Any]
    default: Any
    help: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that holds it."""
        return PREFIX + self.name.upper()


def _flag(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise ValueError("expected true or false")
    return known[text.lower()]


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) == 0:
        raise ValueError("expected a whole number above 0")
    return int(text)


def _whole(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _emergency(text: str) -> int:
    if not 60 <= (seconds := _positive(text)) <= 3_600:
        raise ValueError("expected 60 to 3600 seconds")
    return seconds


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected an http:// or https:// URL")
    if parts.path.rstrip("/").endswith("/fhir"):
        raise ValueError("leave out `/fhir`, which the server adds")
    return text.rstrip("/")


def _key(text: str) -> str:
    if any(len(line.strip()) < LEAST_KEY for line in text.strip().splitlines() or [""]):
        raise ValueError(f"expected {LEAST_KEY} characters or more")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError("expected a time zone such as Europe/Paris") from None
    return text


def _database(text: str) -> str:
    if not text or len(text.encode()) > 63 or any(character in text for character in '/\\. "$*<>:|?\0'):
        raise ValueError("expected a name of a database, of letters, digits, `-` and `_`")
    return text


def _long(text: str) -> str:
    if len(text) < 32:
        raise ValueError("expected 32 characters or more, from a random source")
    return text


def _mail_server(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("expected smtps://USER:PASSWORD@HOST:PORT, or smtp:// for STARTTLS")
    return text


def _gateway(text: str) -> str:
    parts = urlsplit(text)
    near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme != "https" and not (near and parts.scheme == "http"):
        raise ValueError("expected an https:// URL")
    return text


def _address(text: str) -> str:
    if "@" not in parseaddr(text)[1] or not text.isprintable():
        raise ValueError("expected an e-mail address, with a name or without")
    return text


SETTINGS = (
    Setting(
        "mongodb_uri",
        str,
        None,
        "MongoDB to use as given (replica set or sharded); without it, one under the data dir.",
        secret=True,
    ),
    Setting("mongodb_database", _database, "fhir", "Name of the database."),
    Setting(
        "base_url", _url, None, "Fixes every absolute URL, without `/fhir`; default http://HOST:PORT of the command."
    ),
    Setting("timezone", _zone, "Europe/Paris", "Zone of dates written without one."),
    Setting("max_body_bytes", _positive, 16_000_000, "Largest request body; beyond it 413."),
    Setting("max_bundle_entries", _positive, 5_000, "Largest batch or transaction; beyond it 413."),
    Setting("max_count", _positive, 1_000, "Largest page of a search or a history."),
    Setting("default_count", _positive, 20, "Page size when `_count` is not given."),
    Setting("update_as_create", _flag, True, "PUT to an id that is not there creates it."),
    Setting("demanded_profiles", str, "", "Profiles demanded of writers, `CALLER:Type=URL,…` with spaces between."),
    Setting("check_references", _flag, False, "Refuse references to resources that are not here."),
    Setting(
        "habilitation_matrix",
        str,
        None,
        "File of the habilitation matrix, profession × class of document; without it, the demonstrator's.",
    ),
    Setting("query_timeout_ms", _positive, 20_000, "A query that takes longer is answered 503."),
    Setting("slow_query_ms", _whole, 1_000, "A query that takes longer is told to the log, with its plan; 0 for none."),
    Setting(
        "audit_key",
        _key,
        None,
        "Key of the record of accesses; without it, that of a file in the data dir.",
        secret=True,
    ),
    Setting("audit_key_file", Path, None, "File that holds this key; on further lines, those of earlier days."),
    Setting("audit_anchors", Path, None, "File that the heads of the record of accesses are appended to."),
    Setting("brand_name", str, "fhir-server", "What apps call this record where people choose one."),
    Setting("brand_website", _url, None, "The website behind that name; default the base URL."),
    Setting(
        "brands", str, None, "File with a brand bundle of your own (SMART: brands.html), instead of the two above."
    ),
    Setting("psc_issuer", _url, None, "The Pro Santé Connect that professionals sign in with; without it they cannot."),
    Setting("psc_client_id", str, None, "How this server is known there."),
    Setting("psc_client_secret", str, None, "Its secret there.", secret=True),
    Setting(
        "sealing_key",
        _long,
        None,
        "Encrypts the signing keys in the database, where they otherwise stand open.",
        secret=True,
    ),
    Setting("fetch_private", _flag, False, "Fetch the keys of clients from private addresses and by plain http too."),
    Setting(
        "smtp_url",
        _mail_server,
        None,
        "Mail server, smtps://USER:PASSWORD@HOST:PORT; without it no e-mail leaves.",
        secret=True,
    ),
    Setting("mail_from", _address, "fhir-server <no-reply@localhost>", "Whom e-mails come from."),
    Setting(
        "sms_url",
        _gateway,
        None,
        "Gateway for text messages: POST of {to, text} as JSON; without it none leaves.",
        secret=True,
    ),
    Setting(
        "proxies", _whole, 0, "Reverse proxies in front: so many of the addresses in X-Forwarded-For are believed."
    ),
    Setting("emergency_seconds", _emergency, 1_800, "How long an emergency access lasts, at most 3600."),
    Setting("emergency_per_hour", _positive, 5, "More emergency accesses of one professional in an hour are told of."),
    Setting("log_level", str, "INFO", "DEBUG, INFO, WARNING or ERROR."),
)


@dataclass(frozen=True)
class Settings:
    """The settings of one process; a field per row of SETTINGS."""

    mongodb_uri: str | None = None
    mongodb_database: str = "fhir"
    base_url: str | None = None
    timezone: str = "Europe/Paris"
    max_body_bytes: int = 16_000_000
    max_bundle_entries: int = 5_000
    max_count: int = 1_000
    default_count: int = 20
    update_as_create: bool = True
    demanded_profiles: str = ""
    check_references: bool = False
    habilitation_matrix: str | None = None
    query_timeout_ms: int = 20_000
    slow_query_ms: int = 1_000
    audit_key: str | None = field(default=None, repr=False)
    audit_key_file: Path | None = None
    audit_anchors: Path | None = None
    brand_name: str = "fhir-server"
    brand_website: str | None = None
    brands: str | None = None
    psc_issuer: str | None = None
    psc_client_id: str | None = None
    psc_client_secret: str | None = field(default=None, repr=False)
    sealing_key: str | None = None
    fetch_private: bool = False
    smtp_url: str | None = None
    mail_from: str = "fhir-server <no-reply@localhost>"
    sms_url: str | None = None
    proxies: int = 0
    emergency_seconds: int = 1_800
    emergency_per_hour: int = 5
    log_level: str = "INFO"


def from_environ(environ: Mapping[str, str]) -> Settings:
    """Each setting from FHIR_SERVER_<NAME>, or its default.  Raises ConfigError on an unknown name or a bad value."""
    table = {setting.variable: setting for setting in SETTINGS}
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    values: dict[str, Any] = {}
    for name, value in sorted(given.items()):
        if name not in table:
            if name.upper() in table:
                raise ConfigError(f"Unknown setting {name}; did you mean {name.upper()}?")
            raise ConfigError(f"Unknown setting {name}; known: {', '.join(sorted(table))}.")
        try:
            values[table[name].name] = table[name].read(value)
        except ValueError as error:
            shown = "…" if table[name].secret else repr(value)
            raise ConfigError(f"{name}={shown}: {error}.") from None
    return Settings(**values)


def carried(folder: str) -> Path:
    """`profiles`, `terminologies` or `seed_data`: beside the package in a checkout, else where the wheel put it."""
    home = Path(__file__).resolve().parent.parent
    return home / folder if (home / "setup.cfg").is_file() else home / f"fhir_server_{folder}"


assert [each.name for each in fields(Settings)] == [setting.name for setting in SETTINGS]
