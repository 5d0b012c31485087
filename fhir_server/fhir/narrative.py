"""The XHTML of a narrative: read byte for byte, and made fit to stand in an XML document.

A `div` travels in JSON as a string and in XML as an element.  It is never rebuilt when it can be sliced or embedded as
it is, so that what comes out is what came in.

R4: narrative.html, xml.html#xhtml, json.html#xhtml
"""

from __future__ import annotations

import re
from html.entities import name2codepoint
from typing import Any, NoReturn
from xml.parsers import expat  # noqa: S406 - no DTD gets past it, so no entity does
from xml.sax.saxutils import quoteattr

from lxml import etree

XHTML = "http://www.w3.org/1999/xhtml"
_ROOT = f"{XHTML} div"
_MAX_DEPTH = 100
_TAG = re.compile(rb"<([^\s/>]+)")
_END_TAG = re.compile(rb"</([^\s>]+)\s*>")
_DEFAULT: Any = {None: XHTML}
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_pis=True)
# The entities of XHTML 1.0, which XML without a DTD does not know.
_ENTITY = re.compile(r"&(" + "|".join(sorted(set(name2codepoint) - {"quot", "amp", "lt", "gt"})) + ");")


def element(div: str) -> str:
    """The `div` as it may stand in an XML document: itself, but for named entities, a missing xmlns, text around it.

    Raises ValueError, in words for the author, if it is not a well-formed XHTML div, or holds a DOCTYPE or a
    processing instruction.  R4: narrative.html

    >>> element('<div xmlns="http://www.w3.org/1999/xhtml"><p>a&nbsp;b</p></div>')
    '<div xmlns="http://www.w3.org/1999/xhtml"><p>a&#160;b</p></div>'
    """
    try:
        return _root(div)
    except expat.ExpatError as error:
        numeric = _ENTITY.sub(lambda entity: f"&#{name2codepoint[entity[1]]};", div)
        if numeric == div:
            raise ValueError(_reason(error)) from None
    try:
        return _root(numeric)
    except expat.ExpatError as error:
        raise ValueError(_reason(error)) from None


def standalone(div: str, namespaces: dict[str | None, str | None]) -> str:
    """The `div` of an XML document as a document of its own.  `namespaces`: prefixes bound around it, None the default.

    As it is, if it binds all that it uses; else the same nodes with XHTML as the default namespace, without processing
    instructions.
    """
    try:
        if _root(div) == div:
            return div
    except (expat.ExpatError, ValueError):
        return _rebuilt(div, namespaces)
    return _rebuilt(div, namespaces)


def end_of_element(document: bytes, start: int, position: int) -> int:
    """Where the element that begins at `start` is over, when its end was reported at `position`.

    An end tag is reported at its `<`; an empty element (`<div/>`) behind its `>`.
    """
    name = _TAG.match(document, start)
    assert name
    end_tag = _END_TAG.match(document, position)
    return end_tag.end() if end_tag and end_tag[1] == name[1] else position


def _root(div: str) -> str:
    """The root element of a well-formed div, as written."""
    document = div.encode()
    parser = expat.ParserCreate("utf-8", " ")
    span: list[int] = []
    depth = 0
    unbound = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, unbound
        if not depth:
            unbound = name == "div"
            if name != _ROOT and not unbound:
                raise ValueError(f"the root is not a `div` of {XHTML}")
            span.append(parser.CurrentByteIndex)
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        if not depth:
            span.append(end_of_element(document, span[0], parser.CurrentByteIndex))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.ProcessingInstructionHandler = _refuse_instruction
    parser.Parse(document, True)
    text = document[slice(*span)].decode()
    if unbound:  # read again, because it may say xmlns="", which cannot be said twice
        return _root(f'<div xmlns="{XHTML}"' + text.removeprefix("<div"))
    return text


def _refuse_doctype(*_: object) -> NoReturn:
    raise ValueError("a DOCTYPE may not stand in it")


def _refuse_instruction(*_: object) -> NoReturn:
    raise ValueError("a processing instruction may not stand in it")


def _rebuilt(div: str, namespaces: dict[str | None, str | None]) -> str:
    """The nodes of the div with XHTML as their default namespace, and only the other prefixes they use."""
    bound = "".join(
        f" xmlns{':' + prefix if prefix else ''}={quoteattr(uri or '')}"
        for prefix, uri in namespaces.items()
        if prefix != "xml"
    )
    try:
        node = etree.fromstring(f"<around{bound}>{div}</around>".encode(), _PARSER)[0]
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not well-formed XHTML: {error.msg}") from None
    copy = etree.Element(node.tag, attrib=dict(node.attrib), nsmap=_DEFAULT)
    copy.text = node.text
    copy.extend(list(node))
    etree.cleanup_namespaces(copy)
    return etree.tostring(copy, encoding="unicode", with_tail=False)


def _reason(error: expat.ExpatError) -> str:
    return f"not well-formed XHTML: {expat.ErrorString(error.code)}, line {error.lineno} column {error.offset + 1}"
