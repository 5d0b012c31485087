"""The habilitation matrix: which classes of documents a profession consults.  CSP R1111-46

It is data: `terminologies/habilitation-matrix.json`, which says where it comes from, or a file of the operator's.

    rows[].professions    codes of TRE_G15; `10/SM03` is the specialty SM03 of 10, and goes before `10`
    rows[].classes        codes of TRE_A03, `DocumentReference.category`
    rows[].types          codes of DocumentReference.type that are consulted whatever their class
    rows[].sections       codes of the sections that are consulted; all, where it is not said
    rows[].unclassified   whether documents that say no class are consulted

A profession that is in no row consults nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fhir_server.access.sections import BY_CODE, Pairs
from fhir_server.config import ConfigError, carried
from fhir_server.fhir import json
from fhir_server.fhir.outcome import FhirError

FILE = "habilitation-matrix.json"


@dataclass(frozen=True)
class Row:
    """What a profession consults: documents that meet one of `documents`, and these sections (None: all)."""

    name: str
    documents: tuple[Pairs, ...] = ()
    sections: frozenset[str] | None = None


@dataclass(frozen=True)
class Matrix:
    """The matrix, and where it comes from."""

    provenance: str
    rows: Mapping[str, Row] = field(default_factory=dict)

    @cached_property
    def constraints(self) -> frozenset[Pairs]:
        """All the constraints that its rows ask."""
        return frozenset(pairs for row in self.rows.values() for pairs in row.documents)

    def row(self, profession: str | None, specialty: str | None) -> Row | None:
        """The row of a profession, that of its specialty first; None if it consults nothing."""
        return self.rows.get(f"{profession}/{specialty}") or self.rows.get(profession or "")


@cache
def carried_matrix() -> Matrix:
    """The one that comes along."""
    return load(carried("terminologies") / FILE)


def load(path: Path) -> Matrix:
    """The matrix of a file.  Raises ConfigError, in one line, for one that cannot be read as such."""
    try:
        return _matrix(json.parse(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"The habilitation matrix {path} cannot be read: {error.strerror}.") from None
    except FhirError as error:
        raise ConfigError(f"The habilitation matrix {path} is no JSON: {error.issues[0].diagnostics}") from None
    except ValueError as error:
        raise ConfigError(f"The habilitation matrix {path}: {error}.") from None


def _matrix(said: dict[str, Any]) -> Matrix:
    """Raises ValueError."""
    provenance, system = said.get("provenance"), said.get("class-system")
    if not isinstance(provenance, str) or not provenance or not isinstance(system, str):
        raise ValueError("`provenance` says where it comes from, and `class-system` which codes the classes are")
    rows: dict[str, Row] = {}
    for number, row in enumerate(_list(said, "rows", dict)):
        found = _row(row, system)
        for profession in _list(row, "professions", str):
            if profession in rows:
                raise ValueError(f"rows[{number}]: the profession `{profession}` has two rows")
            rows[profession] = found
    return Matrix(provenance, rows)


def _row(row: Mapping[str, Any], system: str) -> Row:
    classes, types = _list(row, "classes", str), _list(row, "types", str, [])
    documents: list[Pairs] = []
    if classes:
        documents.append((("category", ",".join(f"{system}|{code}" for code in classes)),))
    if types:
        documents.append((("type", ",".join(types)),))
    if row.get("unclassified"):
        documents.append((("category:missing", "true"),))
    sections = _list(row, "sections", str) if "sections" in row else None
    unknown = [code for code in sections or () if code not in BY_CODE]
    if unknown:
        raise ValueError(f"`{unknown[0]}` is no section; known: {', '.join(BY_CODE)}")
    return Row(str(row.get("name", "")), tuple(documents), None if sections is None else frozenset(sections))


def _list(said: Mapping[str, Any], name: str, of: type, default: list[Any] | None = None) -> list[Any]:
    found = said.get(name, default)
    if not isinstance(found, list) or not all(isinstance(one, of) for one in found):
        raise ValueError(f"`{name}` is a list")
    return found
