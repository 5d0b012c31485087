"""Searches that are worth asking of a set of records: values that are there, values that are nearly there.

What the standard leaves open is not asked here: `ap` on dates, a telephone number by its system, codes in another case
than they were written in, the order of quantities.  R4: search.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from tests.calls import BASE
from tests.naive import dates, values
from tests.naive.definitions import Component, Parameter, compartment, found_in_repetition, parameters
from tests.naive.search import Records

#: The types of the record that the service is for, and those around them.
MISSION = (
    *("Patient", "DocumentReference", "AllergyIntolerance", "Immunization"),
    *("Observation", "Appointment", "Communication"),
)
AROUND = (
    *("Condition", "Encounter", "Practitioner", "PractitionerRole", "Organization", "Location", "Medication"),
    *("MedicationRequest", "MedicationStatement", "Provenance", "List", "Coverage", "RelatedPerson", "CareTeam"),
    *("Procedure", "DiagnosticReport", "Questionnaire", "QuestionnaireResponse", "Composition"),
    *("ServiceRequest", "Specimen", "Device", "Slot", "Schedule"),
)
DATE_PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
_CONVERTED: dict[str, tuple[str, int | Decimal]] = {
    "kg": ("g", 1000),
    "g": ("kg", Decimal("0.001")),
    "mm[Hg]": ("cm[Hg]", Decimal("0.1")),
}
_CONVERTED |= {"g/L": ("mg/dL", 100), "mg/dL": ("g/L", Decimal("0.01")), "mmol/L": ("umol/L", 1000)}
_CONVERTED |= {"h": ("min", 60), "d": ("h", 24), "a": ("mo", 12), "cm[Hg]": ("mm[Hg]", 10)}

Term = tuple[str, str]


def escaped(text: str) -> str:
    """The text with a backslash before what would be read as a separator.  R4: search.html#escaping"""
    return re.sub(r"([\\,|$])", r"\\\1", text)


def url(type: str, terms: list[Term] | tuple[Term, ...]) -> str:
    """The search as it stands in a URL."""
    return f"{type}?" + "&".join(f"{quote(name, safe=':.*-_')}={quote(value, safe=':*')}" for name, value in terms)


