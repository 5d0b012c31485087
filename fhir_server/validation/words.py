"""How a fault is put into words: what was received is quoted, and what would do is listed.

>>> shown("\\n" + "x" * 100), kind(None), listing(["a", "b"]), nearest("Patiant", ["Patient", "Person"])
('`\\\\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`', 'null', '`a`, `b`', 'Patient')
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.fhir.words import nearest as nearest

_SHOWN = 60
_LISTED = 12


def shown(value: Any, *, limit: int = _SHOWN) -> str:
    """A value as a message quotes it: in backquotes, short, without what a terminal or XML could not show."""
    text = value if isinstance(value, str) else _literal(value)
    cut = text[:limit]
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return f"`{visible}{'…' if len(text) > limit else ''}`"


def kind(value: Any) -> str:
    """What a JSON value is, for a sentence: "a list", "the number `5`"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return shown(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return f"the text {shown(value)}" if isinstance(value, str) else f"the number {shown(value)}"


def listing(names: Iterable[str]) -> str:
    """The names, quoted; of many, the first and how many more there are."""
    quoted = [f"`{name}`" for name in names]
    return ", ".join(quoted[:_LISTED]) + (f" and {len(quoted) - _LISTED} more" if len(quoted) > _LISTED else "")


def sentence(name: str, words: str) -> str:
    """What is wrong with the element of this name; words that begin with its value are set off from the name."""
    return f"`{name}`{':' if words.startswith('`') else ''} {words}."


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 256:
        return "…"  # Python refuses to write out very long integers
    return str(value)
