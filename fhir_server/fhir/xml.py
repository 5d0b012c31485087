"""FHIR's XML to the same values as its JSON, and back.

Read by expat and not by lxml, because expat says at which byte an element begins and ends: the narrative is sliced out
of the document as it was written.  No DTD is accepted, so there is no entity to resolve or to blow up.

    <birthDate id="a" value="1970"><extension …/></birthDate>
    {"birthDate": "1970", "_birthDate": {"id": "a", "extension": […]}}

A value that is not of its type (`<active value="maybe"/>`) is kept as a string, for the structure check to name beside
every other fault of the resource.

R4: xml.html, json.html.  XML 1.0
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from itertools import zip_longest
from typing import Any, NoReturn
from xml.parsers import expat  # noqa: S406 - no DTD gets past it, so no entity does

from fhir_server.fhir import narrative
from fhir_server.fhir.definitions import PRIMITIVES, Element, is_resource, structure
from fhir_server.fhir.json import MAX_DEPTH, FhirDecimal, number
from fhir_server.fhir.outcome import BadRequest, Issue, Unprocessable

FHIR = "http://hl7.org/fhir"
_SCHEMA_LOCATION = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"
_MAX_ISSUES = 100
# Each narrative may have to be given all the namespaces that are bound around it.
_MAX_NAMESPACES = 16
_MAX_NAMESPACE_LENGTH = 256
_INTEGER = re.compile(r"0|[-+]?[1-9][0-9]{0,17}", re.ASCII)
_BOM = b"\xef\xbb\xbf"


def parse(data: bytes) -> dict[str, Any]:
    """The resource that `data` holds.  Raises BadRequest: not XML, not R4's elements, a DOCTYPE; naming every fault."""
    if not data.strip():
        raise BadRequest("The body is empty; expected XML.")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: byte {error.start} is {data[error.start]:#04x}.") from None
    if b"\0" in data:  # expat would take it for UTF-16, whatever it is told
        raise BadRequest("The body is not UTF-8: there is a NUL in it.")
    reader = _Reader(data.removeprefix(_BOM))
    try:
        return reader.read()
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise BadRequest(f"Not XML: {reason}, line {error.lineno} column {error.offset + 1}.") from None


def dumps(resource: Mapping[str, Any], *, pretty: bool = False) -> bytes:
    """The document of a resource: compact, or with an indent of two.  Elements in the standard's order.

    Raises Unprocessable for what has no place in R4's XML: an unknown element, a narrative that is not well-formed.
    """
    writer = _Writer("\n" if pretty else "")
    writer.resource(resource, indent="", expression=_type_of(resource, "Resource"), xmlns=f' xmlns="{FHIR}"')
    return ('<?xml version="1.0" encoding="UTF-8"?>' + "".join(writer.parts)).encode()


class _Frame:
    """An element that is open: where its children go."""

    __slots__ = ("element", "elements", "extras", "members", "parent", "value")

    def __init__(self, parent: _Frame | None, element: Element | None, elements: Mapping[str, Element] | None):
        self.parent = parent
        self.element = element
        self.elements = elements
        """The children it may have; None for a holder of a resource (`contained`, `Bundle.entry.resource`)."""
        self.members: dict[str, Any] = {}
        self.extras: dict[str, Any] = {}
        """Of primitive members: id and extensions, which JSON writes beside them under `_name`."""
        self.value: Any = None
        """Of a primitive: its value.  Of a holder: its resource."""

    def finished(self) -> dict[str, Any]:
        """The members, with each `_name` behind its `name`."""
        if not any(self.extras.values()):
            return self.members
        members = {}
        for name, value in self.members.items():
            extra = self.extras.get(name)
            if not _is_void(value):
                members[name] = value
            if not _is_void(extra):
                members[f"_{name}"] = extra
        return members

    def expression(self) -> str:
        """The FHIRPath of the element."""
        if not self.parent:
            return str(self.members.get("resourceType", ""))
        if not self.element:
            return self.parent.expression()
        path = f"{self.parent.expression()}.{self.element.name}"
        if not self.element.many:
            return path
        return f"{path}[{len(self.parent.members.get(self.element.name, ()))}]"


class _Reader:
    """One pass over one document."""

    def __init__(self, document: bytes):
        self.document = document
        self.issues: list[Issue] = []
        self.frame: _Frame | None = None
        self.resource: dict[str, Any] = {}
        self.depth = 0
        self.skipped_from = 0
        self.div_from = self.div_depth = 0
        self.namespaces: list[tuple[str | None, str | None]] = []
        self.parser = parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self.declaration
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartNamespaceDeclHandler = self.namespace
        parser.EndNamespaceDeclHandler = lambda prefix: self.namespaces.pop()
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters

    def read(self) -> dict[str, Any]:
        self.parser.Parse(self.document, True)
        if self.issues:
            raise BadRequest.of(self.issues)
        return self.resource

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding and encoding.lower() not in ("utf-8", "us-ascii"):
            raise BadRequest(f"The encoding is `{encoding[:40]}`; FHIR is UTF-8.")

    def namespace(self, prefix: str | None, uri: str | None) -> None:
        self.namespaces.append((prefix, uri))
        if len(self.namespaces) > _MAX_NAMESPACES:
            raise BadRequest(f"More than {_MAX_NAMESPACES} namespaces are bound at once.")
        if len(uri or "") > _MAX_NAMESPACE_LENGTH:
            raise BadRequest(f"A namespace is longer than {_MAX_NAMESPACE_LENGTH} characters.")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadRequest(f"Nested deeper than {MAX_DEPTH} levels.")
        if self.skipped_from or self.div_depth:
            return
        uri, _, name = tag.rpartition(" ")
        frame = self.frame
        if frame is None or frame.elements is None:
            self.start_resource(uri, name, attributes)
            return
        element = frame.elements.get(name)
        if uri == narrative.XHTML and element and element.type == "xhtml":
            if self.once(frame, element):
                self.div_from, self.div_depth = self.parser.CurrentByteIndex, self.depth
            return
        if not element or element.attribute or element.type == "xhtml" or uri != FHIR:
            self.skip(_unknown_element(uri, name), frame)
            return
        self.start_element(frame, element, attributes)

    def start_resource(self, uri: str, name: str, attributes: dict[str, str]) -> None:
        if uri != FHIR:
            raise BadRequest(f"{_unknown_element(uri, name)}.")
        if not is_resource(name):
            raise BadRequest(f"`{name[:40]}` is not an R4 resource type.")
        if self.frame and self.frame.value is not None:
            self.skip(f"A second resource, `{name}`, in one element", self.frame)
            return
        self.frame = _Frame(self.frame, None, structure(name))
        self.frame.members["resourceType"] = name
        self.attributes(self.frame, attributes, allowed=())

    def start_element(self, frame: _Frame, element: Element, attributes: dict[str, str]) -> None:
        if not self.once(frame, element):
            return
        if element.primitive:
            self.frame = _Frame(frame, element, structure("Element"))
            self.attributes(self.frame, attributes, allowed=("id", "value"))
            return
        if element.type == "Resource":
            self.frame = _Frame(frame, element, None)
            self.attributes(self.frame, attributes, allowed=())
            return
        self.frame = _Frame(frame, element, structure(element.structure or element.type))
        allowed = ("id", "url") if element.type == "Extension" else ("id",)
        self.attributes(self.frame, attributes, allowed=allowed)

    def once(self, frame: _Frame, element: Element) -> bool:
        """Whether there is room for one more; if not, it is skipped and reported."""
        if element.many or element.name not in frame.members:
            return True
        self.skip(f"`{element.name}` may stand here once", frame)
        return False

    def attributes(self, frame: _Frame, attributes: dict[str, str], *, allowed: tuple[str, ...]) -> None:
        for name, text in attributes.items():
            if name in allowed and name == "value":
                frame.value = _value(PRIMITIVES[frame.element.type] if frame.element else "string", text)
            elif name in allowed:
                frame.members[name] = text
            elif name != _SCHEMA_LOCATION:
                self.fault(f"Unknown attribute `{name.rpartition(' ')[2][:40]}`", frame.expression())

    def end(self, tag: str) -> None:
        depth, self.depth = self.depth, self.depth - 1
        if self.skipped_from:
            if depth == self.skipped_from:
                self.skipped_from = 0
            return
        if self.div_depth:
            if depth == self.div_depth:
                self.end_div()
            return
        frame = self.frame
        assert frame is not None
        parent = self.frame = frame.parent
        if frame.element is None:
            self.end_resource(frame, parent)
            return
        assert parent is not None
        if frame.elements is None:
            self.end_holder(frame, parent)
        elif frame.element.primitive:
            self.end_primitive(frame, parent)
        else:
            _add(parent.members, frame.element, frame.finished())

    def end_resource(self, frame: _Frame, parent: _Frame | None) -> None:
        if parent is None:
            self.resource = frame.finished()
            return
        parent.value = frame.finished()

    def end_holder(self, frame: _Frame, parent: _Frame) -> None:
        assert frame.element is not None
        if frame.value is None:
            self.fault("No resource in this element", frame.expression())
            return
        _add(parent.members, frame.element, frame.value)

    def end_primitive(self, frame: _Frame, parent: _Frame) -> None:
        assert frame.element is not None
        extra = frame.finished() or None
        if frame.value is None and extra is None:
            self.fault("Neither a value nor an extension", frame.expression())
            return
        _add(parent.members, frame.element, frame.value)
        _add(parent.extras, frame.element, extra)

    def end_div(self) -> None:
        frame = self.frame
        assert frame is not None
        start, self.div_depth = self.div_from, 0
        stop = narrative.end_of_element(self.document, start, self.parser.CurrentByteIndex)
        div = self.document[start:stop].decode()
        try:
            frame.members["div"] = narrative.standalone(div, dict(self.namespaces))
        except ValueError as error:
            self.fault(f"The narrative is refused: {error}", f"{frame.expression()}.div")

    def characters(self, text: str) -> None:
        if self.skipped_from or self.div_depth or not text.strip(" \t\r\n"):
            return
        self.fault(f"Text outside of a narrative: `{text.strip()[:40]}`; values stand in `value`", self.here())

    def skip(self, diagnostics: str, frame: _Frame) -> None:
        """Report the element that begins here and pass over all that is in it."""
        self.fault(diagnostics, frame.expression())
        self.skipped_from = self.depth

    def here(self) -> str:
        return self.frame.expression() if self.frame else ""

    def fault(self, diagnostics: str, expression: str) -> None:
        if len(self.issues) < _MAX_ISSUES:
            line = self.parser.CurrentLineNumber
            self.issues.append(Issue("structure", f"{diagnostics}, line {line}.", (expression,)))


def _refuse_doctype(*_: object) -> NoReturn:
    raise BadRequest("A DOCTYPE may not stand in a FHIR document.")


def _unknown_element(uri: str, name: str) -> str:
    if uri == FHIR and name == "div":
        return f"The narrative is not XHTML: its `div` is in `{FHIR}`; expected `{narrative.XHTML}`"
    if uri == FHIR:
        return f"Unknown element `{name[:40]}`"
    return f"Element `{name[:40]}` is in {f'namespace `{uri[:80]}`' if uri else 'no namespace'}; expected `{FHIR}`"


def _is_void(value: Any) -> bool:
    """Whether it is None, or an array of None alone."""
    return value is None or (isinstance(value, list) and all(item is None for item in value))


def _add(members: dict[str, Any], element: Element, value: Any) -> None:
    if element.many:
        members.setdefault(element.name, []).append(value)
    else:
        members[element.name] = value


def _value(kind: str, text: str) -> Any:
    """The text as JSON would carry it; as it is, if it is not of its kind."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind == "integer":
        return int(text) if _INTEGER.fullmatch(text) else text
    if kind == "decimal":
        try:
            return number(text)
        except ValueError:
            return text
    return text


class _Writer:
    """One document, as the parts of its text."""

    def __init__(self, newline: str):
        self.parts: list[str] = []
        self.newline = newline
        self.step = "  " if newline else ""

    def resource(self, resource: Mapping[str, Any], *, indent: str, expression: str, xmlns: str = "") -> None:
        type_ = _type_of(resource, expression)
        self.parts.append(f"{self.newline}{indent}<{type_}{xmlns}>")
        members = {name: value for name, value in resource.items() if name != "resourceType"}
        self.children(members, type_, indent=indent + self.step, expression=expression)
        self.parts.append(f"{self.newline}{indent}</{type_}>")

    def children(self, members: Mapping[str, Any], key: str, *, indent: str, expression: str) -> None:
        for element in _in_order(members, key, expression):
            path = f"{expression}.{element.name}"
            if element.primitive:
                self.primitives(members, element, indent, path)
                continue
            value = members[element.name]
            if isinstance(value, list) != element.many:
                raise Unprocessable(f"`{element.name}` is {'not an array' if element.many else 'an array'}.", path)
            for place, item in enumerate(value if element.many else [value]):
                at = f"{path}[{place}]" if element.many else path
                if not isinstance(item, Mapping):
                    raise Unprocessable(f"`{element.name}` is not an object.", at)
                self.complex(item, element, indent, at)

    def complex(self, value: Mapping[str, Any], element: Element, indent: str, expression: str) -> None:
        name = element.name
        if element.type == "Resource":
            self.parts.append(f"{self.newline}{indent}<{name}>")
            self.resource(value, indent=indent + self.step, expression=expression)
            self.parts.append(f"{self.newline}{indent}</{name}>")
            return
        self.node(name, value, element.structure or element.type, attributes="", indent=indent, expression=expression)

    def primitives(self, members: Mapping[str, Any], element: Element, indent: str, expression: str) -> None:
        value, extra = members.get(element.name), members.get(f"_{element.name}")
        if element.type == "xhtml":
            self.div(value, indent, expression)
            return
        if not element.many:
            self.primitive(value, extra, element, indent, expression)
            return
        for list_ in (value, extra):
            if list_ is not None and not isinstance(list_, list):
                raise Unprocessable(f"`{element.name}` is not an array.", expression)
        for place, (one, beside) in enumerate(zip_longest(value or (), extra or ())):
            self.primitive(one, beside, element, indent, f"{expression}[{place}]")

    def primitive(self, value: Any, extra: Any, element: Element, indent: str, expression: str) -> None:
        attributes = "" if value is None else f' value="{_text(value, expression)}"'
        if extra is not None and not isinstance(extra, Mapping):
            raise Unprocessable(f"`_{element.name}` is not an object.", expression)
        self.node(element.name, extra or {}, "Element", attributes=attributes, indent=indent, expression=expression)

    def node(
        self, name: str, members: Mapping[str, Any], key: str, *, attributes: str, indent: str, expression: str
    ) -> None:
        children = {}
        elements = _positions(key)
        before = ""
        for member, value in members.items():
            if member in elements and elements[member][1].attribute:
                before += f' {member}="{_text(value, expression)}"'
            else:
                children[member] = value
        opening = f"{self.newline}{indent}<{name}{before}{attributes}"
        if not children:
            self.parts.append(f"{opening}/>")
            return
        self.parts.append(f"{opening}>")
        self.children(children, key, indent=indent + self.step, expression=expression)
        self.parts.append(f"{self.newline}{indent}</{name}>")

    def div(self, value: Any, indent: str, expression: str) -> None:
        if not isinstance(value, str):
            raise Unprocessable("The narrative is not a string.", expression)
        try:
            self.parts.append(f"{self.newline}{indent}{narrative.element(value)}")
        except ValueError as error:
            raise Unprocessable(f"The narrative cannot be written as XML: {error}.", expression) from None


def _type_of(resource: Mapping[str, Any], expression: str) -> str:
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or not is_resource(type_):
        raise Unprocessable(f"`{type_}` is not an R4 resource type.", expression)
    return type_


@cache
def _positions(key: str) -> dict[str, tuple[int, Element]]:
    return {name: (place, element) for place, (name, element) in enumerate(structure(key).items())}


def _in_order(members: Mapping[str, Any], key: str, expression: str) -> Iterator[Element]:
    """The elements that the members belong to, each once, in the standard's order.  R4: xml.html"""
    positions = _positions(key)
    found: dict[str, tuple[int, Element]] = {}
    for member in members:
        name = member.removeprefix("_")
        if name not in positions or (name != member and not _has_extras(positions[name][1])):
            raise Unprocessable(f"Unknown element `{member}`.", expression)
        found[name] = positions[name]
    return (element for _, element in sorted(found.values(), key=lambda one: one[0]))


def _has_extras(element: Element) -> bool:
    return element.primitive and element.type != "xhtml" and not element.attribute


_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"} | {
    ord(character): f"&#{ord(character)};" for character in "\t\n\r"
}


def _text(value: Any, expression: str) -> str:
    """The value of an attribute, such that a reader finds in it every character.  XML 1.0 s. 3.3.3"""
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, FhirDecimal):
        return value.text
    if isinstance(value, int | Decimal):
        return str(value)
    raise Unprocessable("Neither a string, a number nor a boolean.", expression)