class Candidates:
    """For each parameter the terms that may find something in these records."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[tuple[str, str], list[Term]] = {}

    def of(self, type: str, code: str) -> list[Term]:
        """The terms with one parameter of a type; the same ones, in the same order, every time."""
        if (type, code) not in self._known:
            parameter = parameters(type)[code]
            found = dict.fromkeys(term for one in self._records.of_type(type) for term in self._terms(parameter, one))
            if parameter.type != "composite" and code != "_id":
                found |= dict.fromkeys((f"{code}:missing", flag) for flag in ("true", "false"))
            self._known[type, code] = list(found)
        return self._known[type, code]

    def held(self, type: str, code: str) -> bool:
        """Whether any of the records has something that the parameter goes by."""
        parameter = parameters(type)[code]
        return any(self._records.held(parameter, one) for one in self._records.of_type(type))

    def of_one(self, resource: Mapping[str, Any], code: str) -> list[Term]:
        """The terms with one parameter that are made of what this resource holds."""
        return list(self._terms(parameters(resource["resourceType"])[code], resource))

    def _terms(self, parameter: Parameter, resource: Mapping[str, Any]) -> Iterator[Term]:
        for held in self._records.held(parameter, resource):
            if parameter.type == "composite":
                yield from ((parameter.code, text) for text in _composite(parameter, held, resource))
            else:
                yield from ((parameter.code + modifier, text) for modifier, text in asked(parameter.type, held) if text)


def asked(type: str, held: Any) -> Iterator[Term]:
    """Modifier, perhaps none, and value: what to ask in order to find this, or nearly this."""
    if type == "string":
        yield from _strings(held)
    if type == "token":
        yield from _tokens(held)
    if type == "reference":
        yield from _references(held)
    if type == "date":
        yield from (("", text) for text in _dates(held))
    if type == "quantity":
        yield from (("", text) for text in _quantities(held))
    if type == "uri":
        cut = held.rpartition("/")[0]
        yield from (("", held), ("", held + "0"), (":below", held), (":below", cut), (":below", cut.rpartition("/")[0]))
        yield from ((":above", held), (":above", held + "/deeper/still"), (":below", held + "/deeper"))
    if type == "special":
        here = f"{held['latitude']}|{held['longitude']}"
        yield from (("", f"{here}|{reach}") for reach in ("1|km", "20|km", "500|km", "20000|m", "300"))


def _strings(held: Any) -> Iterator[Term]:
    for text in values.texts(held):
        yield from (("", escaped(text)), ("", escaped(text[:3])), ("", escaped(text.upper())))
        yield from (("", escaped(values.folded(text))), ("", escaped(text[:-1]) + "q"), (":exact", escaped(text)))
        yield from ((":exact", escaped(text.swapcase())), (":contains", escaped(text[1:-1])))
        yield (":contains", escaped(values.folded(text)[2:5]))


def _tokens(held: Any) -> Iterator[Term]:
    for systems, code in values.codings(held, {}):
        system = next(iter(systems))
        text = escaped(code)
        yield from (("", text), ("", text + "x"), (":not", text))
        if isinstance(held, Mapping) and held.get("system") != "phone" and "@" not in code and " " not in code:
            whole = f"{escaped(system or '')}|{text}"
            yield from (
                ("", whole),
                ("", f"{whole},nothing|else"),
                ("", f"https://no.example|{text}"),
                ("", f"|{text}"),
            )
            yield (":not", f"{whole},{text}x")
            if system:
                yield ("", f"{escaped(system)}|")
    if not isinstance(held, Mapping):
        return
    for text in (held.get("text"), *(one.get("display") for one in held.get("coding", ()))):
        if text:
            yield from ((":text", escaped(text)), (":text", escaped(values.folded(text)[:4])), (":text", "zzz"))
    if "coding" in held.get("type", {}) and "system" in held:
        kind = held["type"]["coding"][0]
        yield (":of-type", f"{escaped(kind['system'])}|{kind['code']}|{escaped(held['value'])}")
        yield (":of-type", f"{escaped(kind['system'])}|XX|{escaped(held['value'])}")


def _references(held: Any) -> Iterator[Term]:
    if isinstance(held, str):
        yield from (("", held), ("", held.partition("|")[0]), ("", held.partition("|")[0] + "|9.9"))
        return
    identifier = held.get("identifier")
    if identifier:
        yield (":identifier", f"{identifier['system']}|{identifier['value']}")
        yield (":identifier", identifier["value"])
    where = values.local(held.get("reference", ""), BASE)
    if where is not None:
        yield from (("", where.id), ("", where.name), ("", f"{BASE}/{where.name}"), (f":{where.type}", where.id))
        yield from (("", f"{where.name}/_history/1"), ("", f"{where.name}/_history/7"), ("", f"{where.name},no-such"))
    elif held.get("reference", "").startswith("http"):
        yield ("", held["reference"])


def _dates(held: Any) -> Iterator[str]:
    if isinstance(held, Mapping):
        bounds = held.get("repeat", {}).get("boundsPeriod", held)
        found = [*held.get("event", ()), *(bounds[end] for end in ("start", "end") if end in bounds)]
    else:
        found = [held] if dates.stretch_of(held) else []
    for text in found:
        shorter = {text, text[:4], text[:7], text[:10]}
        yield from (prefix + one for one in sorted(shorter) for prefix in DATE_PREFIXES)


def _quantities(held: Mapping[str, Any]) -> Iterator[str]:
    if "value" not in held:
        held = {**held.get("low", {}), "value": 15}
    number = Decimal(str(held["value"]))
    if "comparator" in held:
        number += Decimal("0.41")
    unit, code = escaped(held.get("unit", "")), escaped(held.get("code", ""))
    measures = [""] + [f"||{unit}"] * bool(unit) + [f"|{values.UCUM}|{code}"] * bool(code)
    numbers = (
        number,
        number.normalize() * 2,
        number + Decimal("0.04"),
        Decimal(f"{number}.0") if number % 1 == 0 else number,
    )
    for measure in measures:
        yield from (f"{prefix}{one:f}{measure}" for one in numbers for prefix in DATE_PREFIXES)
    if code in _CONVERTED:
        other, factor = _CONVERTED[code]
        yield from (f"{prefix}{number * factor:f}|{values.UCUM}|{other}" for prefix in DATE_PREFIXES)


def _composite(parameter: Parameter, path: str, resource: Mapping[str, Any]) -> Iterator[str]:
    first, second = ([*_parts(part, path, resource)] for part in parameter.components)
    yield from (f"{one}${other}" for one in first[:3] for other in second[:12])


def _parts(component: Component, path: str, resource: Mapping[str, Any]) -> Iterator[str]:
    for held in found_in_repetition(path, component, resource):
        texts = (text for modifier, text in asked(component.type, held) if not modifier)
        yield from (text for text in texts if len(values.split(text, ",")) == 1)


# random searches

#: One of a pool.
Pick = Callable[[Sequence[Any]], Any]


class Searches:
    """Kinds of whole searches over these records, each drawn by picking from what is there."""

    def __init__(self, records: Records, types: Sequence[str] = (*MISSION, *AROUND)) -> None:
        self._records = records
        self._candidates = Candidates(records)
        self._types = [type for type in types if records.of_type(type)]
        self._codes = {type: [c for c in parameters(type) if self._candidates.held(type, c)] for type in self._types}
        self._onward = {type: list(self._references(type)) for type in self._types}
        self._backward = {
            type: [(source, code) for source in self._types for code, target in self._onward[source] if target == type]
            for type in self._types
        }
        self._pointing: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for one in (one for type in self._types for one in records.of_type(type)):
            for code, target in self._onward_of(one):
                self._pointing.setdefault(f"{target['resourceType']}/{target['id']}", []).append((code, one))

    def _references(self, type: str) -> Iterator[tuple[str, str]]:
        """Each reference parameter that holds something, with each type that it may lead to."""
        found = (parameters(type)[code] for code in self._codes[type])
        return (
            (one.code, target)
            for one in found
            if one.type == "reference"
            for target in one.targets
            if target in self._types
        )

    def plain(self, pick: Pick) -> str:
        """A type and one to three of its own parameters, of which one resource has something, or nearly."""
        type = pick(self._types)
        one = pick(self._records.of_type(type))
        return url(type, [self._own(pick, one) for _ in range(pick((1, 2, 3)))])

    def linked(self, pick: Pick) -> str:
        """Chains and reverse chains, one within another, and perhaps a plain term beside them."""
        type = pick(self._types)
        one = pick(self._records.of_type(type))
        near = [self._own(pick, one) for _ in range(pick((0, 0, 1)))]
        return url(type, [self._far(pick, one, pick((1, 1, 2, 3))), *near])

    def included(self, pick: Pick) -> str:
        """What comes with the matches."""
        type = pick(self._types)
        terms = [self._own(pick, pick(self._records.of_type(type))) for _ in range(pick((0, 1)))]
        rules = [self._rule(pick, type) for _ in range(pick((1, 2, 3)))]
        return url(type, [*terms, *dict.fromkeys(rules), ("_count", pick(("5", "40")))])

    def ordered(self, pick: Pick) -> str:
        """In an order, page by page."""
        type = pick(self._types)
        terms = [self._own(pick, pick(self._records.of_type(type))) for _ in range(pick((0, 1)))]
        keys = {self._key(pick, type): pick(("", "-")) for _ in range(pick((1, 2, 3)))}
        order = ",".join(sign + code for code, sign in keys.items())
        return url(type, [*terms, ("_sort", order), ("_count", pick(("3", "7", "50"))), ("_total", "accurate")])

    def in_compartment(self, pick: Pick) -> str:
        """Of one patient's record."""
        type = pick([type for type in self._types if type != "Patient" and compartment(type)])
        one = pick(self._records.of_type(type))
        terms = [self._own(pick, one) for _ in range(pick((0, 1, 2)))]
        patients = [name for code in compartment(type) for name in sorted(self._records.led_to(one, code))]
        patient = pick([name for name in patients if name.startswith("Patient/")] or ["Patient/pat-1"])
        return f"{patient}/{url(type, terms).rstrip('?')}"

    def _own(self, pick: Pick, one: Mapping[str, Any]) -> Term:
        """A term that is made of what this resource holds; now and then with another one's value beside, or instead."""
        type = one["resourceType"]
        code = pick(self._codes[type])
        others = self._candidates.of(type, code)
        name, value = pick(self._candidates.of_one(one, code) or others)
        also = [text for other, text in others if other == name and not name.endswith(":missing")]
        if also and pick((False, False, True)):
            return name, f"{value},{pick(also)}"
        return (name, value) if pick((True, True, True, False)) else pick(others)

    def _far(self, pick: Pick, one: Mapping[str, Any], depth: int) -> Term:
        """A term about what this resource refers to, or about what refers to it, so many steps away."""
        onward, back = self._onward_of(one), self._back_to(one)
        if depth == 0 or not (onward or back):
            return self._own(pick, one)
        if back and (not onward or pick((True, False))):
            code, source = pick(back)
            name, value = self._far(pick, source, depth - 1)
            return f"_has:{source['resourceType']}:{code}:{name}", value
        code, target = pick(onward)
        single = len(parameters(one["resourceType"])[code].targets) == 1
        name, value = self._far(pick, target, depth - 1)
        return f"{code}.{name}" if single else f"{code}:{target['resourceType']}.{name}", value

    def _onward_of(self, one: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        codes = dict.fromkeys(code for code, _ in self._onward[one["resourceType"]])
        return [
            (code, self._records.by_name[name]) for code in codes for name in sorted(self._records.led_to(one, code))
        ]

    def _back_to(self, one: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        return self._pointing.get(f"{one['resourceType']}/{one['id']}", [])

    def _rule(self, pick: Pick, type: str) -> Term:
        """An include that may bring something: of what the matches refer to, what refers to them, or what follows."""
        kinds = ["*"] + ["on", "exactly", "all"] * bool(self._onward[type]) + ["back"] * bool(self._backward[type])
        kind = pick(kinds)
        if kind == "*":
            return "_include", "*"
        if kind == "all":
            return "_include", f"{type}:*"
        if kind == "back":
            return pick(("_revinclude", "_revinclude:iterate")), ":".join(pick(self._backward[type]))
        code, target = pick(self._onward[type])
        if kind == "exactly":
            return "_include", f"{type}:{code}:{target}"
        if self._onward[target] and pick((True, False)):
            return "_include:iterate", f"{target}:{pick(self._onward[target])[0]}"
        return pick(("_include", "_include:iterate")), f"{type}:{code}"

    def _key(self, pick: Pick, type: str) -> str:
        """What the standard leaves no doubt how to sort by."""
        plain = ("status", "gender", "active", "_id")
        known = (parameters(type)[code] for code in self._codes[type])
        return pick([one.code for one in known if one.type in ("date", "string") or one.code in plain])
