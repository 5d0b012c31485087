"""A query, read: search parameters into an expression; those of the result are read by search/query.py.

Raises on what it does not know, and says what there is; leniency is decided in interactions/search.py, for the
client's own query alone.  R4: search.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from functools import partial

from fhir_server.fhir.outcome import BadRequest, NotFound, NotSupported, TooCostly
from fhir_server.fhir.terminology import relations
from fhir_server.fhir.terminology.carried import carried_terminologies
from fhir_server.fhir.terminology.systems import Source
from fhir_server.fhir.types import TYPES
from fhir_server.fhir.words import meant
from fhir_server.search import filtering
from fhir_server.search.expression import (
    EVERYTHING,
    NOTHING,
    And,
    Expression,
    InRecord,
    InRecords,
    Match,
    OfTypes,
    Present,
    ReferredBy,
    Refers,
    ValueTest,
    Within,
    all_of,
    any_of,
    has_joins,
    none_of,
)
from fhir_server.search.parameters import Component, Parameter, follow_types, parameters
from fhir_server.search.types import date, id, near, number, quantity, reference, string, token, uri

#: So many values may stand behind one parameter, parted by commas.
MOST_VALUES = 500
#: So many resources may be gone through, from one to the next, by chains and `_has`.
MOST_LINKS = 8
#: The parameters that every type has beside those of its own, though they are not in the registry.
OF_EVERY_TYPE = ("_has", "_list", "_filter")

#: The modifiers of each type of parameter, beside `:missing`; a reference takes the types it may refer to, too.
MODIFIERS = {
    "token": ("text", "not", "in", "not-in", "above", "below", "of-type"),
    "string": ("contains", "exact"),
    "uri": ("above", "below"),
    "reference": ("identifier",),
}
#: Parameters of the answer, not of what is looked for: search/query.py reads them.  R4: search.html#Summary
RESULT_PARAMETERS = (
    "_sort",
    "_count",
    "_include",
    "_revinclude",
    "_total",
    "_summary",
    "_elements",
    "_contained",
    "_containedType",
    "_maxresults",
    "_format",
    "_pretty",
)

_OF_URIS: dict[str, Callable[[str], ValueTest]] = {"below": uri.parse_below, "above": uri.parse_above}
#: Not a modifier that a client may write.
_WHOLE = "="
_OF_STRINGS: dict[str, Callable[[str], ValueTest]] = {
    "contains": string.parse_contains,
    "exact": string.parse_exact,
    _WHOLE: string.parse_whole,
}


@dataclass(frozen=True)
class Reader:
    """What reading a query depends on: the server's base url, its time zone, now, and the terminologies."""

    base: str
    zone: tzinfo
    now: datetime
    terminology: Source = field(default_factory=carried_terminologies)

    def expression(self, type: str, pairs: Iterable[tuple[str, str]]) -> Expression:
        """What these search parameters ask of `type`: all of them.  Raises BadRequest."""
        return all_of(*(self.term(type, name, value) for name, value in pairs))

    def term(self, type: str, name: str, text: str, links: int = 0, *, whole: bool = False) -> Expression:
        """What one parameter asks; its values are alternatives.  Raises BadRequest.

        links: how many resources were gone through to come here.  whole: a string is all of the text, not its start.
        """
        if links > MOST_LINKS:
            raise BadRequest(f"`{name}` goes on too far: at most {MOST_LINKS} resources are gone through, one by one.")
        if text == "":
            raise BadRequest(f"`{name}` has no value.")
        if name == "_has" or name.startswith("_has:"):
            return self._reverse(type, name, text, links, whole)
        if "." in name:
            return self._chain(type, name, text, links, whole)
        code, _, modifier = name.partition(":")
        if code == "_list":
            return self._list(type, modifier, text)
        if name == "_filter":
            return filtering.parse(text, partial(self.term, type, links=links))
        parameter = _known(type, name, code)
        if modifier == "missing":
            return self._missing(parameter, name, text)
        values = token.split(text, ",")
        if len(values) > MOST_VALUES:
            raise BadRequest(f"`{name}` has {len(values)} values; at most {MOST_VALUES} can be asked for at once.")
        _refuse_modifier(parameter, modifier)
        if whole and not modifier:
            modifier = _WHOLE
        try:
            found = any_of(*(self._value(type, parameter, modifier, value) for value in values))
        except ValueError as error:
            raise BadRequest(f"`{name}={text}`: {error}.") from None
        return none_of(found) if modifier in ("not", "not-in") else found

    # --- across resources

    def _chain(self, type: str, name: str, text: str, links: int, whole: bool) -> Expression:
        """`subject:Patient.name=…`: refers to a resource that passes the rest.  R4: search.html#chaining"""
        first, _, rest = name.partition(".")
        code, _, wanted = first.partition(":")
        parameter = _known(type, name, code)
        if parameter.type != "reference":
            raise BadRequest(f"`{name}`: `{code}` is a {parameter.type} parameter; only a reference can be followed.")
        if not parameter.targets:
            raise BadRequest(f"`{name}`: nothing that `{code}` refers to is kept here, so it cannot be followed.")
        if wanted and wanted not in parameter.targets:
            raise BadRequest(f"`{name}`: `{code}` refers to {', '.join(parameter.targets)}, not to `{wanted}`.")
        found: list[Expression] = []
        refusals: list[BadRequest] = []
        for target in (wanted,) if wanted else parameter.targets:
            try:
                term = self.term(target, rest, text, links + 1, whole=whole)
            except BadRequest as error:
                refusals.append(error)
            else:
                found += [Refers(type, code, target, term), _in_contained(code, target, term)]
        if found:
            return any_of(*found)
        if len(refusals) == 1:
            raise refusals[0]
        raise BadRequest(
            f"`{name}`: what `{code}` refers to ({', '.join(parameter.targets)}) cannot be searched by "
            f"`{rest}={text}`. {refusals[0].issues[0].diagnostics}"
        )

    def _reverse(self, type: str, name: str, text: str, links: int, whole: bool) -> Expression:
        """`_has:Observation:patient:code=…`: one that passes the rest refers to it.  R4: search.html#has"""
        parts = name.split(":", 3)
        if len(parts) < 4 or not all(parts):
            raise BadRequest(f"`{name}` is not `_has:[type]:[reference parameter]:[parameter]`.")
        _, source, code, rest = parts
        if source not in TYPES:
            raise BadRequest(f"`{name}`: `{source}` is not a type that is kept here{meant(source, TYPES)}.")
        parameter = _known(source, name, code)
        if parameter.type != "reference" or type not in parameter.targets:
            raise BadRequest(f"`{name}`: `{code}` of {source} does not refer to {type}.")
        return ReferredBy(type, source, code, self.term(source, rest, text, links + 1, whole=whole))

    def _list(self, type: str, modifier: str, text: str) -> Expression:
        """`_list=42`: named by an item of List/42.  R4: search.html#list"""
        if modifier:
            raise BadRequest(f"`_list` has no modifier `:{modifier}`.")
        if text.startswith("$"):
            raise BadRequest(f"`_list={text}`: there are no functional lists here; give the id of a List.")
        ids = frozenset(value.removeprefix("List/") for value in token.split(text, ","))
        return ReferredBy(type, "List", "item", Match("_id", id.IdTest(ids)))

    # --- values

    def _missing(self, parameter: Parameter, name: str, text: str) -> Expression:
        if text not in ("true", "false"):
            raise BadRequest(f"`{name}={text}`: expected true or false.")
        if parameter.type == "composite" or parameter.code == "_id":
            raise BadRequest(f"`{parameter.code}` has no modifier `:missing`.")
        if parameter.code == "_lastUpdated":
            present: Expression = EVERYTHING
        else:
            present = any_of(*(Present(field, parameter.record) for field in parameter.fields))
        return present if text == "false" else none_of(present)

    def _value(self, type: str, parameter: Parameter, modifier: str, text: str) -> Expression:
        if parameter.type == "composite":
            return self._composite(type, parameter, text)
        if parameter.fields != (parameter.code,):
            known = parameters(type)
            return any_of(*(self._value(type, known[field], modifier, text) for field in parameter.fields))
        return self._matching(parameter, parameter.code, modifier, text)

    def _matching(self, parameter: Parameter, field: str, modifier: str, text: str) -> Expression:
        """That a value kept under `field` is what the text asks."""
        if parameter.code == "_id":
            return Match(field, id.parse(text))
        match parameter.type:
            case "token":
                return self._token(parameter, field, modifier, text)
            case "uri":
                return Match(field, _OF_URIS.get(modifier, uri.parse)(text))
            case "string":
                return Match(field, _OF_STRINGS.get(modifier, string.parse)(text))
            case "date":
                return Match(field, date.parse(text, repeated=parameter.repeated, zone=self.zone, now=self.now))
            case "number":
                return Match(field, number.parse(text))
            case "quantity":
                return Match(field, quantity.parse(text))
            case "special":
                return Match(near.FIELD, near.parse(text))
        return self._reference(parameter, field, modifier, text)

    def _token(self, parameter: Parameter, field: str, modifier: str, text: str) -> Expression:
        match modifier:
            case "text":
                return Match(f"{field}:text", string.parse(text))
            case "of-type":
                return Match(field, token.parse_of_type(text))
            case "in" | "not-in" | "above" | "below":
                return self._coded(parameter, field, self._codes(parameter, modifier, text))
        test = token.parse(text)
        if test.system is None or not _names_no_system(parameter):
            return Match(field, test)
        # A `code` does not say its system: where it is bound, it has one all the same.  R4: search.html#token
        if test.system and test.system not in parameter.systems:
            return NOTHING
        return Match(field, replace(test, system=None)) if test.code else Present(field)

    def _codes(self, parameter: Parameter, modifier: str, text: str) -> frozenset[tuple[str, str]]:
        """(system, code) of each member of a value set, or of each code that subsumes another or is subsumed by it."""
        try:
            if modifier in ("in", "not-in"):
                return relations.members(self.terminology, token.unescape(text))
            asked = token.parse(text)
            system = asked.system or (min(parameter.systems) if len(parameter.systems) == 1 else "")
            if not system or not asked.code:
                raise ValueError(f"`:{modifier}` takes system|code")
            related = relations.ancestors if modifier == "above" else relations.descendants
            return frozenset((system, code) for code in related(self.terminology, system, asked.code))
        except (NotFound, TooCostly, NotSupported) as error:
            raise BadRequest(f"`{parameter.code}:{modifier}={text}`: {error.issues[0].diagnostics}") from None

    def _coded(self, parameter: Parameter, field: str, codes: frozenset[tuple[str, str]]) -> Expression:
        """That it is one of these codes."""
        if not _names_no_system(parameter):
            return Match(field, token.TokensTest(codes))
        plain = sorted(code for system, code in codes if system in parameter.systems)
        return any_of(*(Match(field, token.TokenTest(None, code)) for code in plain))

    def _reference(self, parameter: Parameter, field: str, modifier: str, text: str) -> Expression:
        if modifier == "identifier":
            return Match(f"{field}:identifier", token.parse(text))
        if modifier not in ("", _WHOLE):
            if "/" in text or ":" in text:
                raise ValueError(f"with `:{modifier}` the value is an id alone")
            text = f"{modifier}/{text}"
        return naming(parameter, reference.parse(text, parameter.named, self.base).targets, field)

    def _composite(self, type: str, parameter: Parameter, text: str) -> Expression:
        """`code$value`, both of one and the same repetition.  R4: search.html#composite"""
        asked = token.split(text, "$")
        readings: list[Expression] = []
        refusals: list[ValueError] = []
        for element, components in parameter.components:
            if len(asked) != len(components):
                raise ValueError(f"expected {len(components)} values with a `$` between them")
            try:
                readings.append(self._of_one(type, element, components, asked))
            except ValueError as error:
                refusals.append(error)
        if not readings:
            raise refusals[0]
        return any_of(*readings)

    def _of_one(self, type: str, element: str, components: tuple[Component, ...], asked: list[str]) -> Expression:
        known = parameters(type)
        pairs = list(zip(components, asked, strict=True))
        if not element:
            return all_of(*(self._matching(known[half.code], half.kept_as, "", text) for half, text in pairs))
        within = all_of(*(self._matching(known[half.code], half.kept_as, "", text) for half, text in pairs))
        # The first of them is asked of the whole resource too: that is what an index answers.
        return all_of(self._value(type, known[components[0].code], "", asked[0]), Within(f"parts.{element}", within))


