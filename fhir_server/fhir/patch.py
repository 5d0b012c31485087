"""Patches: a resource and a patch document give a new resource, or nothing is changed.

JSON Patch is applied by the jsonpatch library; FHIRPath Patch is ours.  Either way the resource keeps its type and id,
and a fault names the operation by its index.  Whether the result is a good resource is for the structure check.

R4: http.html#patch, fhirpatch.html.  RFC 6902, RFC 6901
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jsonpatch
import jsonpointer

from fhir_server.fhir import definitions, edit, json, locate
from fhir_server.fhir.definitions import Element
from fhir_server.fhir.locate import Place
from fhir_server.fhir.outcome import BadRequest, FhirError, Issue, TooLarge, Unprocessable
from fhir_server.fhir.patch_document import Operation, Value, read_operation

MOST_OPERATIONS = 5_000
MOST_COPIED = 16_000_000
"""Characters and values that the `copy` operations of one patch may add: copying a copy doubles it each time."""

Resource = dict[str, Any]

_MEMBERS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "from"),
    "copy": ("path", "from"),
    "test": ("path", "value"),
}


def parse_json_patch(data: bytes) -> list[Any]:
    """The operations of a JSON Patch document, decimals as written.  Raises BadRequest if it is not a JSON array."""
    operations = json.loads(data)
    if not isinstance(operations, list):
        raise BadRequest("A JSON Patch document is an array of operations.")
    return operations


def json_patch(resource: Resource, operations: list[Any]) -> Resource:
    """The resource with the operations of a JSON Patch applied in their order.  RFC 6902

    `test` compares numbers by value; lists and objects that the patch leaves empty are left out, since FHIR has none.
    Raises BadRequest for a malformed document, TooLarge for one out of measure, and Unprocessable, naming the
    operation, for a path that is not there, a test that fails, or a changed resourceType or id.
    """
    _check_count(operations)
    for index, operation in enumerate(operations):
        _check_operation(operation, f"Operation {index}")
    draft, copied = copy.deepcopy(resource), 0
    for index, operation in enumerate(operations):
        which = f"Operation {index} (`{operation['op']}` at `{operation['path']}`)"
        if operation["op"] == "copy":
            copied += _size(_pointed(draft, operation["from"]))
            if copied > MOST_COPIED:
                raise TooLarge(f"{which}: the copies of this patch are too large.")
        draft = _applied(draft, operation, which)
        _check_identity(resource, draft, which)
    return _without_empties(_within_depth(draft))


def _check_operation(operation: Any, which: str) -> None:
    if not isinstance(operation, dict):
        raise BadRequest(f"{which} is not an object.")
    op = operation.get("op")
    if not isinstance(op, str) or op not in _MEMBERS:
        raise BadRequest(f"{which}: unknown `op`; known: {', '.join(_MEMBERS)}.")
    for member in _MEMBERS[op]:
        if member not in operation:
            raise BadRequest(f"{which} (`{op}`) has no `{member}`.")
        if member != "value":
            _check_pointer(operation[member], f"{which} (`{op}`), `{member}`")


def _check_pointer(pointer: Any, which: str) -> None:
    if not isinstance(pointer, str):
        raise BadRequest(f"{which} is not a text.")
    try:
        depth = len(jsonpointer.JsonPointer(pointer).parts)
    except jsonpointer.JsonPointerException as error:
        raise BadRequest(f"{which}: `{pointer}` is not a JSON Pointer: {error}.") from None
    if depth > json.MAX_DEPTH:
        raise BadRequest(f"{which} is deeper than {json.MAX_DEPTH} levels.")


def _applied(draft: Any, operation: dict[str, Any], which: str) -> Any:
    """The draft, changed in place, or what replaces it as a whole.

    The library's own messages are not passed on: they quote the document.
    """
    try:
        return jsonpatch.JsonPatch([operation]).apply(draft, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        raise Unprocessable(f"{which}: the test fails, the value there is another or there is none.") from None
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
        source = f", or nothing at `{operation['from']}`" if "from" in _MEMBERS[operation["op"]] else ""
        raise Unprocessable(f"{which}: there is nothing that this can be done to{source}.") from None
    except RecursionError:
        raise Unprocessable(f"{which}: nested too deeply.") from None


def _pointed(document: Any, pointer: str) -> Any:
    return jsonpointer.JsonPointer(pointer).resolve(document, None)


def _size(value: Any) -> int:
    waiting, size = [value], 0
    while waiting:
        value = waiting.pop()
        size += 1
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            size += sum(map(len, value))
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return size


def _without_empties(value: Any) -> Any:
    """The value without empty objects and lists."""
    if isinstance(value, dict):
        inner = {
            name: _aligned(item) if name.startswith("_") else _without_empties(item) for name, item in value.items()
        }
        return {name: item for name, item in inner.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for item in map(_without_empties, value) if item not in ({}, [])]
    return value


def _aligned(extras: Any) -> Any:
    """The same of `_name`: its list runs beside that of `name`, so null stands where an object was."""
    if not isinstance(extras, list):
        return _without_empties(extras)
    items = [_without_empties(item) or None for item in extras]
    return items if any(items) else []


_QUANTITIES = frozenset({"Quantity", "SimpleQuantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity"})


def fhirpath_patch(resource: Resource, parameters: dict[str, Any]) -> Resource:
    """The resource with the operations of the Parameters applied in their order.  R4: fhirpatch.html

    Raises BadRequest for Parameters that are no patch, and for paths outside locate.GRAMMAR; Unprocessable when an
    operation does not find the one element it needs, when the value is not of the element's type, or when
    resourceType or id would change.  Each names the operation, with its place in `expression`.
    """
    if parameters.get("resourceType") != "Parameters":
        raise BadRequest("A FHIRPath Patch is a Parameters resource.")
    given = parameters.get("parameter", [])
    if not isinstance(given, list):
        raise BadRequest("Parameters.parameter is a list.", "Parameters.parameter")
    _check_count(given)
    draft = copy.deepcopy(resource)
    for index, parameter in enumerate(given):
        which = f"Operation {index}"
        try:
            operation = read_operation(parameter)
            which += f" (`{operation.type}` at `{operation.path}`)"
            _OPERATIONS[operation.type](draft, operation)
            _check_identity(resource, draft, "The result")
        except FhirError as error:
            place = (f"Parameters.parameter[{index}]",)
            issues = [Issue(issue.code, f"{which}: {issue.diagnostics}", place) for issue in error.issues]
            raise type(error).of(issues) from error
    return _within_depth(draft)


def _add(draft: Resource, operation: Operation) -> None:
    place = _one(draft, operation.path)
    element, pair = _element_and_pair(place.structure, operation.name, operation.value)
    holder = edit.inside_to_write(draft, place)
    if element.many:
        edit.store(holder, element, [*edit.pairs(holder, element), pair])
        return
    if locate.children(draft, place, locate.name_of(element)):
        raise Unprocessable(f"`{locate.name_of(element)}` is there already and does not repeat; use `replace`.")
    edit.store(holder, element, [pair])


def _insert(draft: Resource, operation: Operation) -> None:
    holder, element, place = _list(draft, operation.path)
    pair = _element_and_pair(place.structure, element.name, operation.value)[1]
    pairs = edit.pairs(holder, element)
    if not 0 <= operation.index <= len(pairs):
        raise Unprocessable(f"index {operation.index} is outside the list, which has {len(pairs)} elements.")
    pairs.insert(operation.index, pair)
    edit.store(edit.inside_to_write(draft, place), element, pairs)


def _delete(draft: Resource, operation: Operation) -> None:
    places = locate.locate(draft, operation.path)
    if len(places) > 1:
        raise Unprocessable(f"the path leads to {len(places)} elements; one can be deleted at a time.")
    if places:
        edit.remove(draft, places[0])


def _replace(draft: Resource, operation: Operation) -> None:
    place = _one(draft, operation.path)
    if place.element is None:
        raise Unprocessable("a patch does not replace the resource as a whole; use an update.")
    above = locate.parent(draft, place)
    holder = locate.inside(draft, above)
    old, index = place.steps[-1]
    element, pair = _element_and_pair(above.structure, locate.name_of(old), operation.value)
    pairs = edit.pairs(holder, old)
    pairs[index or 0] = pair
    edit.rename(holder, old, element)
    edit.store(holder, element, pairs)


def _move(draft: Resource, operation: Operation) -> None:
    holder, element, _ = _list(draft, operation.path)
    pairs = edit.pairs(holder, element)
    for name, index in (("source", operation.source), ("destination", operation.destination)):
        if not 0 <= index < len(pairs):
            raise Unprocessable(f"{name} {index} is outside the list, which has {len(pairs)} elements.")
    pairs.insert(operation.destination, pairs.pop(operation.source))
    edit.store(holder, element, pairs)


_OPERATIONS: dict[str, Callable[[Resource, Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _one(draft: Resource, path: str) -> Place:
    places = locate.locate(draft, path)
    if len(places) != 1:
        raise Unprocessable(f"the path leads to {len(places) or 'no'} elements; it must lead to one.")
    return places[0]


def _list(draft: Resource, path: str) -> tuple[dict[str, Any], Element, Place]:
    """The list that the path names, there or not yet: the object that holds it, its element, and the object's place."""
    steps = locate.steps(path, draft["resourceType"])
    name = steps[-1].name if steps else None
    if name is None:
        raise Unprocessable("the path must end in the name of a list.")
    places = locate.follow(draft, steps[:-1])
    if len(places) != 1:
        raise Unprocessable(f"the path leads into {len(places) or 'no'} elements; it must lead into one.")
    known = locate.named(places[0].structure, name)
    if not known or not known[0].many:
        raise Unprocessable(f"`{name}` is not a list.")
    return locate.inside(draft, places[0]), known[0], places[0]


