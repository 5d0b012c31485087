"""`_filter`: an expression in one parameter, read into the same tree as all the others.  R4: search_filter.html

    given eq "peter" and (birthdate ge 2014-10-10 or not (active eq false))

`and` binds more closely than `or`; a value is a word, or a text in quotes with JSON's escapes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

from fhir_server.fhir.outcome import BadRequest
from fhir_server.search.expression import Expression, all_of, any_of, none_of


class Term(Protocol):
    """Reads a search parameter and its value; whole: a string is all of the value."""

    def __call__(self, name: str, text: str, *, whole: bool = False) -> Expression:
        """What it asks.  Raises BadRequest."""


#: What an operator is as (modifier, prefix) of a parameter; `ne` and `ni` are their opposites turned round.
OPERATORS: dict[str, tuple[str, str]] = {
    "eq": ("", ""),
    "ne": ("", ""),
    "co": (":contains", ""),
    "sw": ("", ""),
    "gt": ("", "gt"),
    "lt": ("", "lt"),
    "ge": ("", "ge"),
    "le": ("", "le"),
    "ap": ("", "ap"),
    "sa": ("", "sa"),
    "eb": ("", "eb"),
    "pr": (":missing", ""),
    "ss": (":above", ""),
    "sb": (":below", ""),
    "in": (":in", ""),
    "ni": (":in", ""),
    "re": ("", ""),
}
#: So many conditions in one expression.
MOST_CONDITIONS = 50
_WORD = re.compile(r"""\s*(?:(?P<bracket>[()])|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()"]+))""")


def parse(text: str, term: Term) -> Expression:
    """What the expression asks.  Raises BadRequest."""
    reading = _Reading(_words(text), term)
    found = reading.alternatives()
    if reading.words:
        raise BadRequest(f"`_filter`: `{reading.words[0]}` was not expected; `and` or `or` was.")
    return found


def _words(text: str) -> list[str]:
    words, position = [], 0
    while position < len(text.rstrip()):
        found = _WORD.match(text, position)
        if not found:
            raise BadRequest(f"`_filter`: `{text[position:][:40]}` cannot be read.")
        words.append(found.group().strip())
        position = found.end()
    if len(words) > 5 * MOST_CONDITIONS:
        raise BadRequest(f"`_filter` is too long: at most {MOST_CONDITIONS} conditions are read.")
    return words


@dataclass
class _Reading:
    """The words that are still to be read, and how a condition is."""

    words: list[str]
    term: Term

    def alternatives(self) -> Expression:
        found = [self.conditions()]
        while self.words[:1] == ["or"]:
            self.words.pop(0)
            found.append(self.conditions())
        return any_of(*found)

    def conditions(self) -> Expression:
        found = [self.condition()]
        while self.words[:1] == ["and"]:
            self.words.pop(0)
            found.append(self.condition())
        return all_of(*found)

    def condition(self) -> Expression:
        word = self.next("a parameter, `not (` or `(`")
        if word == "not" and self.words[:1] == ["("]:
            return none_of(self.condition())
        if word == "(":
            found = self.alternatives()
            if self.next("`)`") != ")":
                raise BadRequest("`_filter`: a `(` is not closed.")
            return found
        return self.comparison(word)

    def comparison(self, name: str) -> Expression:
        operator = self.next(f"an operator behind `{name}`")
        if operator not in OPERATORS:
            raise BadRequest(f"`_filter`: `{operator}` is not an operator here; known: {', '.join(OPERATORS)}.")
        value = self.next(f"a value behind `{name} {operator}`")
        if value.startswith('"'):
            value = _unquoted(value)
        modifier, prefix = OPERATORS[operator]
        if operator == "pr":
            if value not in ("true", "false"):
                raise BadRequest(f"`_filter`: `{name} pr {value}`: expected true or false.")
            return self.term(name + modifier, "false" if value == "true" else "true")
        # A comma or a dollar of the value is one of the value: there are no alternatives behind one operator.
        escaped = re.sub(r"([\\,$])", r"\\\1", value)
        found = self.term(name + modifier, prefix + escaped, whole=operator in ("eq", "ne"))
        return none_of(found) if operator in ("ne", "ni") else found

    def next(self, expected: str) -> str:
        if not self.words:
            raise BadRequest(f"`_filter` ends where {expected} was expected.")
        return self.words.pop(0)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise BadRequest(f"`_filter`: {text} is not a text with JSON's escapes.") from None