def naming(parameter: Parameter, targets: frozenset[str], field: str | None = None) -> Expression:
    """That a reference names one of these, `Type/id`: of a record, by whose it is."""
    if not parameter.record:
        return Match(field or parameter.code, reference.ReferenceTest(targets))
    patients = frozenset(
        target.removeprefix("Patient/")
        for target in targets
        if target.startswith("Patient/") and "/_history/" not in target
    )
    rest = frozenset(target for target in targets if target.removeprefix("Patient/") not in patients)
    in_record: Expression = InRecord(next(iter(patients))) if len(patients) == 1 else InRecords(patients)
    terms = [in_record] if patients else []
    return any_of(*terms, *([Match(field or parameter.code, reference.ReferenceTest(rest))] if rest else []))


def _names_no_system(parameter: Parameter) -> bool:
    """Whether the values of a token parameter are of types that say no system."""
    return not follow_types(parameter.walk) - token.WITHOUT_SYSTEM


def _in_contained(code: str, type: str, term: Expression) -> Expression:
    """That the reference names a contained resource of the type that passes the term.  R4: search.html#contained"""
    if has_joins(term):
        return NOTHING
    refers = Match(f"@{code}", uri.UriTest(("",)))
    return And((contains(type), Within("contained", all_of(OfTypes((type,)), refers, term))))


