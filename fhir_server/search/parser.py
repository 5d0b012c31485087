"""A query, read: search parameters into an expression; those of the result are read where the answer is made.

Raises on what it does not know, and says what there is; leniency is decided in interactions/search.py, for the
client's own query alone.  R4: search.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

from fhir_server.fhir.outcome import BadRequest
from fhir_server.search.expression import Expression, InRecord, Match, all_of, any_of
from fhir_server.search.parameters import Parameter, parameters
from fhir_server.search.types import date, id, reference, string, token, uri

#: Parameters of the answer, not of what is looked for.  R4: search.html#Summary
RESULT_PARAMETERS = ("_count", "_total", "_summary", "_elements", "_format", "_pretty")


#: So many values may stand behind one parameter, parted by commas.
MOST_VALUES = 500


@dataclass(frozen=True)
class Reader:
    """What reading a query depends on: the server's base url, its time zone, and now."""

    base: str
    zone: tzinfo
    now: datetime

    def expression(self, type: str, pairs: Iterable[tuple[str, str]]) -> Expression:
        """What these search parameters ask of `type`: all of them.  Raises BadRequest."""
        return all_of(*(self.term(type, name, value) for name, value in pairs))

    def term(self, type: str, name: str, text: str) -> Expression:
        """What one parameter asks: any of its comma-separated values.  R4: search.html#combining"""
        code, _, modifier = name.partition(":")
        parameter = parameters(type).get(code)
        if parameter is None:
            raise BadRequest(f"`{name}` is not a search parameter of {type}; known: {known(type)}.")
        if modifier:
            raise BadRequest(f"`{code}` has no modifier `:{modifier}` here; write `{code}=…`.")
        if text == "":
            raise BadRequest(f"`{name}` has no value.")
        values = token.split(text, ",")
        if len(values) > MOST_VALUES:
            raise BadRequest(f"`{name}` has {len(values)} values; at most {MOST_VALUES} can be asked for at once.")
        try:
            return any_of(*(self._value(parameter, value) for value in values))
        except ValueError as error:
            raise BadRequest(f"`{name}={text}`: {error}.") from None

    def _value(self, parameter: Parameter, text: str) -> Expression:
        code = parameter.code
        if code == "_id":
            return Match(code, id.parse(text))
        match parameter.type:
            case "token":
                return Match(code, token.parse(text))
            case "uri":
                return Match(code, uri.parse(text))
            case "string":
                return Match(code, string.parse(text))
            case "date":
                return Match(code, date.parse(text, repeated=parameter.repeated, zone=self.zone, now=self.now))
        test = reference.parse(text, parameter.targets, self.base)
        if not parameter.record:
            return Match(code, test)
        patients = [target for target in test.targets if target.startswith("Patient/")]
        rest = tuple(target for target in test.targets if not target.startswith("Patient/"))
        terms: list[Expression] = [InRecord(target.removeprefix("Patient/")) for target in patients]
        return any_of(*terms, *([Match(code, reference.ReferenceTest(rest))] if rest else []))


def known(type: str) -> str:
    """The parameters of a type, for an error message."""
    return ", ".join([*parameters(type), *RESULT_PARAMETERS])
