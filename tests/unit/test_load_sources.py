"""The files of a load: which are meant, what they hold, and what is said of those that cannot be read."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from fhir_server.loading import sources
from fhir_server.loading.sources import SourceError, find, pieces

PATIENT = {"resourceType": "Patient", "id": "p1"}


def read(*paths: Path) -> tuple[list[tuple[str, int | None, bytes]], list[str]]:
    """The parts under `paths`, with the name of their file, and what is said of those that cannot be read."""
    found, faults = find(paths)
    said = [str(fault) for fault in faults]
    parts = [part for piece in pieces(found, lambda error: said.append(str(error))) for part in piece.parts]
    return [(Path(part.place).name, part.line, part.data) for part in parts], said


def test_a_folder_is_read_to_its_depth_without_what_is_not_meant(tmp_path: Path) -> None:
    """Names that no format has, and hidden ones, are passed over."""
    for name in ("b.json", "deep/er/a.ndjson", "c.xml", "notes.txt", ".hidden.json", ".git/x.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"<x/>" if name.endswith("xml") else b'{"a":\n1}')
    parts, said = read(tmp_path)
    assert {name for name, _, _ in parts} == {"b.json", "a.ndjson", "c.xml"}
    assert said == []


def test_what_others_refer_to_comes_first(tmp_path: Path) -> None:
    """Synthea writes hospitals and practitioners to files of their own."""
    for name in ("Aaron.json", "hospitalInformation17.json", "practitionerInformation17.json", "Observation.ndjson"):
        (tmp_path / name).write_text("{}")
    found, _ = find([tmp_path])
    assert [source.name for source in found if source.first] == [
        "hospitalInformation17.json",
        "practitionerInformation17.json",
    ]
    assert found[0].first and not found[-1].first


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    """By its own name and by that of its folder."""
    (tmp_path / "a.json").write_text(json.dumps(PATIENT))
    parts, _ = read(tmp_path, tmp_path / "a.json")
    assert len(parts) == 1


@pytest.mark.parametrize("name", ["a.json.gz", "a.json"])
def test_gzip_is_known_by_its_bytes(tmp_path: Path, name: str) -> None:
    """RFC 1952 s. 2.3.1; whatever the file is called."""
    (tmp_path / name).write_bytes(gzip.compress(b'{"resourceType":\n"Patient"}'))
    parts, said = read(tmp_path)
    assert parts == [(name, None, b'{"resourceType":\n"Patient"}')] and not said


def test_archives_are_read_member_by_member(tmp_path: Path) -> None:
    """Synthea's samples are published as zip; its members may be gzipped."""
    with zipfile.ZipFile(tmp_path / "sample.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fhir/a.json", '{"a":\n1}')
        archive.writestr("fhir/b.ndjson.gz", gzip.compress(b'{"b":1}\n'))
        archive.writestr("__MACOSX/fhir/._a.json", "junk")
        archive.writestr("README.txt", "junk")
    parts, said = read(tmp_path)
    assert parts == [("a.json", None, b'{"a":\n1}'), ("b.ndjson.gz", 1, b'{"b":1}\n')] and not said


def test_lines_are_known_without_their_name(tmp_path: Path) -> None:
    """NDJSON that is called .json; a resource over many lines is a document."""
    (tmp_path / "lines.json").write_text('{"a":1}\n{"a":2}\n')
    (tmp_path / "one.json").write_text('{\n"a":1}\n')
    parts, _ = read(tmp_path)
    assert parts == [("lines.json", 1, b'{"a":1}\n{"a":2}\n'), ("one.json", None, b'{\n"a":1}\n')]


def test_long_files_are_cut_and_their_lines_still_numbered(tmp_path: Path) -> None:
    """The number is that of the first line of each part."""
    (tmp_path / "a.ndjson").write_bytes(b'{"a":1}\n' * (sources.PIECE_LINES + 5))
    parts, _ = read(tmp_path)
    assert [line for _, line, _ in parts] == [1, sources.PIECE_LINES + 1]
    assert sum(data.count(b"\n") for _, _, data in parts) == sources.PIECE_LINES + 5


def test_small_documents_share_a_piece_and_all_bytes_are_accounted_for(tmp_path: Path) -> None:
    """Progress ends at the size of the files on disk, packed or not."""
    for number in range(10):
        (tmp_path / f"{number}.json").write_text('{\n"a":1}')
    (tmp_path / "z.ndjson.gz").write_bytes(gzip.compress(b'{"a":1}\n' * 3000))
    found, _ = find([tmp_path])
    cut = list(pieces(found, pytest.fail))
    assert len(cut[0].parts) > 9
    assert sum(piece.advance for piece in cut) == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_each_path_that_holds_nothing_is_named(tmp_path: Path) -> None:
    """One line each, and the others are read."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.json").write_text("{\n}")
    (tmp_path / "broken.zip").write_bytes(b"PK no more")
    parts, said = read(tmp_path / "empty", tmp_path / "gone", tmp_path / "broken.zip", tmp_path / "good.json")
    assert [name for name, _, _ in parts] == ["good.json"]
    assert len(said) == 3 and all("\n" not in line for line in said)
    assert "nothing to load" in said[0] and "there is no such file" in said[1] and "broken.zip" in said[2]


def test_a_file_that_breaks_off_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """What could be read before the break is kept."""
    packed = gzip.compress(b"".join(b'{"a":%d}\n' % number for number in range(100_000)))
    (tmp_path / "a.ndjson.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "b.json").write_text("{\n}")
    parts, said = read(tmp_path)
    assert parts[0][0] == "a.ndjson.gz" and parts[-1][0] == "b.json"
    assert len(said) == 1 and "a.ndjson.gz" in said[0] and "broken off" in said[0]


def test_what_is_too_large_to_be_read_in_one_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document without end must not fill the memory."""
    monkeypatch.setattr(sources, "MAX_DOCUMENT", 100)
    monkeypatch.setattr(sources, "MAX_LINE", 50)
    (tmp_path / "a.json").write_text("{\n" + " " * 200 + "}")
    (tmp_path / "b.ndjson").write_text('{"a":"' + "x" * 200 + '"}')
    parts, said = read(tmp_path)
    assert parts == []
    assert "too large" in said[0] and "b.ndjson:1" in said[1]


def test_conditional_creates_are_seen(tmp_path: Path) -> None:
    """R4: http.html#ccreate; such pieces are worked off one by one."""
    (tmp_path / "a.json").write_text('{\n"request":{"method":"POST","ifNoneExist":"identifier=1"}}')
    (tmp_path / "b.json").write_text("{\n}")
    found, _ = find([tmp_path / "a.json"])
    assert next(pieces(found, pytest.fail)).has_conditions
    found, _ = find([tmp_path / "b.json"])
    assert not next(pieces(found, pytest.fail)).has_conditions


def test_an_unreadable_file_is_a_source_error() -> None:
    """It names the file, in one line."""
    with pytest.raises(SourceError, match="nowhere.json: there is no such file"):
        list(sources._parts(sources.Source(Path("nowhere.json"), 0)))
