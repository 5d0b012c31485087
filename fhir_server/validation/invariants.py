"""The standard's invariants: what must hold between the elements of an object, where each of them is good by itself.

They are HL7's own expressions (profiles/r4/invariants.json), compiled by predicates.py.  Written by hand are those that
no expression of that kind says, or whose fault has a place of its own: see BY_HAND.  Elsewhere are ele-1, dom-2 and
ref-1 (elements.py), txt-1 and txt-2 (narrative.py).

An expression that is empty is not true, so that the invariant is broken.  Of ppc-2 to ppc-5 the published expressions
ask for the system `something`, so that no Consent breaks them.

R4: conformance-rules.html#constraints
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from fhir_server.config import carried
from fhir_server.fhir import definitions, references
from fhir_server.fhir.definitions import Element
from fhir_server.validation import predicates
from fhir_server.validation.places import step
from fhir_server.validation.words import shown

Resource = dict[str, Any]
#: Where an invariant is broken, and how to say so; no words: as the table does.
Breach = tuple[tuple[str, ...], str | None]


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant, as it holds for the objects of one structure, or for an element of theirs."""

    key: str
    severity: str
    words: str
    when: frozenset[str] | None
    """The JSON keys without any of which it cannot be broken; None: it is to be asked always."""
    names: tuple[str, ...]
    """The elements that it is about; none named: all that is inside."""
    local: bool
    """Whether these alone decide."""
    breaches: Callable[[Any, str, Resource, Resource], Iterable[Breach]]
    """Of a value: (value, its FHIRPath, its resource, the outermost resource) → where it is broken."""


@cache
def invariants(structure: str, severity: str = "error") -> tuple[Invariant, ...]:
    """The invariants of this severity for an object of this structure: `Observation`, `Timing.repeat`, `Quantity`."""
    table = _table()
    rows = list(table.get(structure, ()))
    if "contained" in definitions.structure(structure) and structure != "DomainResource":
        rows += table["DomainResource"]
    return tuple(
        invariant
        for row in rows
        if row["severity"] == severity and row["key"] not in _ELSEWHERE
        for invariant in _made(row, structure)
    )


@cache
def _table() -> dict[str, list[dict[str, str]]]:
    table: dict[str, list[dict[str, str]]] = orjson.loads((carried("profiles") / "r4" / "invariants.json").read_bytes())
    return table | {structure: [*table.get(structure, ()), *rows] for structure, rows in _FURTHER.items()}


def _made(row: dict[str, str], structure: str) -> Iterator[Invariant]:
    key, severity, words = row["key"], row["severity"], _words(row, structure)
    by_hand = BY_HAND.get(key)
    if by_hand:
        yield Invariant(key, severity, words, frozenset([by_hand.when]), (), False, by_hand.breaches)
        return
    expression = _CORRECTED.get(key, row["expression"])
    wanted = row.get("element")
    if wanted is None:
        condition = predicates.compile(expression, structure)
        children = definitions.structure(structure)
        keys = frozenset(key for name in condition.elements for key in _keys(children, name))
        vacuous = condition.local and (condition.holds({}) or _ABOUT_A_NAME.match(expression) is not None)
        yield Invariant(
            key,
            severity,
            words,
            keys if vacuous else None,
            condition.elements,
            condition.local,
            _broken(condition, children),
        )
        return
    for element in definitions.structure(structure).values():
        if wanted in (element.name, element.choice):
            condition = predicates.compile(expression, element.structure or element.type)
            breaches = _broken_within(condition, element)
            stem = (element.choice or element.name).removesuffix("[x]")
            yield Invariant(key, severity, words, frozenset([element.name]), (stem,), condition.local, breaches)


def _broken(
    condition: predicates.Condition, children: Mapping[str, Element]
) -> Callable[[Any, str, Resource, Resource], Iterable[Breach]]:
    def breaches(value: Any, path: str, resource: Resource, root: Resource) -> Iterable[Breach]:
        if condition.holds(value, resource, root):
            return ()
        return [((*(path + _place(value, children, name) for name in condition.elements), path), None)]

    return breaches


def _broken_within(
    condition: predicates.Condition, element: Element
) -> Callable[[Any, str, Resource, Resource], Iterable[Breach]]:
    def breaches(value: Any, path: str, resource: Resource, root: Resource) -> Iterable[Breach]:
        content = value[element.name]
        for index, item in enumerate(content if element.many else [content]):
            if not condition.holds(item, resource, root):
                place = path + step(element) + (f"[{index}]" if element.many else "")
                decisive = [f"{place}.{name}" for name in condition.elements]
                yield (*decisive, place), None

    return breaches