def _element_and_pair(structure: str, name: str, value: Value) -> tuple[Element, edit.Pair]:
    """The element that `name` is for a value of this type, and the value as JSON.  Raises Unprocessable if none is."""
    candidates = locate.named(structure, name)
    if not candidates:
        raise Unprocessable(f"`{name}` is not an element of {structure}.")
    exact = [element for element in candidates if _capital(element.type) == value.type]
    similar = [element for element in candidates if len(candidates) == 1 and _similar(element, value)]
    for element in (*exact, *similar):
        if value.type is None:
            return element, (_object(element.structure or "", value.parts), None)
        return element, copy.deepcopy((value.json, value.extras))
    given = f"value{value.type}" if value.type else "parts"
    types = ", ".join(element.type for element in candidates)
    raise Unprocessable(f"`{name}` of {structure} cannot be given as {given}; its type: {types}.")


def _similar(element: Element, value: Value) -> bool:
    """Whether the value has the JSON of the element's type: `valueString` for a code; parts for a backbone element."""
    if value.type is None:
        return element.structure is not None
    if not element.primitive:
        return element.type in _QUANTITIES and value.type in _QUANTITIES
    kind = definitions.PRIMITIVES.get(value.type[0].lower() + value.type[1:])
    wanted = definitions.PRIMITIVES[element.type]
    return kind == wanted or (kind == "integer" and wanted == "decimal")


