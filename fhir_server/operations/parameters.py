"""What an operation is given, and what it answers with: values by name.  R4: operations.html, parameters.html

By GET the parameters stand in the query, by POST in a Parameters resource; an operation with a resource among them
takes that resource alone, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.results import FORMAT
from fhir_server.repository import Repository
from fhir_server.search.types.token import escaped
from fhir_server.validation import structure

T = TypeVar("T")
Row = dict[str, Any]
Pairs = tuple[tuple[str, str], ...]

#: The types that a query can carry, and how JSON writes them.
_PLAIN: Mapping[str, type] = {
    "boolean": bool,
    "canonical": str,
    "code": str,
    "date": str,
    "dateTime": str,
    "integer": int,
    "string": str,
    "uri": str,
}


@dataclass(frozen=True)
class Given:
    """The parameters of one call, as they came."""

    values: Mapping[str, tuple[Any, ...]]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str | None:
        """The value of a parameter that is a text."""
        return self._one(name, str)

    def flag(self, name: str) -> bool | None:
        """The value of a boolean."""
        return self._one(name, bool)

    def number(self, name: str) -> int | None:
        """The value of an integer, from 0 on.  Raises BadRequest."""
        found = self._one(name, int)
        if found is not None and found < 0:
            raise BadRequest(f"`{name}` is {found}; expected a whole number from 0 on.")
        return found

    def value(self, name: str) -> Row | None:
        """A Coding, a CodeableConcept or a resource."""
        return self._one(name, dict)

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of a parameter that may be repeated."""
        return self.values.get(name, ())

    def _one(self, name: str, kind: type[T]) -> T | None:
        found = self.values.get(name, ())
        if len(found) > 1:
            raise BadRequest(f"`{name}` is given {len(found)} times; once is enough.")
        assert not found or isinstance(found[0], kind)
        return found[0] if found else None


def given(request: FhirRequest, takes: Mapping[str, str]) -> Given:
    """
    The parameters of the request.  takes: the type of each that there is, by name.

    Raises BadRequest for what there is not, what is of another type, or what a query cannot carry; Unprocessable for
    a body that is not good FHIR.
    """
    found: dict[str, list[Any]] = {}
    for name, text in request.query:
        if name not in FORMAT:
            found.setdefault(name, []).append(_read(name, text, takes))
    if request.method == "POST" and (request.body or request.resource is not None):
        for name, value in _of_body(request.parsed(), takes):
            found.setdefault(name, []).append(value)
    return Given({name: tuple(values) for name, values in found.items()})


def query_of(request: FhirRequest, repository: Repository) -> Pairs:
    """What a call asks for in its query and, by POST, in its body, of which the record is told.  Raises BadRequest."""
    sent = _plain(request)
    found = (*request.query, *sent)
    if sent:
        repository.asked_for(found)
    return found


def _plain(request: FhirRequest) -> Pairs:
    """The parameters of a POST as a query has them: a Coding is a token, and of a concept any coding will do."""
    if request.method != "POST" or (not request.body and request.resource is None):
        return ()
    sent = request.parsed()
    parts = sent.get("parameter", [])
    if sent.get("resourceType") != "Parameters" or not isinstance(parts, list):
        raise BadRequest("Expected Parameters with a list of parameters.", "Parameters.parameter")
    found = []
    for index, part in enumerate(parts):
        values = [part[name] for name in part if name.startswith("value")] if isinstance(part, dict) else []
        text = _as_text(values[0]) if len(values) == 1 else None
        if text is None:
            raise BadRequest("Each parameter has a name and one plain value.", f"Parameters.parameter[{index}]")
        found.append((str(part.get("name")), text))
    return tuple(found)


def _as_text(value: Any) -> str | None:
    """The value as it is written in a query; None for what cannot be.  R4: search.html#token"""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if not isinstance(value, dict):
        return None
    codings = value.get("coding", [value])
    if not isinstance(codings, list) or not codings:
        return None
    written = [_as_token(each) for each in codings]
    return None if None in written else ",".join(str(each) for each in written)


def _as_token(coding: Any) -> str | None:
    if not isinstance(coding, dict):
        return None
    system, code = coding.get("system"), coding.get("code")
    if not isinstance(code, str) or not isinstance(system, str | None):
        return None
    return escaped(code) if system is None else f"{escaped(system)}|{escaped(code)}"


def parameters(
    *named: tuple[str, str, Any], parts: Mapping[str, list[list[tuple[str, str, Any]]]] | None = None
) -> Row:
    """
    A Parameters resource of (name, type of the value, value); `parts` are those that consist of others.

    Within them, the type `part` stands for one that consists of others again.
    """
    rows = [{"name": name, _element(type): value} for name, type, value in named if value is not None]
    for name, each in (parts or {}).items():
        rows += [{"name": name, "part": _parts(part)} for part in each]
    return {"resourceType": "Parameters", "parameter": rows}


def answer(*named: tuple[str, str, Any], parts: Mapping[str, list[list[tuple[str, str, Any]]]] | None = None) -> Any:
    """200 and Parameters."""
    return FhirResponse.of(200, parameters(*named, parts=parts))


def _parts(part: list[tuple[str, str, Any]]) -> list[Row]:
    return [
        {"name": name, "part": _parts(value)} if type == "part" else {"name": name, _element(type): value}
        for name, type, value in part
        if value is not None
    ]


def _element(type: str) -> str:
    return type if type.startswith("value") else f"value{type[0].upper()}{type[1:]}"


def _read(name: str, text: str, takes: Mapping[str, str]) -> Any:
    """A value from the query."""
    type = _type_of(name, takes)
    if type not in _PLAIN:
        raise BadRequest(f"`{name}` is a {type}: send it in a Parameters resource, by POST.")
    if text == "":
        raise BadRequest(f"`{name}` has no value.")
    if type == "boolean":
        if text not in ("true", "false"):
            raise BadRequest(f"`{name}={text}`: expected true or false.")
        return text == "true"
    if type == "integer":
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise BadRequest(f"`{name}={text}`: expected a whole number from 0 on.")
        return int(text)
    return text


def _of_body(sent: Row, takes: Mapping[str, str]) -> list[tuple[str, Any]]:
    structure.check(sent)
    if sent["resourceType"] != "Parameters":
        alone = next((name for name, type in takes.items() if type == sent["resourceType"]), None)
        if alone is None:
            raise BadRequest(f"Expected Parameters, not a {sent['resourceType']}.", "Parameters")
        return [(alone, sent)]
    found = []
    for index, part in enumerate(sent.get("parameter", ())):
        place = f"Parameters.parameter[{index}]"
        name = part["name"]
        type = _type_of(name, takes, place)
        element = "resource" if type[0].isupper() and type not in _COMPLEX else _element(type)
        value = part.get(element)
        if value is None and _PLAIN.get(type) is str:
            value = next(
                (part[each] for each in part if each.startswith("value") and isinstance(part[each], str)), None
            )
        if value is None or (element == "resource" and value["resourceType"] != type):
            raise BadRequest(f"`{name}` is a {type}: `{element}` is missing.", place)
        found.append((name, value))
    return found


_COMPLEX = ("Coding", "CodeableConcept")


def _type_of(name: str, takes: Mapping[str, str], *place: str) -> str:
    if name not in takes:
        raise BadRequest(f"`{name}` is not a parameter of this operation; known: {', '.join(sorted(takes))}.", *place)
    return takes[name]