def _keys(children: Mapping[str, Element], name: str) -> Iterator[str]:
    for element in children.values():
        if name in (element.name, (element.choice or "").removesuffix("[x]")):
            yield element.name
            if element.primitive:
                yield f"_{element.name}"


def _place(value: Any, children: Mapping[str, Element], name: str) -> str:
    """What leads to a child of this name: to the one that is there, if there is one."""
    for key in _keys(children, name):
        if key in value:
            element = children[key.removeprefix("_")]
            return step(element) + ("[0]" if element.many and len(value[key]) == 1 else "")
    return f".{name}"


# --- in words

_ABOUT_A_NAME = re.compile(r"name\.matches\(")

#: The words of the standard, where these would not tell what to do.
_SENTENCES = {
    "age-1": "An Age has a positive value, with a code of UCUM for its unit, such as `a` or `mo`",
    "app-1": "Each participant has a `type` or an `actor`",
    "app-2": "`start` and `end` are given together, or neither is",
    "app-3": "`start` and `end` may be missing only while the status is `proposed`, `cancelled` or `waitlist`",
    "app-4": "`cancelationReason` may stand only where the status is `cancelled` or `no-show`",
    "att-1": "An attachment with `data` must say its `contentType`",
    "bdl-1": "`total` may stand only in a Bundle of type `searchset` or `history`",
    "bdl-2": "`entry.search` may stand only in a Bundle of type `searchset`",
    "bdl-5": "An entry must have a `resource`, unless it has a `request` or a `response`",
    "bdl-8": "`fullUrl` must not name a version: leave `/_history/…` out",
    "bdl-9": "A document must have an `identifier` with system and value",
    "bdl-10": "A document must have a `timestamp`",
    "bdl-11": "The first resource of a document must be its Composition",
    "bdl-12": "The first resource of a message must be its MessageHeader",
    "cpt-2": "A contact point with a `value` must say its `system`: `phone`, `email`, …",
    "dis-1": "A Distance has a code of UCUM for its unit, such as `m` or `km`",
    "dom-6": "A narrative in `text` would let people read the resource where software cannot",
    "drt-1": "A Duration with a `code` has a value, and `http://unitsofmeasure.org` as system",
    "ext-1": "An extension has either a value or extensions of its own, not both and not neither",
    "fhs-1": "`age` and `born` must not both be there",
    "lst-1": "`emptyReason` may stand only in a list without entries",
    "lst-2": "`deleted` may stand only in a list whose mode is `changes`",
    "lst-3": "The `date` of an entry may stand only in a list whose mode is `working`",
    "obs-3": "A reference range has at least one of `low`, `high` and `text`",
    "obs-6": "`dataAbsentReason` may stand only where there is no value",
    "obs-7": "A component with the code of the Observation itself rules out a value beside it: put it into one of them",
    "org-1": "An organization has at least a `name` or an `identifier`",
    "pat-1": "A contact has at least one of `name`, `telecom`, `address` and `organization`",
    "per-1": "`end` must not be before `start`",
    "ppc-1": "A consent has a `policy` or a `policyRule`",
    "prr-1": "`orderDetail` may stand only where there is a `code`",
    "qrs-1": "An item must not have both answers and items: nest the items under the answer",
    "qty-3": "A quantity with a `code` for its unit must say the `system` of that code",
    "rat-1": "A ratio has both a numerator and a denominator, or neither, and then an extension",
    "rng-2": "`low` must not be above `high`",
    "sev-1": "An entity has a `name` or a `query`, not both",
    "sqty-1": "No `comparator` may stand in this quantity",
    "tim-1": "A `duration` needs a `durationUnit`",
    "tim-2": "A `period` needs a `periodUnit`",
    "tim-9": "An `offset` needs a `when`, which is not `C`, `CM`, `CD` or `CV`",
}
_OF_STRUCTURE = {
    ("inv-1", "Task"): "`lastModified` must not be before `authoredOn`",
    ("inv-1", "Parameters.parameter"): "A parameter has one of a value, a resource and parts",
}


