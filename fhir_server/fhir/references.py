"""References: what a text points at, where a resource holds them, and how a transaction rewrites them.

R4: references.html#literal, references.html#regex, http.html#trules, bundle.html#references

>>> parse("https://server.example/fhir/Patient/1/_history/2", base="https://server.example/fhir")
Reference(type='Patient', id='1', version='2', url=None, query=None)
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.fhir import definitions
from fhir_server.fhir.definitions import Element

URI_TYPES = frozenset({"uri", "url", "canonical", "oid", "uuid"})
#: Of those, the ones that a transaction rewrites: "elements of type canonical are not replaced" (http.html#trules), and
#: a uuid that became `Patient/1` would be none.
_REWRITTEN = frozenset({"uri", "url"})

_TYPE_AND_ID = r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?"
_LOCAL = re.compile(_TYPE_AND_ID)
_RESTFUL = re.compile(r"(?P<base>https?://[^?#]+)/" + _TYPE_AND_ID)
_CONDITIONAL = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?(?P<query>.*)", re.DOTALL)
_TAG = re.compile(r"""<(a|img)((?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'))+)(?=\s*/?>)""")
_LINK = re.compile(r"""(?P<before>\s(?P<name>href|src)\s*=\s*(?P<quote>["']))(?P<url>.*?)(?=(?P=quote))""", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """What a reference says.  `url` is None for a resource of this server, and for a conditional reference.

    Of this server: `type`, `id` and perhaps `version`.  Elsewhere: `url`, with type, id and version too if it has the
    RESTful form.  `#…`, `urn:…` and anything else: `url` alone.  Conditional (`Patient?identifier=1`): `type`, `query`.
    """

    type: str | None = None
    id: str | None = None
    version: str | None = None
    url: str | None = None
    query: str | None = None

    def __str__(self) -> str:
        """The reference as it is written in a resource."""
        if self.url is not None:
            return self.url
        if self.query is not None:
            return f"{self.type}?{self.query}"
        version = f"/_history/{self.version}" if self.version else ""
        return f"{self.type}/{self.id}{version}"

    @property
    def local(self) -> bool:
        """Whether it names a resource of this server."""
        return self.url is None and self.id is not None

    @property
    def contained(self) -> bool:
        """Whether it names a resource inside the one that holds it; `#` is that one.  R4: references.html#contained"""
        return self.url is not None and self.url.startswith("#")


def parse(text: str, base: str | None = None) -> Reference:
    """What `text` refers to; `base` is this server's own, without a slash at its end.  Every text is some Reference."""
    own = f"{base}/" if base else None
    relative = text.removeprefix(own) if own else text
    if match := _LOCAL.fullmatch(relative):
        return Reference(**match.groupdict())
    if match := _CONDITIONAL.fullmatch(relative):
        return Reference(**match.groupdict())
    if match := _RESTFUL.fullmatch(text):
        return Reference(match["type"], match["id"], match["version"], url=text)
    return Reference(url=text)


def service_root(full_url: str) -> str | None:
    """The base of a RESTful URL, against which relative references beside it are resolved; None for any other URL.

    R4: bundle.html#references

    >>> service_root("https://other.example/r4/Observation/5")
    'https://other.example/r4'
    """
    match = _RESTFUL.fullmatch(full_url)
    return match["base"] if match else None


@dataclass(frozen=True)
class Found:
    """A literal reference in a resource: `expression` is the FHIRPath of its element, `type` that of the element.

    `type` is Reference (then `value` is Reference.reference and `expression` that of the Reference), uri, url,
    canonical, oid or uuid.  `targets` are the types it may point at, none listed: any.
    """

    expression: str
    type: str
    value: str
    targets: tuple[str, ...] = ()


def walk_references(resource: dict[str, Any]) -> Iterator[Found]:
    """Every literal reference of the resource, its contained resources and its extensions, in document order.

    A Reference with only an identifier or a display holds none.  The entries of a Bundle are not entered: references
    in it are resolved within it.  R4: bundle.html#references
    """
    type = resource["resourceType"]
    yield from _found(resource, _resource_structure(type), type, ())


def rewrite(resource: dict[str, Any], mapping: Mapping[str, str], base: str | None = None) -> dict[str, Any]:
    """A copy in which what `mapping` names (`urn:uuid:…`, a full URL) is replaced by its value (`Patient/1`).

    Replaced in Reference.reference, in elements of type uri and url, and in the `<a href>` and
    `<img src>` of narratives; a fragment, a canonical's version and `/_history/…` stay.  Text is never touched.
    `base` is the service_root of the entry's full URL: a relative reference is looked up under it too.
    R4: http.html#trules, bundle.html#references
    """

    def replaced(text: str) -> str:
        return _replaced(text, mapping, base)

    return _rewritten(resource, _resource_structure(resource["resourceType"]), replaced)


def _found(
    values: dict[str, Any], structure: Mapping[str, Element], path: str, targets: tuple[str, ...]
) -> Iterator[Found]:
    for name, value in values.items():
        element = structure.get(name.removeprefix("_"))
        if element is None or _resolves_within(element):
            continue
        for index, item in _items(value):
            here = f"{path}.{element.choice.removesuffix('[x]') if element.choice else element.name}{index}"
            if isinstance(item, dict):
                yield from _found(item, _inside(element, item), here, element.targets)
            elif isinstance(item, str) and _is_uri(element):
                yield Found(here, element.type, item, element.targets)
            elif isinstance(item, str) and _is_reference(element, structure):
                yield Found(path, "Reference", item, targets)


def _rewritten(values: dict[str, Any], structure: Mapping[str, Element], replaced: Callable[[str], str]) -> dict:
    result = {}
    for name, value in values.items():
        element = structure.get(name.removeprefix("_"))
        result[name] = value if element is None else _rewritten_value(value, element, structure, replaced)
    return result


def _rewritten_value(
    value: Any, element: Element, structure: Mapping[str, Element], replaced: Callable[[str], str]
) -> Any:
    if isinstance(value, list):
        return [_rewritten_value(item, element, structure, replaced) for item in value]
    if _resolves_within(element):
        return value
    if isinstance(value, dict):
        return _rewritten(value, _inside(element, value), replaced)
    if not isinstance(value, str):
        return value
    if (_is_uri(element) and element.type in _REWRITTEN) or _is_reference(element, structure):
        return replaced(value)
    if element.type == "xhtml":
        return _narrative(value, replaced)
    return value


def _narrative(div: str, replaced: Callable[[str], str]) -> str:
    """The narrative with its links replaced, and every other byte as it was."""

    def link(match: re.Match[str]) -> str:
        url = html.unescape(match["url"])
        new = replaced(url)
        return match["before"] + (match["url"] if new == url else html.escape(new))

    return _TAG.sub(lambda tag: f"<{tag[1]}{_LINK.sub(link, tag[2])}", div)


def _replaced(text: str, mapping: Mapping[str, str], base: str | None) -> str:
    if text in mapping:
        return mapping[text]
    for mark in ("#", "|", "/_history/"):
        start, found, rest = text.partition(mark)
        if found and start in mapping:
            return mapping[start] + found + rest
    if base is not None and _LOCAL.fullmatch(text):
        absolute = f"{base}/{text}"
        new = _replaced(absolute, mapping, None)
        return text if new == absolute else new
    return text


def _is_reference(element: Element, structure: Mapping[str, Element]) -> bool:
    return element.name == "reference" and structure is definitions.structure("Reference")


def _is_uri(element: Element) -> bool:
    """Whether it may name a resource.  Extension.url, the name of a definition, does not."""
    return element.type in URI_TYPES and not element.attribute


def _resolves_within(element: Element) -> bool:
    return element.structure == "Bundle.entry"


def _inside(element: Element, value: dict[str, Any]) -> Mapping[str, Element]:
    """The elements of what the property holds: of a primitive, its id and extensions."""
    if element.structure is None:
        return definitions.structure("Element")
    if element.structure != "Resource":
        return definitions.structure(element.structure)
    return _resource_structure(value.get("resourceType"))


def _resource_structure(type: Any) -> Mapping[str, Element]:
    """The elements of the resource type; none if R4 does not know it, which is for the structure check to say."""
    return definitions.structure(type) if isinstance(type, str) and definitions.is_resource(type) else {}


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, list):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    return [("", value)]
