"""The part of a query that shapes the answer: order, page, includes, total.  R4: search.html#Summary

What is looked for is read by search/parser.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.types import TYPES
from fhir_server.fhir.words import meant
from fhir_server.search.parameters import Parameter, parameters

TOTALS = ("none", "estimate", "accurate")
#: The types of parameter that resources can be ordered by.
SORTABLE = frozenset({"token", "string", "date", "reference", "uri", "number", "quantity"})
#: So many keys of `_sort`, and so many includes.
MOST_KEYS = 5
MOST_INCLUDES = 20


@dataclass(frozen=True)
class Order:
    """One key of `_sort`."""

    code: str
    descending: bool = False


@dataclass(frozen=True)
class Include:
    """
    One `_include` or `_revinclude`.

    source      the type that refers; "*" for any (of `_revinclude=*`)
    code        its parameter; "*" for each of them
    target      the type that is referred to, "" for any
    iterate     asked of what was included, too
    reverse     what refers to a match, instead of what a match refers to
    """

    source: str
    code: str
    target: str
    iterate: bool
    reverse: bool


def orders(types: Iterable[str], value: str | None) -> tuple[Order, ...]:
    """The keys of `_sort`, for a search of these types.  Raises BadRequest."""
    if value is None:
        return ()
    found = tuple(Order(key.removeprefix("-"), key.startswith("-")) for key in value.split(","))
    if len(found) > MOST_KEYS:
        raise BadRequest(f"`_sort={value}` has {len(found)} keys; at most {MOST_KEYS} are sorted by.")
    for order in found:
        for type in types:
            parameter = parameters(type).get(order.code)
            if parameter is None or parameter.type not in SORTABLE:
                offered = [code for code, one in parameters(type).items() if one.type in SORTABLE]
                raise BadRequest(
                    f"`_sort={value}`: {type} cannot be sorted by `{order.code}`{meant(order.code, offered)}; "
                    f"it can by {', '.join(offered)}."
                )
    return found


def include(types: tuple[str, ...], name: str, value: str) -> Include:
    """An `_include` or `_revinclude` of a search of these types.  Raises BadRequest.  R4: search.html#include"""
    kind, _, modifier = name.partition(":")
    reverse = kind == "_revinclude"
    if modifier not in ("", "iterate", "recurse"):
        raise BadRequest(f"`{kind}` has no modifier `:{modifier}`; it takes `:iterate`.")
    iterate = modifier != ""
    if value == "*":
        return Include("*", "*", "", iterate, reverse)
    source, _, rest = value.partition(":")
    code, _, target = rest.partition(":")
    if source not in TYPES:
        raise BadRequest(f"`{name}={value}`: `{source}` is not a type that is kept here{meant(source, TYPES)}.")
    if not code:
        raise BadRequest(f"`{name}={value}` is not [type]:[reference parameter], [type]:[parameter]:[target] or `*`.")
    if not reverse and not iterate and source not in types:
        raise BadRequest(f"`{name}={value}`: {source} is not what is searched for; `_include:iterate` reaches further.")
    if target and target not in TYPES:
        raise BadRequest(f"`{name}={value}`: `{target}` is not a type that is kept here{meant(target, TYPES)}.")
    if code != "*":
        parameter = parameters(source).get(code)
        offered = [one.code for one in referring(source)]
        if parameter is None or parameter.type != "reference":
            raise BadRequest(
                f"`{name}={value}`: `{code}` is no reference parameter of {source}{meant(code, offered)}; it has "
                f"{', '.join(offered)}."
            )
        if target and target not in parameter.targets:
            raise BadRequest(f"`{name}={value}`: `{code}` refers to {', '.join(parameter.targets)}.")
        if reverse and not iterate and not set(types) & ({target} if target else set(parameter.targets)):
            raise BadRequest(f"`{name}={value}`: `{code}` of {source} does not refer to {', '.join(types)}.")
    return Include(source, code, target, iterate, reverse)


def referring(type: str) -> list[Parameter]:
    """The reference parameters of a type."""
    return [one for one in parameters(type).values() if one.type == "reference"]
