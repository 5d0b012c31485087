"""Resources that wait until every file is read, since what they refer to may stand in a later one; kept on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import orjson

#: So many are taken up at a time.
HANDFUL = 400


@dataclass(frozen=True)
class Waiting:
    """A resource whose references `wanted` lead nowhere yet."""

    place: str
    type: str
    id: str
    body: bytes
    wanted: tuple[str, ...]


class WaitingRoom:
    """Those that wait, in the order of their coming.  A context manager; gone when it is left."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=8_000_000)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> WaitingRoom:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, waiting: Iterable[Waiting]) -> None:
        """Let these wait."""
        for each in waiting:
            self._file.write(orjson.dumps({**asdict(each), "body": each.body.decode()}) + b"\n")

    def handfuls(self) -> Iterator[list[Waiting]]:
        """All that wait, some hundred at a time."""
        self._file.seek(0)
        held: list[Waiting] = []
        for line in self._file:
            read = orjson.loads(line)
            held.append(Waiting(read["place"], read["type"], read["id"], read["body"].encode(), tuple(read["wanted"])))
            if len(held) >= HANDFUL:
                yield held
                held = []
        if held:
            yield held
