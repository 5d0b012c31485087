"""Derives profiles/r4/*.json, the facts this server needs of R4, from the definitions that HL7 publishes.

    python -m fhir_server.fhir.derive FOLDER

FOLDER is the unpacked npm package `hl7.fhir.r4.core` or `hl7.fhir.r4.examples`, 4.0.1: one file for each resource.
(Copies of HL7's definitions that other projects carry are not always HL7's: one had elements of R5 and of its own.)
Names, types, cardinalities, flags, targets, bindings and invariants are taken; descriptions are not.  Run again only
when the table of supported types changes.

    elements.json             {"resources": [type], "structures": {key: [row]}}
    search-parameters.json    {type: {code: {"url", "type", "expression", "target", "component"}}}
    compartment-patient.json  {type: [code of a search parameter]}
    bindings.json             {"codes": {value set: {system: [code]}}, "open": [value set]}
    operations.json           {url: {"title", "parameter": [row]}}, of the supported types
    invariants.json           {key of a structure: [{"key", "severity", "expression", "human", "element"}]}

A row is {"name", "types": {type: [target]}, "min", "max", "flags", "structure", "binding"}, without what is empty.
Flags:
`S` in a summary, `M` a modifier, `A` an XML attribute.  A value set is open where the definitions do not hold its
codes: media types, languages, currencies, units.  An invariant with an element holds for what stands under that name.
A parameter of an operation is {"name", "use", "min", "max", "type", "part"}.

R4: structuredefinition.html, elementdefinition.html, searchparameter.html, compartmentdefinition.html, valueset.html,
operationdefinition.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fhir_server.config import carried
from fhir_server.fhir.types import TYPES

_VERSION = "4.0.1"  # the examples among the definitions have another, or are experimental
_BASE = "http://hl7.org/fhir/StructureDefinition/"
_FHIR_TYPE = _BASE + "structuredefinition-fhir-type"
_SIMPLE_QUANTITY = _BASE + "SimpleQuantity"
_MAX_VALUE_SET = _BASE + "elementdefinition-maxValueSet"


def elements(definitions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The table of elements.json, from StructureDefinitions of resources and data types."""
    resources: list[str] = []
    structures: dict[str, list[dict[str, Any]]] = {}
    for definition in sorted(definitions, key=lambda one: (one["kind"], one["id"])):
        name = definition["id"]
        if definition["kind"] not in ("complex-type", "resource") or definition.get("derivation") == "constraint":
            continue
        if definition["kind"] == "resource" and not definition["abstract"]:
            resources.append(name)
        structures |= _structures(definition["snapshot"]["element"], is_resource=definition["kind"] == "resource")
    return {"resources": sorted(resources), "structures": structures}


def _structures(snapshot: list[dict[str, Any]], *, is_resource: bool) -> dict[str, list[dict[str, Any]]]:
    """The rows of one definition, by the path of the element that holds them, in the standard's order."""
    root = snapshot[0]["path"]
    nested = {element["path"].rpartition(".")[0] for element in snapshot[1:]}
    by_path = {element["path"]: element for element in snapshot}
    structures: dict[str, list[dict[str, Any]]] = {}
    for element in snapshot[1:]:
        path = element["path"]
        parent, _, name = path.rpartition(".")
        reference = element.get("contentReference", "").removeprefix("#")
        types = _types(by_path[reference] if reference else element)
        if path == f"{root}.id" and is_resource:
            types = {"id": []}  # 4.0.1 says `string` here, and `id` on the page.  R4: resource.html#id
        row: dict[str, Any] = {"name": name, "types": types, "min": element["min"], "max": element["max"]}
        attribute = "xmlAttr" in element.get("representation", ())
        flags = "S" * bool(element.get("isSummary")) + "M" * bool(element.get("isModifier")) + "A" * attribute
        if flags:
            row["flags"] = flags
        if reference or path in nested:
            row["structure"] = reference or path
        binding = _binding(element.get("binding", {}), types)
        if binding:
            row["binding"] = binding
        structures.setdefault(parent, []).append(row)
    return structures


