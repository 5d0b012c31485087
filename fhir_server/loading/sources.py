"""The files of a load, as pieces of a size that is worked off in one go.

JSON and XML documents, NDJSON (one resource a line), each perhaps gzipped, folders and zip archives of them.  What a
file is, its content says; its name only, whether a folder means it.  Bulk Data: export.html; Synthea's folder `fhir/`
"""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import orjson

SUFFIXES = (".json", ".ndjson", ".jsonl", ".xml")
_LINES = (".ndjson", ".jsonl")
_GZIP = b"\x1f\x8b"

#: A piece is done when it holds this much; it becomes one transaction, or a few.
PIECE_BYTES = 1_000_000
PIECE_LINES = 400
#: A document is read as a whole, and so is a line.
MAX_DOCUMENT = 400_000_000
MAX_LINE = 64_000_000

#: What others refer to by identifier comes first, so that it is there when they come.  Synthea names its files so.
_FIRST = ("hospitalInformation", "practitionerInformation", "Organization", "Practitioner", "Location")
UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)


class SourceError(Exception):
    """A file that cannot be read, or not to its end.  The message is one line that names it."""


@dataclass(frozen=True)
class Source:
    """A file, or a member of an archive.  `size` is its bytes on disk; `first`, whether it goes before the others."""

    path: Path
    size: int
    member: str | None = None

    @property
    def place(self) -> str:
        """The file, as a fault names it."""
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The name without its folder."""
        return (self.member or str(self.path)).rpartition("/")[2]

    @property
    def first(self) -> bool:
        """Whether others refer to what is in it."""
        return self.name.startswith(_FIRST)


@dataclass(frozen=True)
class Part:
    """A document, or lines of one: `line` is the number of the first, None for a document."""

    place: str
    data: bytes
    line: int | None = None


@dataclass(frozen=True)
class Piece:
    """Parts to be worked off together, and how far on disk they take the load."""

    parts: tuple[Part, ...]
    advance: int = 0

    @property
    def has_conditions(self) -> bool:
        """Whether an entry is to be created only if nothing matches: two such pieces must not run side by side."""
        return any(b"ifNoneExist" in part.data for part in self.parts)


def find(paths: Iterable[Path]) -> tuple[list[Source], list[SourceError]]:
    """The files under `paths`, each once, those that others refer to first; and a fault for each path without any."""
    found: dict[tuple[Path, str | None], Source] = {}
    faults: list[SourceError] = []
    for path in paths:
        try:
            sources = list(_under(path))
        except UNREADABLE as error:
            faults.append(SourceError(f"{path}: {reason(error)}"))
            continue
        if not sources:
            kinds = ", ".join(SUFFIXES)
            faults.append(SourceError(f"{path}: nothing to load in it ({kinds}, each perhaps with .gz, or .zip)"))
        for source in sources:
            found.setdefault((source.path.resolve(), source.member), source)
    return sorted(found.values(), key=lambda source: not source.first), faults


def pieces(sources: Iterable[Source], failed: Callable[[SourceError], None]) -> Iterator[Piece]:
    """The files cut into pieces, small ones together; `failed` hears of those that cannot be read."""
    parts: list[Part] = []
    advance = 0
    for source in sources:
        try:
            for part, progress in _parts(source):
                advance += progress
                if part is None:
                    continue
                parts.append(part)
                if sum(len(part.data) for part in parts) >= PIECE_BYTES or len(parts) >= PIECE_LINES or part.line:
                    yield Piece(tuple(parts), advance)
                    parts, advance = [], 0
        except SourceError as error:
            failed(error)
    if parts or advance:
        yield Piece(tuple(parts), advance)


def _under(path: Path) -> Iterator[Source]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.is_file() and not hidden and _meant(file.name, ".zip"):
                yield from _of_file(file)
        return
    yield from _of_file(path)


def _of_file(path: Path) -> Iterator[Source]:
    size = path.stat().st_size
    if path.suffix.lower() != ".zip":
        yield Source(path, size)
        return
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            name = member.filename.rpartition("/")[2]
            if not name.startswith(".") and not member.filename.startswith("__MACOSX/") and _meant(name):
                yield Source(path, member.compress_size, member.filename)


def _meant(name: str, *further: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(SUFFIXES) or name.lower().endswith(further)


@contextmanager
def opened(source: Source) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """The bytes of the file, unpacked, and how many of those on disk are read."""
    if source.member is None:
        with source.path.open("rb") as raw:
            yield _unpacked(raw, raw.peek(2)), lambda: min(raw.tell(), source.size)
        return
    with zipfile.ZipFile(source.path) as archive, archive.open(source.member) as packed:
        # How far it is within an archive is not told; at its end it is done.
        yield _unpacked(packed, packed.peek(2)), lambda: 0  # type: ignore[attr-defined]


def _unpacked(stream: IO[bytes], start: bytes) -> IO[bytes]:
    if not start.startswith(_GZIP):
        return stream
    return cast(IO[bytes], gzip.GzipFile(fileobj=stream))


def _parts(source: Source) -> Iterator[tuple[Part | None, int]]:
    """The parts of a file, each with how many more bytes on disk are done.  Raises SourceError where it breaks off."""
    done = 0
    try:
        with opened(source) as (stream, position):
            for part in _cut(source, stream):
                now = position()
                yield part, now - done
                done = now
    except UNREADABLE as error:
        raise SourceError(f"{source.place}: {reason(error)}") from error
    finally:
        rest = source.size - done
    yield None, rest


def _cut(source: Source, stream: IO[bytes]) -> Iterator[Part]:
    if source.name.lower().removesuffix(".gz").endswith(_LINES):
        yield from _lines(source.place, stream, b"")
        return
    first = stream.readline(MAX_DOCUMENT)
    if _is_line(first):
        yield from _lines(source.place, stream, first)
        return
    whole = first + stream.read(MAX_DOCUMENT + 1 - len(first))
    if len(whole) > MAX_DOCUMENT:
        raise SourceError(
            f"{source.place}: larger than {MAX_DOCUMENT // 1_000_000} MB, too large to be read in one; "
            "NDJSON, a resource a line, can be of any size"
        )
    yield Part(source.place, whole)


def _is_line(first: bytes) -> bool:
    """Whether the first line of a file is a resource by itself."""
    if not first.endswith(b"\n") or first.strip()[:1] != b"{":
        return False
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return False
    return True


def _lines(place: str, stream: IO[bytes], first: bytes) -> Iterator[Part]:
    start = number = 1
    held: list[bytes] = []
    size = 0
    line = first or stream.readline(MAX_LINE)
    while line:
        if len(line) >= MAX_LINE and not line.endswith(b"\n"):
            raise SourceError(f"{place}:{number}: a line of more than {MAX_LINE // 1_000_000} MB; the rest is not read")
        held.append(line)
        size += len(line)
        number += 1
        if size >= PIECE_BYTES or len(held) >= PIECE_LINES:
            yield Part(place, b"".join(held), start)
            start, held, size = number, [], 0
        line = stream.readline(MAX_LINE)
    if held:
        yield Part(place, b"".join(held), start)


def reason(error: BaseException) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower().replace("no such file or directory", "there is no such file or folder")
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile | zipfile.BadZipFile):
        return f"broken off or damaged ({error})"
    return str(error) or type(error).__name__
