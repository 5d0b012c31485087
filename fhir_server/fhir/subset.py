"""Parts of a resource: `_summary` and `_elements`.  R4: search.html#summary, search.html#elements

Whatever the part, it can be read safely: `id`, `meta`, mandatory elements and modifiers are in it, and the tag
SUBSETTED says that it must not be sent back as an update.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from fhir_server.fhir import definitions
from fhir_server.fhir.definitions import Element

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "Resource encoded in summary mode",
}

_ALWAYS = frozenset({"resourceType", "id", "meta"})


def summarise(resource: dict[str, Any], mode: str) -> dict[str, Any]:
    """What `_summary=true`, `text` or `data` leaves of the resource, on a copy.

    `true`: the elements that R4 marks as summary, at every level.  `text`: the narrative.  `data`: all but the
    narrative.  Raises KeyError for another mode: `count` and `false` are not parts of a resource.
    """
    modes: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "true": lambda whole: _summary(whole, _structure_of(whole)),
        "text": lambda whole: _top_level(whole, {"text"}),
        "data": lambda whole: {name: value for name, value in whole.items() if name != "text"},
    }
    return _tagged(modes[mode](resource))


def elements(resource: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """What `_elements` leaves of the resource, on a copy: the top-level elements in `names`, and what a reader needs.

    A name is that of FHIRPath (`name`, `Patient.name`, `value` for valueQuantity) or of JSON (`valueQuantity`); of a
    name that goes deeper the first step counts, and one for another type is not meant for this resource.
    """
    own = f"{resource['resourceType']}."
    relative = [name.removeprefix(own) for name in names]
    return _tagged(_top_level(resource, {name.split(".")[0] for name in relative}))


def _top_level(resource: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    structure = _structure_of(resource)

    def kept(name: str) -> bool:
        element = structure.get(name.removeprefix("_"))
        if name in _ALWAYS or element is None:
            return name in _ALWAYS
        return _needed(element) or element.name in wanted or (element.choice or "").removesuffix("[x]") in wanted

    return {name: value for name, value in resource.items() if kept(name)}


def _summary(values: dict[str, Any], structure: Mapping[str, Element]) -> dict[str, Any]:
    """The summary of a resource or of what is inside an element.

    `_name`, the id and extensions of a primitive, is no summary; but where there is no value it is all there is.
    """
    result: dict[str, Any] = {}
    always = _ALWAYS if "resourceType" in values else ()
    for name, value in values.items():
        element = structure.get(name.removeprefix("_"))
        if name in always:
            result[name] = value
        elif element is None or not (element.summary or _needed(element)):
            continue
        elif name.startswith("_"):
            if _lacks_values(values.get(element.name)):
                result[name] = value
        else:
            result[name] = _summary_of(value, element)
    return {name: value for name, value in result.items() if value not in ({}, [])}


def _summary_of(value: Any, element: Element) -> Any:
    if isinstance(value, list):
        inner = [_summary_of(item, element) for item in value]
        return [item for item in inner if item != {}]
    if element.structure is None or element.type == "Extension" or not isinstance(value, dict):
        return value  # of extensions only modifiers come here, and they are read whole
    structure = _structure_of(value) if element.structure == "Resource" else definitions.structure(element.structure)
    part = _summary(value, structure)
    return value if not part and element.min else part


def _needed(element: Element) -> bool:
    """Whether a reader cannot do without it: it is mandatory, or changes the meaning of the rest."""
    return element.min > 0 or element.modifier


def _lacks_values(value: Any) -> bool:
    return value is None or (isinstance(value, list) and None in value)


def _structure_of(resource: dict[str, Any]) -> Mapping[str, Element]:
    return definitions.structure(resource["resourceType"])


def _tagged(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource with the tag SUBSETTED in a copy of its meta, which follows the id."""
    meta = resource.get("meta", {})
    tags = [tag for tag in meta.get("tag", []) if not _same_code(tag, SUBSETTED)]
    head: dict[str, Any] = {name: resource[name] for name in ("resourceType", "id") if name in resource}
    rest = {name: value for name, value in resource.items() if name not in _ALWAYS}
    return {**head, "meta": {**meta, "tag": [*tags, SUBSETTED]}, **rest}


def _same_code(tag: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(tag.get(name) == other[name] for name in ("system", "code"))