def _types(element: dict[str, Any]) -> dict[str, list[str]]:
    """Type code → the types that a reference or canonical of it may point at; none listed: any."""
    types: dict[str, list[str]] = {}
    for type_ in element["type"]:
        code = next((e["valueUrl"] for e in type_.get("extension", ()) if e["url"] == _FHIR_TYPE), type_["code"])
        targets = [profile.removeprefix(_BASE) for profile in type_.get("targetProfile", ())]
        types[code] = [] if "Resource" in targets else targets
    return types


def _binding(binding: dict[str, Any], types: Iterable[str]) -> str | None:
    """The value set outside which no code may lie: the required one, or of a single code the outer bound of a weaker.

    R4: terminologies.html#strength, extension-elementdefinition-maxvalueset.html
    """
    if binding.get("strength") == "required":
        return binding["valueSet"].partition("|")[0]
    if list(types) != ["code"]:
        return None  # a CodeableConcept may do with text
    return next((e["valueCanonical"] for e in binding.get("extension", ()) if e["url"] == _MAX_VALUE_SET), None)


def invariants(definitions: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """The table of invariants.json.  Those of every resource stand under DomainResource; ele-1 is of structure."""
    by_id = {definition["id"]: definition for definition in definitions}
    simple = by_id["SimpleQuantity"]["snapshot"]["element"][0]
    table: dict[str, list[dict[str, str]]] = {}
    for name, definition in sorted(by_id.items(), key=lambda pair: (pair[1]["kind"], pair[0])):
        if definition["kind"] not in ("complex-type", "resource") or definition.get("derivation") == "constraint":
            continue
        snapshot = definition["snapshot"]["element"]
        holders = {name} | {element["path"].rpartition(".")[0] for element in snapshot[1:]}
        for element in snapshot:
            path = element["path"]
            if path in holders:
                left_out = "ele-" if name == "DomainResource" else ("ele-", "dom-")
                table.setdefault(path, []).extend(_constraints(element, left_out))
                continue
            parent, _, last = path.rpartition(".")
            rows = table.setdefault(parent, [])
            rows += [{**row, "element": last} for row in _constraints(element, ("ele-", "ext-"))]
            for type_ in element.get("type", ()):
                if _SIMPLE_QUANTITY in type_.get("profile", ()):
                    named = last.replace("[x]", type_["code"])
                    rows += [{**row, "element": named} for row in _constraints(simple, ("ele-", "qty-"))]
    return {key: rows for key, rows in table.items() if rows}


def _constraints(element: dict[str, Any], left_out: str | tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of an element's constraints, but for those whose keys begin so."""
    return [
        {name: row[name] for name in ("key", "severity", "expression", "human")}
        for row in element.get("constraint", ())
        if not row["key"].startswith(left_out)
    ]


def bindings(
    structures: dict[str, list[dict[str, Any]]],
    value_sets: Iterable[dict[str, Any]],
    code_systems: Iterable[dict[str, Any]],
) -> dict[str, Any]:
    """The table of bindings.json, for the value sets that the rows of `structures` are bound to."""
    sets = {value_set["url"]: value_set for value_set in value_sets if "url" in value_set}
    systems = {system["url"]: system for system in code_systems if "url" in system}
    bound = sorted({row["binding"] for rows in structures.values() for row in rows if "binding" in row})
    codes = {url: _codes(sets[url], systems) if url in sets else None for url in bound}
    return {
        "codes": {url: known for url, known in codes.items() if known},
        "open": [url for url, known in codes.items() if not known],
    }


def _codes(value_set: dict[str, Any], systems: dict[str, dict[str, Any]]) -> dict[str, list[str]] | None:
    """The codes of a value set by system, in its order; None where they cannot be told from what is listed."""
    compose = value_set.get("compose", {})
    if "exclude" in compose:
        return None
    codes: dict[str, list[str]] = {}
    for include in compose.get("include", ()):
        if "filter" in include or "valueSet" in include:
            return None
        system = systems.get(include["system"], {})
        if "concept" in include:
            listed = [concept["code"] for concept in include["concept"]]
        elif system.get("content") == "complete":
            listed = list(_selectable(system["concept"]))
        else:
            return None
        codes.setdefault(include["system"], []).extend(listed)
    return codes


def _selectable(concepts: list[dict[str, Any]]) -> Iterator[str]:
    """The codes of concepts and of those below them, but for those that only group.  R4: codesystem.html#status"""
    for concept in concepts:
        properties = {each["code"]: each.get("valueBoolean") for each in concept.get("property", ())}
        if not properties.get("notSelectable"):
            yield concept["code"]
        yield from _selectable(concept.get("concept", []))


def search_parameters(parameters: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The table of search-parameters.json.  What applies to every type stands under `Resource`."""
    parameters = [one for one in parameters if one.get("version") == _VERSION and not one["experimental"]]
    codes = {parameter["url"]: parameter["code"] for parameter in parameters}
    table: dict[str, dict[str, Any]] = {name: {} for name in ("Resource", *TYPES)}
    for parameter in parameters:
        for base in parameter["base"]:
            name = "Resource" if base == "DomainResource" else base
            if name not in table:
                continue
            if parameter["code"] in table[name]:
                raise ValueError(f"{name} has two search parameters {parameter['code']}")
            table[name][parameter["code"]] = _search_parameter(parameter, name, codes)
    return {name: dict(sorted(row.items())) for name, row in table.items()}


def _search_parameter(parameter: dict[str, Any], base: str, codes: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"url": parameter["url"], "type": parameter["type"]}
    if "expression" in parameter:
        parts = [part for part in _union(parameter["expression"]) if _starts_at(part) == base]
        if not parts:
            raise ValueError(f"{parameter['url']} has no expression for {base}")
        row["expression"] = " | ".join(parts)
    if "target" in parameter:
        row["target"] = parameter["target"]
    if "component" in parameter:
        row["component"] = [
            {"definition": codes[part["definition"]], "expression": part["expression"]}
            for part in parameter["component"]
        ]
    return row


def _union(expression: str) -> Iterator[str]:
    """The operands of the `|` that stand outside brackets."""
    depth = start = 0
    for place, character in enumerate(expression):
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            yield expression[start:place].strip()
            start = place + 1
    yield expression[start:].strip()


def _starts_at(expression: str) -> str:
    """The type an expression begins with: `Observation` of `(Observation.value as Quantity)`."""
    return expression.lstrip("( ").partition(".")[0]


def compartment(definitions: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The table of compartment-patient.json: the types of the compartment and the parameters that put them there."""
    definition = next(definition for definition in definitions if definition["id"] == "patient")
    return {row["code"]: row["param"] for row in definition["resource"] if row.get("param")}


def operations(definitions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The table of operations.json, from OperationDefinitions."""
    return {
        definition["url"]: {
            "title": definition["name"],
            "parameter": [_operation_parameter(one) for one in definition.get("parameter", ())],
        }
        for definition in definitions
        if {"Resource", *TYPES} & set(definition.get("resource", ()))
    }


def _operation_parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    row = {name: parameter[name] for name in ("name", "use", "min", "max", "type") if name in parameter}
    parts = [_operation_parameter(part) for part in parameter.get("part", ())]
    return row | ({"part": parts} if parts else {})


def _read(folder: Path, resource_type: str) -> list[dict[str, Any]]:
    """The resources of this type in the folder, by the names of their files."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"{resource_type}-*.json"))]


def _lines(value: Any, depth: int, indent: str = "") -> str:
    """JSON with one line for each member down to `depth`, so that a change of one fact is a change of one line."""
    if not depth or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _lines(item, depth - 1, inner) for item in value) + f"\n{indent}]"
    members = (f"{inner}{json.dumps(key)}: {_lines(item, depth - 1, inner)}" for key, item in value.items())
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def main(arguments: list[str]) -> int:
    """Writes the tables.  Returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m fhir_server.fhir.derive FOLDER", file=sys.stderr)
        return 2
    source, target = Path(arguments[0]), carried("profiles") / "r4"
    structures = _read(source, "StructureDefinition")
    rows = elements(structures)
    value_sets, code_systems = _read(source, "ValueSet"), _read(source, "CodeSystem")
    tables = {
        "elements.json": _lines(rows, 3),
        "bindings.json": _lines(bindings(rows["structures"], value_sets, code_systems), 3),
        "invariants.json": _lines(invariants(structures), 2),
        "search-parameters.json": _lines(search_parameters(_read(source, "SearchParameter")), 2),
        "operations.json": _lines(operations(_read(source, "OperationDefinition")), 3),
        "compartment-patient.json": _lines(compartment(_read(source, "CompartmentDefinition")), 1),
    }
    target.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (target / name).write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
