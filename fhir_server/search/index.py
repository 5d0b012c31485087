"""The entry of a resource: what is kept beside its bytes to find it by, and to decide who may.

owner       the id of the patient whose record it belongs to; absent if it belongs to none
others      the ids of further patients, where there are several
labels      the labels that keep it from some: see fhir/labels.py
keys        one array of strings for all that is equal, begins so, or lies in a range: see search/keys.py
dates       {field: interval or intervals}, exactly: see search/types/date.py
numbers     {field: values}, exactly: see search/types/number.py, quantity.py
strings     {field: texts}, as they were written: see search/types/string.py
near        a point: see search/types/near.py
parts       {element: sub-entries}, one for each repetition that a composite parameter asks of
contained   sub-entries, one for each contained resource, with its `type`, its `_id`, and in its keys `@field=` for each
            reference parameter by which the resource refers to it

A sub-entry holds keys, dates, numbers and strings as an entry does.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from fhir_server.fhir import dates
from fhir_server.fhir.labels import labels
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import Entry
from fhir_server.search.keys import has_field, presence
from fhir_server.search.parameters import Parameter, follow, kept, parameters, parts, record_walk
from fhir_server.search.types import date, near, number, quantity, reference, string, token, uri

#: Of the way in which entries are made: raised with every change after which the same resource, by the same definition
#: of its parameters, would have another entry.  search/fingerprints.py
VERSION = 3
#: Answered from the document itself, not from an index entry.
OF_THE_DOCUMENT = frozenset({"_id", "_lastUpdated"})


def entry(type: str, resource: dict[str, Any], *, base: str = "", zone: tzinfo = dates.PARIS) -> Entry:
    """The index entry of a resource that has passed the structure check."""
    found: Entry = {**_records(patients_of(type, resource, base)), **_entry(type, resource, base, zone)}
    labelled = labels(resource)
    if labelled:
        found["labels"] = list(labelled)
    contained = [one for _, one in contained_entries(type, resource, base=base, zone=zone)]
    if contained:
        found["contained"] = contained
        found["keys"] += dict.fromkeys(f"#{one['type']}=" for one in contained)
    return found


def patients_of(type: str, resource: dict[str, Any], base: str = "") -> list[str]:
    """The ids of the patients whose record the resource belongs to, the first its owner."""
    if TYPES[type].patient == ("id",):
        return [resource["id"]]
    found: dict[str, None] = {}
    for _, value in follow(record_walk(type), resource):
        target = reference.relative(value.get("reference", ""), base)
        if target.startswith("Patient/"):
            found[target.removeprefix("Patient/")] = None
    return list(found)


def _records(patients: list[str]) -> Entry:
    """The patients as an entry names them."""
    owner = {"owner": patients[0]} if patients else {}
    return {**owner, "others": patients[1:]} if len(patients) > 1 else owner


def _entry(type: str, resource: dict[str, Any], base: str, zone: tzinfo) -> Entry:
    building = _Building(base, zone)
    for parameter in kept(type):
        if parameter.code not in OF_THE_DOCUMENT:
            for of, value in parameter.values(resource):
                building.add(parameter, parameter.code, of, value)
    found = building.entry()
    for element, (walk, fields) in parts(type).items():
        sub_entries = [_part(fields, node, base, zone) for _, node in follow(walk, resource)]
        if sub_entries:
            found.setdefault("parts", {})[element] = sub_entries
    return found


def _part(fields: dict[str, Any], node: dict[str, Any], base: str, zone: tzinfo) -> Entry:
    building = _Building(base, zone)
    for field, (parameter, walk) in fields.items():
        for of, value in follow(walk, node):
            building.add(parameter, field, of, value)
    return building.entry()


def contained_entries(
    type: str, resource: dict[str, Any], *, base: str = "", zone: tzinfo = dates.PARIS
) -> list[tuple[dict[str, Any], Entry]]:
    """Each contained resource of a type that is kept here, and its sub-entry."""
    held = [one for one in resource.get("contained", ()) if one.get("resourceType") in TYPES]
    if not held:
        return []
    links: dict[str, list[str]] = {}
    for parameter in parameters(type).values():
        if parameter.type == "reference":
            for of, value in parameter.values(resource):
                if of == "Reference":
                    links.setdefault(value.get("reference", ""), []).append(f"@{parameter.code}=")
    found = []
    for one in held:
        kind = one["resourceType"]
        its = _entry(kind, one, base, zone)
        its["keys"] += dict.fromkeys(links.get(f"#{one.get('id')}", ()))
        patients = [] if TYPES[kind].patient == ("id",) else patients_of(kind, one, base)
        found.append((one, {"type": kind, "_id": one.get("id"), **_records(patients), **its}))
    return found


class _Building:
    """An entry that is being put together."""

    def __init__(self, base: str, zone: tzinfo):
        self._base = base
        self._zone = zone
        self._keys: dict[str, None] = {}
        self._found: Entry = {}

    def add(self, parameter: Parameter, field: str, type: str, value: Any) -> None:
        """One value of the parameter, of this FHIR type."""
        match parameter.type:
            case "token":
                new = list(token.keys(field, type, value))
                for text in token.texts(type, value):
                    new += string.keys(f"{field}:text", text)
            case "uri":
                new = list(uri.keys(field, type, value))
            case "reference":
                new = list(reference.keys(field, type, value, self._base))
                if parameter.record and new and new[0].startswith(f"{field}=Patient/"):
                    # `owner` says which patient; a version and an identifier it does not say.
                    self._keys.update(dict.fromkeys(new[1:]))
                    return
            case "string":
                new = []
                for text in string.texts(type, value):
                    self._keep("strings", field, text, repeated=True)
                    new += string.keys(field, text)
            case "date":
                interval = dates.of(type, value, self._zone)
                if interval is None:
                    return  # `occurrenceString` is no value of a date parameter
                new = list(date.keys(field, interval))
                self._keep("dates", field, {"low": interval.low, "high": interval.high}, repeated=parameter.repeated)
            case "number" | "quantity":
                kind = number if parameter.type == "number" else quantity
                new = []
                for one in kind.values(type, value):
                    self._keep("numbers", field, one, repeated=True)
                    new += kind.keys(field, one)
            case _:
                new = []
                point = near.point(type, value)
                if point:
                    self._found[near.FIELD] = point
        if not has_field(new, field):
            new.append(presence(field))
        self._keys.update(dict.fromkeys(new))

    def _keep(self, kind: str, field: str, value: Any, *, repeated: bool) -> None:
        fields = self._found.setdefault(kind, {})
        if repeated:
            fields.setdefault(field, []).append(value)
        else:
            fields[field] = value

    def entry(self) -> Entry:
        """What was put together."""
        return {**self._found, "keys": list(self._keys)}
