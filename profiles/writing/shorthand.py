"""How the tables are written: a profile is a list of rules, and a rule names an element.

    rule("identifier:INS-NIR.value", "the matricule", card="1..1", must=True)

`card` as the guides write it, `1..`, `..1` or `0..0`; `must` is mustSupport.  R4: structuredefinition.html
"""

from __future__ import annotations

from typing import Any

OWN = "https://fhir-server.example"
HL7 = "http://hl7.org/fhir/StructureDefinition"
FR_CORE = "https://hl7.fr/ig/fhir/core"
ANS = "https://interop.esante.gouv.fr/ig/fhir"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"

_DATE = "2026-11-22"
_FRANCE = {"coding": [{"system": "urn:iso:std:iso:3166", "code": "FR"}]}


def nos(name: str) -> str:
    """The address of a national nomenclature: `TRE_G15-ProfessionSante` names its folder and, dashed, its file."""
    return f"https://mos.esante.gouv.fr/NOS/{name}/FHIR/{name.replace('_', '-')}"


def fr_core(name: str) -> str:
    """The address of a profile or extension of FR Core."""
    return f"{FR_CORE}/StructureDefinition/{name}"


def ans(guide: str, name: str) -> str:
    """The address of a profile or extension of one of the guides of the Agence du numérique en santé."""
    return f"{ANS}/{guide}/StructureDefinition/{name}"


def rule(
    id: str,
    short: str = "",
    *,
    card: str = "",
    must: bool = False,
    types: tuple[str, ...] = (),
    like: tuple[str, ...] = (),
    to: tuple[str, ...] = (),
    slicing: dict[str, Any] | None = None,
    required: str = "",
    extensible: str = "",
    constraints: tuple[dict[str, Any], ...] = (),
    **value: Any,
) -> dict[str, Any]:
    """
    A row of a differential, without its type.

    `types` are those that are left, `like` the profiles of the one type, `to` the profiles that a reference may point
    at; `required` and `extensible` the value set of a binding; `value` the fixed or pattern value, by its FHIR name.
    """
    least, _, most = card.partition("..")
    bound = {"required": required, "extensible": extensible}
    binding = [{"strength": strength, "valueSet": url} for strength, url in bound.items() if url]
    if to:
        allowed: list[dict[str, Any]] = [{"code": "Reference", "targetProfile": list(to)}]
    elif like:
        allowed = [{"code": types[0], "profile": list(like)}]
    else:
        allowed = [{"code": code} for code in types]
    made = {
        "id": id,
        "slicing": slicing,
        "short": short,
        "min": int(least) if least else None,
        "max": most or None,
        "type": allowed,
        **value,
        "constraint": list(constraints),
        "mustSupport": must or None,
        "binding": binding[0] if binding else None,
    }
    return {name: one for name, one in made.items() if one not in (None, "", [])}


def told_by(*paths: str, kind: str = "value", rules: str = "open") -> dict[str, Any]:
    """The slicing of a list whose slices are told by what is at these paths."""
    return {"discriminator": [{"type": kind, "path": path} for path in paths], "rules": rules}


def invariant(key: str, human: str, expression: str = "", *, severity: str = "error") -> dict[str, Any]:
    """A constraint; one without an expression is a function of the server."""
    made = {"key": key, "severity": severity, "human": human, "expression": expression}
    return {name: one for name, one in made.items() if one}


def concept(system: str, code: str) -> dict[str, Any]:
    """The CodeableConcept that a pattern asks for."""
    return {"coding": [{"system": system, "code": code}]}


def extension_slice(name: str, url: str, short: str, *, card: str = "0..1", at: str = "") -> dict[str, Any]:
    """The row that lets an extension be there, or demands it."""
    return rule(f"{at}extension:{name}", short, card=card, must=True, types=("Extension",), like=(url,))


