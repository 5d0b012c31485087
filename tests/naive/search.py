"""A search answered the slow way: every resource is looked at, every path evaluated, nothing is indexed.

Written from the text of the standard and from nothing else, so that what it has in common with the server is the
standard alone.  R4: search.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any

from tests.naive import dates, values
from tests.naive.definitions import (
    Parameter,
    compartment,
    found_by,
    found_in_repetition,
    implied_systems,
    parameters,
)

Query = Sequence[tuple[str, str]]
#: What is said of the answer, not of the resources.  R4: search.html#Summary
_OF_THE_ANSWER = frozenset(
    ["_sort", "_count", "_total", "_summary", "_elements", "_include", "_revinclude", "_format", "_pretty"]
)


class Records:
    """The resources of a server at `base`, and what a search of them answers."""

    def __init__(self, resources: Iterable[Mapping[str, Any]], base: str, now: datetime | None = None) -> None:
        self.by_name = {f"{one['resourceType']}/{one['id']}": one for one in resources}
        self._base = base
        self._now = now or datetime.now(UTC)
        self._by_url = {one["url"]: one for one in self.by_name.values() if "url" in one}
        self._found: dict[tuple[int, str], list[Any]] = {}
        self._tested: dict[tuple[int, str, str], bool] = {}

    def of_type(self, type: str) -> list[Mapping[str, Any]]:
        """Every resource of the type."""
        return [one for name, one in self.by_name.items() if name.startswith(type + "/")]

    def matches(self, type: str, query: Query, *, patient: str | None = None) -> list[str]:
        """`Type/id` of what the query finds, of the patient's compartment if one is named, in the order asked for.

        Without `_sort` the order is that of the ids and means nothing.
        """
        terms = [(name, value) for name, value in query if name.partition(":")[0] not in _OF_THE_ANSWER]
        found = [
            one
            for one in self.of_type(type)
            if (patient is None or self._in_compartment(one, patient))
            and all(self._passes(one, one, name, value) for name, value in terms)
        ]
        orders = [key for name, value in query if name == "_sort" for key in value.split(",")]
        return [f"{type}/{one['id']}" for one in self._sorted(type, found, orders)]

    def among(self, names: Iterable[str]) -> Records:
        """These of the resources, as if there were no others."""
        some = Records((self.by_name[name] for name in names), self._base, self._now)
        some._found = self._found  # what a resource holds, it holds whatever else there is
        return some

    def meets(self, resource: Mapping[str, Any], query: Query) -> bool:
        """Whether the resource, which need not be one of these, passes every term."""
        return all(self._passes(resource, resource, name, value) for name, value in query)

    def held(self, parameter: Parameter, resource: Mapping[str, Any]) -> list[Any]:
        """What the parameter has to go by in the resource; of a composite, the path of each repetition."""
        key = (id(resource), parameter.code)
        if key not in self._found:
            held = found_by(parameter, resource)
            if parameter.resolves_to is not None:
                contained = {one["id"]: one["resourceType"] for one in resource.get("contained", ())}
                held = [one for one in held if values.kind(one, contained) == parameter.resolves_to]
            if parameter.type == "composite":
                held = [path for path in held if self._complete(parameter, path, resource)]
            if parameter.type == "date":
                held = [one for one in held if dates.stretch_of(one) is not None]
            self._found[key] = held
        return self._found[key]

    # one resource, one term

    def _passes(self, resource: Mapping[str, Any], root: Mapping[str, Any], name: str, value: str) -> bool:
        key = (id(resource), name, value)
        if key not in self._tested:
            self._tested[key] = self._test(resource, root, name, value)
        return self._tested[key]

    def _test(self, resource: Mapping[str, Any], root: Mapping[str, Any], name: str, value: str) -> bool:
        if name.startswith("_has:"):
            _, type, back, rest = name.split(":", 3)
            here = f"{resource['resourceType']}/{resource['id']}"
            pointing = (one for one in self.of_type(type) if here in self.led_to(one, back))
            return any(self._passes(one, one, rest, value) for one in pointing)
        if name == "_list":
            here = f"{resource['resourceType']}/{resource['id']}"
            lists = [self.by_name.get(f"List/{id}") for id in values.split(value, ",")]
            return any(here in self.led_to(one, "item") for one in lists if one is not None)
        head, _, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if rest:
            return any(
                self._passes(*target, rest, value) for target in self._targets(resource, root, code, modifier, rest)
            )
        return self._own(resource, code, modifier or None, value)

    def _own(self, resource: Mapping[str, Any], code: str, modifier: str | None, value: str) -> bool:
        parameter = parameters(resource["resourceType"])[code]
        held = self.held(parameter, resource)
        if modifier == "missing":
            return (not held) == (value == "true")
        asked = values.split(value, ",")
        if modifier == "not":
            return not any(self._compare(parameter, resource, one, text, None) for one in held for text in asked)
        return any(self._compare(parameter, resource, one, text, modifier) for one in held for text in asked)

    def _complete(self, parameter: Parameter, path: str, resource: Mapping[str, Any]) -> bool:
        return all(found_in_repetition(path, component, resource) for component in parameter.components)

    def _compare(
        self, parameter: Parameter, resource: Mapping[str, Any], held: Any, asked: str, modifier: str | None
    ) -> bool:
        if parameter.type != "composite":
            return self._compare_plain(parameter.type, parameter, held, asked, modifier)
        parts = values.split(asked, "$")
        return len(parts) == len(parameter.components) and all(
            any(
                self._compare_plain(component.type, parameter, one, part, None)
                for one in found_in_repetition(held, component, resource)
            )
            for component, part in zip(parameter.components, parts, strict=True)
        )

    def _compare_plain(self, type: str, parameter: Parameter, held: Any, asked: str, modifier: str | None) -> bool:
        if type == "string":
            return values.string(held, asked, modifier)
        if type == "token":
            return values.token(held, asked, modifier, implied_systems(parameter))
        if type == "reference":
            return values.reference(held, asked, modifier, self._base)
        if type == "date":
            return values.date(held, asked, self._now)
        if type == "quantity":
            return values.quantity(held, asked)
        if type == "uri":
            return values.uri(held, asked, modifier)
        assert (type, parameter.code) == ("special", "near"), parameter
        return values.near(held, asked)

    # from resource to resource

    def _targets(
        self, resource: Mapping[str, Any], root: Mapping[str, Any], code: str, type: str, rest: str
    ) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """What the references lead to, here or within the resource, as far as the rest can be asked of it.

        R4: search.html#chaining; search.html#contained for those within
        """
        parameter = parameters(resource["resourceType"])[code]
        onward = rest.partition(".")[0].partition(":")[0]
        for held in self.held(parameter, resource):
            for target, its_root in self._led(held, root):
                kind = target["resourceType"]
                if type in ("", kind) and (onward in parameters(kind) or onward in ("_has", "_list")):
                    yield target, its_root

    def _led(self, held: Any, root: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        if isinstance(held, str):
            url, _, version = held.partition("|")
            where = values.local(url, self._base)
            found = self.by_name.get(where.name) if where else self._by_url.get(url)
            return [(found, found)] if found and version in ("", found.get("version")) else []
        text = held.get("reference", "")
        if text.startswith("#"):
            return [(one, root) for one in root.get("contained", ()) if one["id"] == text[1:]]
        where = values.local(text, self._base)
        found = self.by_name.get(where.name) if where else None
        return [(found, found)] if found else []

    def led_to(self, resource: Mapping[str, Any], code: str) -> set[str]:
        """`Type/id` of what a parameter's references lead to; what is within the resource has no name."""
        held = self.held(parameters(resource["resourceType"])[code], resource)
        found = (target for one in held for target, root in self._led(one, resource) if target is root)
        return {f"{target['resourceType']}/{target['id']}" for target in found}

    def _in_compartment(self, resource: Mapping[str, Any], patient: str) -> bool:
        codes = compartment(resource["resourceType"])
        return any(self._own(resource, code, None, f"Patient/{patient}") for code in codes)

    # includes

    def included(self, page: Iterable[str], query: Query) -> set[str]:
        """`Type/id` of what comes with the matches on one page, without these.  R4: search.html#include"""
        matched = set(page)
        found: set[str] = set()
        rules = [rule for rule in query if rule[0].partition(":")[0] in ("_include", "_revinclude")]
        for name, value in rules:
            found |= self._follow(name, value, matched)
        repeated = [(name, value) for name, value in rules if name.endswith(":iterate")]
        while True:
            more = found.union(*(self._follow(name, value, matched | found) for name, value in repeated))
            if more == found:
                return found - matched
            found = more

    def _follow(self, name: str, value: str, names: set[str]) -> set[str]:
        source, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if name.startswith("_include"):
            found = {
                led
                for one in (self.by_name[name] for name in names)
                if source in ("*", one["resourceType"])
                for way in self._ways(one, code or "*")
                for led in self.led_to(one, way)
            }
            return {one for one in found if not target or one.startswith(target + "/")}
        return {
            name
            for name, one in self.by_name.items()
            if source in ("*", one["resourceType"])
            for way in self._ways(one, code or "*")
            if any(led in names and (not target or led.startswith(target + "/")) for led in self.led_to(one, way))
        }

    def _ways(self, resource: Mapping[str, Any], code: str) -> list[str]:
        known = parameters(resource["resourceType"])
        return [name for name, one in known.items() if one.type == "reference" and code in ("*", name)]

    # order

    def _sorted(self, type: str, found: Sequence[Mapping[str, Any]], orders: Sequence[str]) -> list[Mapping[str, Any]]:
        """By each order in turn, then by id.  What has no value comes before all that has one, in ascending order.

        R4: search.html#sort
        """
        keys = {(at, one["id"]): self._key(one, order) for at, order in enumerate(orders) for one in found}

        def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> int:
            for at, order in enumerate(orders):
                first, second = keys[at, a["id"]], keys[at, b["id"]]
                if first != second:
                    return (1 if first > second else -1) * (-1 if order.startswith("-") else 1)
            return (a["id"] > b["id"]) - (a["id"] < b["id"])

        return sorted(found, key=cmp_to_key(compare))

    def _key(self, resource: Mapping[str, Any], order: str) -> tuple[Any, ...]:
        """What to compare: of several values the lowest where the order goes up, the highest where it goes down.

        A date stands where it begins, in either direction; the standard does not say.
        """
        parameter = parameters(resource["resourceType"])[order.removeprefix("-")]
        held = [key for one in self.held(parameter, resource) for key in self._keys(parameter, one)]
        if not held:
            return (0,)
        return (1, max(held) if order.startswith("-") else min(held))

    def _keys(self, parameter: Parameter, held: Any) -> list[Any]:
        if parameter.type == "date":
            when = dates.stretch_of(held)
            return [when.start] if when else []
        if parameter.type == "string":
            return [values.folded(text) for text in values.texts(held)]
        if parameter.type == "token":
            return [code for _, code in values.codings(held, {})]
        if parameter.type == "uri":
            return [held]
        if parameter.type == "reference":
            return [held if isinstance(held, str) else held.get("reference", "")]
        assert parameter.type == "quantity", parameter
        return [held["value"]] if "value" in held else []
