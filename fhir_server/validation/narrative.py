"""The XHTML of a narrative: well-formed, one `div`, basic formatting and nothing that runs.

R4: narrative.html#xhtml, invariants txt-1 (which elements and attributes) and txt-2 (some content)
"""

from __future__ import annotations

import re
from typing import NoReturn
from xml.parsers import expat  # noqa: S406 - no DTD gets past it, so no entity does

_XHTML = "http://www.w3.org/1999/xhtml"
_XML = "http://www.w3.org/XML/1998/namespace"
#: More is of no use to a reader, and fhir.narrative writes no more.
_MAX_DEPTH = 100

_ELEMENTS = """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img
    li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var
"""
_ATTRIBUTES = """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite
    class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev
    rowspan rules scope shape span src start style summary tabindex title type valign value vspace width
"""
#: txt-1; the `xml:` attributes may stand in any XML.  Names are as expat gives them: namespace, space, name.
_ALLOWED = frozenset(f"{_XHTML} {name}" for name in _ELEMENTS.split())
_ALLOWED_ATTRIBUTES = frozenset(_ATTRIBUTES.split()) | {f"{_XML} {name}" for name in ("base", "id", "lang", "space")}
#: The attributes that hold a URL, and what in them would run in a reader's browser.
_URLS = frozenset({"cite", "href", "longdesc", "src"})
_ACTIVE = ("javascript:", "vbscript:", "data:text/")

#: The first thing to be seen behind a tag: a character, or an image.
_CONTENT = re.compile(r">\s*[^<\s]|<img\b")
_ENTITY = re.compile(rb"&\w{1,20};")
_UNDEFINED_ENTITY = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]


class _NotAllowed(Exception):
    """Well-formed as far as read, but not for a narrative; in words."""


def fault(div: str) -> str | None:
    """What is wrong with the content of Narrative.div, as the rest of a sentence; None if nothing is."""
    document = div.encode()
    parser = expat.ParserCreate("utf-8", " ")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        if not depth and name != f"{_XHTML} div":
            raise _NotAllowed(f'must be `<div xmlns="{_XHTML}">`, not {_shown(name)}')
        depth += 1
        if depth > _MAX_DEPTH:
            raise _NotAllowed(f"is nested deeper than {_MAX_DEPTH} levels")
        if name not in _ALLOWED:
            raise _NotAllowed(f"holds {_shown(name)}, which a narrative may not have (txt-1)")
        for attribute, value in attributes.items():
            if attribute not in _ALLOWED_ATTRIBUTES:
                bare = attribute.rpartition(" ")[2][:60]
                raise _NotAllowed(f"holds the attribute `{bare}`, which a narrative may not have (txt-1)")
            # A browser skips white space in front of a scheme and within it.
            if attribute in _URLS and "".join(value.split()).lower().startswith(_ACTIVE):
                raise _NotAllowed(f"holds a script in the attribute `{attribute}`")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler = start
    if div.count("<") > _MAX_DEPTH:  # with fewer tags it cannot be too deep, and to hear of each end costs most
        parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.XmlDeclHandler = parser.ProcessingInstructionHandler = _refuse_instruction
    try:
        parser.Parse(document, True)
    except _NotAllowed as error:
        return str(error)
    except expat.ExpatError as error:
        entity = _ENTITY.match(document, parser.ErrorByteIndex) if error.code == _UNDEFINED_ENTITY else None
        if entity:
            return f"is not XHTML: `{entity[0].decode()}` is not known to XML; write the character itself"
        return (
            f"is not well-formed XHTML: {expat.ErrorString(error.code)}, line {error.lineno} column {error.offset + 1}"
        )
    return (
        None if _CONTENT.search(div) else "says nothing: write what a reader should know, or leave `text` out (txt-2)"
    )


def _refuse_doctype(*_: object) -> NoReturn:
    raise _NotAllowed("holds a DOCTYPE, which a narrative may not have")


def _refuse_instruction(*_: object) -> NoReturn:
    raise _NotAllowed("holds a processing instruction, which a narrative may not have")


def _shown(name: str) -> str:
    namespace, _, bare = name.rpartition(" ")
    if namespace == _XHTML:
        return f"`<{bare[:60]}>`"
    return f"`<{bare[:60]}>` " + (f"in the namespace {namespace[:60]}" if namespace else "without a namespace")