def contains(type: str) -> Expression:
    """That the resource holds one of the type."""
    return Match(f"#{type}", uri.UriTest(("",)))


def _refuse_modifier(parameter: Parameter, modifier: str) -> None:
    """Raise BadRequest for a modifier that the parameter does not take, and say which it does."""
    if not modifier or modifier in parameter.named:
        return
    takes = modifiers(parameter)
    if modifier in takes:
        return
    offered = ", ".join(f":{one}" for one in ("missing", *takes, *parameter.named[:20]))
    did_you = meant(f":{modifier}", [f":{one}" for one in ("missing", *takes, *parameter.named)])
    raise BadRequest(
        f"`{parameter.code}` is a {parameter.type} parameter without `:{modifier}`{did_you}; it takes {offered}."
    )


def modifiers(parameter: Parameter) -> tuple[str, ...]:
    """The modifiers that the parameter takes besides `:missing` and the types that a reference is narrowed to."""
    if parameter.code == "_id":
        return ("not",)
    takes = MODIFIERS.get(parameter.type, ())
    # An identifier alone has a type beside its system.  R4: search.html#token
    return takes if "Identifier" in follow_types(parameter.walk) else tuple(one for one in takes if one != "of-type")


def _known(type: str, name: str, code: str) -> Parameter:
    """The parameter of this code.  Raises BadRequest that names those there are."""
    parameter = parameters(type).get(code)
    if parameter is None:
        did_you = meant(code, [*parameters(type), *OF_EVERY_TYPE, *RESULT_PARAMETERS])
        raise BadRequest(f"`{name}` is not a search parameter of {type}{did_you}; known: {known(type)}.")
    return parameter


def known(type: str) -> str:
    """The parameters of a type, for an error message."""
    return ", ".join([*parameters(type), *OF_EVERY_TYPE, *RESULT_PARAMETERS])