def _words(row: dict[str, str], structure: str) -> str:
    """The invariant as one sentence, with its key."""
    words = _SENTENCES.get(row["key"]) or _OF_STRUCTURE.get((row["key"], structure))
    if words is None:
        words = " ".join(row["human"].split()).rstrip(".")
        for shouted, plain in (("SHALL NOT", "must not"), ("SHALL", "must"), ("IF ", "If "), ("NOT both", "not both")):
            words = words.replace(shouted, plain)
        words = words[:1].upper() + words[1:]
    return f"{words} ({row['key']})."


# --- by hand

#: sdf-9 begins with children(), which are all that has elements; con-3 compares a CodeableConcept with a text.
_CORRECTED = {
    "sdf-9": " and ".join(
        f"{view}.element.where(path.contains('.').not()).{name}.empty()"
        for view in ("snapshot", "differential")
        for name in ("label", "code", "requirements")
    ),
    "con-3": "clinicalStatus.exists() or verificationStatus.coding.where(code = 'entered-in-error').exists() "
    "or category.coding.where(code = 'problem-list-item').empty()",
}
_ELSEWHERE = frozenset({"dom-2", "ref-1", "txt-1", "txt-2"})
_REQUESTS = ("batch", "transaction", "history")
_RESPONSES = ("batch-response", "transaction-response", "history")
#: What the standard says beside its invariants.
_FURTHER = {
    "Bundle.entry": [
        {"key": "fullUrl", "severity": "error", "expression": "", "human": ""},
        {"key": "fullUrl-id", "severity": "warning", "expression": "", "human": ""},
    ],
    "DomainResource": [{"key": "contained", "severity": "error", "expression": "", "human": ""}],
    "Extension": [{"key": "url", "severity": "error", "expression": "", "human": ""}],
}
_NESTED = re.compile(r"xtension\[[0-9]+\]\.extension\[[0-9]+\]")


@dataclass(frozen=True, slots=True)
class ByHand:
    """An invariant that is written here, and the key without which it cannot be broken."""

    when: str
    breaches: Callable[[Any, str, Resource, Resource], Iterable[Breach]]


