"""The entry of a resource: what is kept beside its bytes to find it by, and to decide who may.

owner       the id of the patient whose record it belongs to; absent if it belongs to none
others      the ids of further patients, where there are several
tokens      one array for tokens, references and uris: see search/types/token.py, reference.py, uri.py
dates       {field: interval or intervals}: see search/types/date.py
strings     {field: folded texts}: see search/types/string.py
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from fhir_server.fhir import dates
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import Entry
from fhir_server.search.parameters import Parameter, follow, parameters, record_walk
from fhir_server.search.types import reference, string, token, uri

#: Answered from the document itself, not from an index entry.
OF_THE_DOCUMENT = frozenset({"_id", "_lastUpdated"})


def entry(type: str, resource: dict[str, Any], *, base: str = "", zone: tzinfo = dates.PARIS) -> Entry:
    """The index entry of a resource that has passed the structure check."""
    found: Entry = {}
    patients = patients_of(type, resource, base)
    if patients:
        found["owner"] = patients[0]
        if len(patients) > 1:
            found["others"] = patients[1:]
    tokens: dict[str, None] = {}
    for parameter in parameters(type).values():
        if parameter.code not in OF_THE_DOCUMENT:
            _add(found, tokens, parameter, resource, base, zone)
    found["tokens"] = list(tokens)
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


def _add(
    found: Entry, tokens: dict[str, None], parameter: Parameter, resource: dict[str, Any], base: str, zone: tzinfo
) -> None:
    field = parameter.code
    for type, value in parameter.values(resource):
        match parameter.type:
            case "token":
                tokens.update(dict.fromkeys(token.forms(field, type, value)))
            case "uri":
                tokens.update(dict.fromkeys(uri.forms(field, type, value)))
            case "reference":
                forms = reference.forms(field, type, value, base)
                # A record parameter that names a patient is answered by `owner`.
                keys = [k for k in forms if not (parameter.record and k.startswith(f"{field}=Patient/"))]
                tokens.update(dict.fromkeys(keys))
            case "string":
                texts = found.setdefault("strings", {}).setdefault(field, [])
                texts.extend(text for text in string.texts(type, value) if text and text not in texts)
            case "date":
                interval = dates.of(type, value, zone)
                if interval:
                    kept = {"low": interval.low, "high": interval.high}
                    if parameter.repeated:
                        found.setdefault("dates", {}).setdefault(field, []).append(kept)
                    else:
                        found.setdefault("dates", {})[field] = kept