def _object(structure: str, parts: tuple[tuple[str, Value], ...]) -> dict[str, Any]:
    """The object that the parts of an anonymous type make; a name given again makes a list longer."""
    built: dict[str, Any] = {}
    for name, value in parts:
        element, pair = _element_and_pair(structure, name, value)
        pairs = [*edit.pairs(built, element), pair]
        if len(pairs) > 1 and not element.many:
            raise Unprocessable(f"`{name}` is given twice and does not repeat.")
        edit.store(built, element, pairs)
    return built


def _capital(type: str) -> str:
    return type[0].upper() + type[1:]


def _check_count(operations: list[Any]) -> None:
    if len(operations) > MOST_OPERATIONS:
        raise TooLarge(f"A patch has at most {MOST_OPERATIONS} operations, this one {len(operations)}.")


def _check_identity(resource: Resource, result: Any, which: str) -> None:
    for name in ("resourceType", "id"):
        if not isinstance(result, dict) or result.get(name) != resource.get(name):
            raise Unprocessable(f"{which}: a patch may not change the `{name}` of a resource.")


def _within_depth(result: Resource) -> Resource:
    level: list[Any] = [result]
    for _ in range(json.MAX_DEPTH):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, (dict, list))]
        if not level:
            return result
    raise Unprocessable(f"The patched resource would be nested deeper than {json.MAX_DEPTH} levels.")