def _unreferenced(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """dom-3.  What the narrative links to does not count."""
    named = {found.value for found in references.walk_references(value)}
    for index, inner in enumerate(value["contained"]):
        if f"#{inner.get('id')}" in named or any(found.value == "#" for found in references.walk_references(inner)):
            continue
        who = f"The contained {inner['resourceType']} {shown(inner['id'])}" if "id" in inner else "It has no id, and"
        yield (f"{path}.contained[{index}]",), f"{who} is not referred to by anything in the resource (dom-3)."


def _contained_meta(*names: str) -> Callable[[Any, str, Resource, Resource], Iterator[Breach]]:
    """dom-4, dom-5"""

    def breaches(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
        for index, inner in enumerate(value["contained"]):
            for name in names:
                if name in inner.get("meta", {}) or f"_{name}" in inner.get("meta", {}):
                    yield (f"{path}.contained[{index}].meta.{name}",), None

    return breaches


def _on_behalf_of_another(value: Any, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """ctm-1, as far as the reference tells the type of the member."""
    member = value.get("member", {})
    found = references.parse(member["reference"]) if "reference" in member else None
    type = found.type if found and found.query is None else member.get("type")
    if found and found.contained:
        inside = [inner for inner in root.get("contained", ()) if f"#{inner.get('id')}" == found.url]
        type = inside[0]["resourceType"] if inside else None
    if type not in (None, "Practitioner"):
        yield (f"{path}.onBehalfOf", path), None


def _same_code(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """obs-7"""
    if not any(key.removeprefix("_").startswith("value") for key in value):
        return
    codings = {predicates.identity(coding) for coding in value.get("code", {}).get("coding", ())}
    for index, component in enumerate(value["component"]):
        if any(predicates.identity(coding) in codings for coding in component.get("code", {}).get("coding", ())):
            yield (f"{path}.component[{index}].code", f"{path}.value", path), None


def _repeated_codes(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """csd-1"""
    return _repeated(_nested(value, path, "concept", "code"), "The code {} stands more than once (csd-1).")


def _repeated_link_ids(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """que-2"""
    return _repeated(_nested(value, path, "item", "linkId"), "The linkId {} stands more than once (que-2).")


def _nested(value: Any, path: str, children: str, name: str) -> Iterator[tuple[str, Any]]:
    for index, child in enumerate(value.get(children, ())):
        place = f"{path}.{children}[{index}]"
        if child.get(name) is not None:
            yield f"{place}.{name}", child[name]
        yield from _nested(child, place, children, name)


def _repeated(found: Iterable[tuple[str, Any]], words: str) -> Iterator[Breach]:
    """Each value that an earlier place has too; the earlier place is named behind it."""
    seen: dict[Any, str] = {}
    for place, value in found:
        if value in seen:
            yield (place, seen[value]), words.format(shown(value))
        seen.setdefault(value, place)


def _entry_parts(name: str, key: str, types: tuple[str, ...]) -> Callable[..., Iterator[Breach]]:
    """bdl-3, bdl-4"""

    def breaches(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
        expected = value.get("type") in types
        for index, entry in enumerate(value["entry"]):
            if (name in entry) != expected:
                must = "must have" if expected else "must not have"
                words = f"Each entry of a Bundle of type {shown(value.get('type'))} {must} a `{name}` ({key})."
                yield (f"{path}.entry[{index}].{name}", f"{path}.entry[{index}]"), words

    return breaches


def _repeated_full_urls(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """bdl-7"""
    if value.get("type") == "history":
        return iter(())
    found = (
        (f"{path}.entry[{index}].fullUrl", entry["fullUrl"] + _version(entry.get("resource", {})))
        for index, entry in enumerate(value["entry"])
        if "fullUrl" in entry
    )
    return _repeated(found, "An earlier entry has the same `fullUrl`, and no other version: {} (bdl-7).")


def _version(resource: Resource) -> str:
    version_id = resource.get("meta", {}).get("versionId")
    return f" version {version_id}" if version_id else ""


def _relative_full_url(value: Any, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """R4: bundle.html, Bundle.entry.fullUrl"""
    if ":" not in value["fullUrl"]:
        yield (f"{path}.fullUrl",), f"`fullUrl` is an absolute URL, not {shown(value['fullUrl'])}."


def _another_id(value: Any, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """R4: bundle.html, Bundle.entry.fullUrl.  In a batch or transaction, ids are yet to be given.

    Published examples of the standard break it, and what is in the Bundle can be read all the same: it is a warning.
    """
    full_url, inner = value["fullUrl"], value.get("resource", {})
    found = references.parse(full_url)
    if root.get("type") in ("batch", "transaction") or found.id is None or "id" not in inner or found.version:
        return
    if found.type == inner["resourceType"] and found.id != inner["id"]:
        yield (
            (f"{path}.fullUrl",),
            f"`fullUrl` ends with another id, {shown(found.id)}, than the resource has, {shown(inner['id'])}.",
        )


def _repeated_ids(value: Resource, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """R4: references.html#contained: the id of a contained resource tells it from the others"""
    found = ((f"{path}.contained[{index}].id", inner.get("id")) for index, inner in enumerate(value["contained"]))
    return _repeated((pair for pair in found if pair[1] is not None), "Another contained resource has the id {} too.")


def _relative_url(value: Any, path: str, resource: Resource, root: Resource) -> Iterator[Breach]:
    """R4: extensibility.html#Extension: absolute, but for an extension within another"""
    if ":" not in value["url"] and not _NESTED.search(path[-60:]):
        words = f"`url` is the absolute URL of the definition of the extension, not {shown(value['url'])}."
        yield (f"{path}.url", path), words


BY_HAND = {
    "contained": ByHand("contained", _repeated_ids),
    "bdl-3": ByHand("entry", _entry_parts("request", "bdl-3", _REQUESTS)),
    "bdl-4": ByHand("entry", _entry_parts("response", "bdl-4", _RESPONSES)),
    "bdl-7": ByHand("entry", _repeated_full_urls),
    "csd-1": ByHand("concept", _repeated_codes),
    "ctm-1": ByHand("onBehalfOf", _on_behalf_of_another),
    "dom-3": ByHand("contained", _unreferenced),
    "dom-4": ByHand("contained", _contained_meta("versionId", "lastUpdated")),
    "dom-5": ByHand("contained", _contained_meta("security")),
    "fullUrl": ByHand("fullUrl", _relative_full_url),
    "fullUrl-id": ByHand("fullUrl", _another_id),
    "obs-7": ByHand("component", _same_code),
    "que-2": ByHand("item", _repeated_link_ids),
    "url": ByHand("url", _relative_url),
}