def profile(
    url: str,
    type: str,
    *,
    title: str,
    french: str,
    english: str,
    version: str,
    rules: list[dict[str, Any]],
    base: str = "",
    constraints: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """A StructureDefinition that constrains a type, or the profile `base` of it."""
    return _definition(url, type, title, f"{french}\n\n{english}", version) | {
        "kind": "resource" if type not in _DATA_TYPES else "complex-type",
        "abstract": False,
        "type": type,
        "baseDefinition": base or f"{HL7}/{type}",
        "derivation": "constraint",
        "differential": {"element": [_sourced(row, url) for row in _elements(type, english, rules, constraints)]},
    }


def extension(
    url: str,
    *,
    on: tuple[str, ...],
    title: str,
    french: str,
    english: str,
    version: str,
    value: dict[str, Any] | None = None,
    parts: tuple[tuple[str, str, dict[str, Any]], ...] = (),
) -> dict[str, Any]:
    """
    The StructureDefinition of an extension: with a value, the row of `value[x]`; or with parts, each of them its name,
    its cardinality and the row of its value.
    """
    rules: list[dict[str, Any]] = []
    if parts:
        rules.append(rule("extension", slicing=told_by("url")))
    for name, card, row in parts:
        rules.append(rule(f"extension:{name}", row.get("short", name), card=card))
        rules.append(rule(f"extension:{name}.extension", card="..0"))
        rules.append(rule(f"extension:{name}.url", fixedUri=name))
        rules.append(row | {"id": f"extension:{name}.value[x]", "min": 1})
    if not parts:
        rules.append(rule("extension", card="..0"))
    rules.append(rule("url", fixedUri=url))
    rules.append(value | {"id": "value[x]", "min": 1} if value else rule("value[x]", card="..0"))
    made = profile(url, "Extension", title=title, french=french, english=english, version=version, rules=rules)
    context = [{"type": "element", "expression": path} for path in on]
    return {
        name: one
        for key in made
        for name, one in ([("context", context)] if key == "type" else []) + [(key, made[key])]
    }


_DATA_TYPES = ("Address", "Extension")


def _definition(url: str, type: str, title: str, description: str, version: str) -> dict[str, Any]:
    id = url.rpartition("/")[2]
    return {
        "resourceType": "StructureDefinition",
        "id": id,
        "url": url,
        "version": version,
        "name": "".join(part[:1].upper() + part[1:] for part in id.split("-")),
        "title": title,
        "status": "active",
        "experimental": False,
        "date": _DATE,
        "publisher": "fhir-server",
        "description": description,
        "jurisdiction": [_FRANCE],
        "fhirVersion": "4.0.1",
    }


def _elements(
    type: str, english: str, rules: list[dict[str, Any]], constraints: tuple[dict[str, Any], ...]
) -> list[dict[str, Any]]:
    root: dict[str, Any] = {"id": type, "path": type, "short": english.partition(".")[0]}
    if constraints:
        root["constraint"] = list(constraints)
    merged: dict[str, dict[str, Any]] = {}
    for row in rules:
        # What a guide says of one element in two places is one row.  R4: structuredefinition.html sdf-17
        merged[row["id"]] = merged.get(row["id"], {}) | row
    return [root, *(_element(type, row) for row in merged.values())]


def _sourced(row: dict[str, Any], url: str) -> dict[str, Any]:
    """The row, each of its constraints naming the profile that it comes from."""
    if "constraint" not in row:
        return row
    return row | {"constraint": [one | {"source": url} for one in row["constraint"]]}


def _element(type: str, row: dict[str, Any]) -> dict[str, Any]:
    id = f"{type}.{row['id']}"
    segments = [segment.partition(":") for segment in id.split(".")]
    slice = segments[-1][2]
    named = {"sliceName": slice} if slice else {}
    path = ".".join(name for name, _, _ in segments)
    return {"id": id, "path": path, **named, **{name: one for name, one in row.items() if name != "id"}}
