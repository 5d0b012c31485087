"""A search asked of the server and of the naive evaluator, and where their answers differ.  R4: search.html

differences(searched, "Observation?subject=Patient/pat-1&_sort=date")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from tests.calls import BASE, Caller, Served
from tests.corpus import corpus
from tests.naive.search import Query, Records

#: Few enough resources at once that they are not all of one instant.
_AT_ONCE = 80


@dataclass(frozen=True)
class Searched:
    """The corpus on a server, and the same resources as that server gave them back."""

    caller: Caller
    records: Records


@dataclass(frozen=True)
class Page:
    """One page: what matched, in order, what came with it, the total if it says one, and its links."""

    matches: tuple[str, ...]
    included: tuple[str, ...]
    total: int | None
    links: Mapping[str, str]


def searched(served: Served) -> Searched:
    """The corpus, written in a few transactions by one who may do everything."""
    caller, resources = served.caller(), corpus()
    kept = [one for at in range(0, len(resources), _AT_ONCE) for one in _written(caller, resources[at : at + _AT_ONCE])]
    return Searched(caller, Records(kept, BASE))


def _written(caller: Caller, resources: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The resources as the server keeps them, written at the same instant."""
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = caller("POST", "", bundle, Prefer="return=representation")
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json["entry"]]


def page(answer: Any) -> Page:
    """What a searchset says.  An outcome in it is a word of the server, not a find."""
    bundle = answer.json
    entries = [entry for entry in bundle.get("entry", ()) if entry["search"]["mode"] != "outcome"]
    named = [(entry["search"]["mode"], "{resourceType}/{id}".format(**entry["resource"])) for entry in entries]
    return Page(
        matches=tuple(name for mode, name in named if mode == "match"),
        included=tuple(name for mode, name in named if mode == "include"),
        total=bundle.get("total"),
        links={link["relation"]: link["url"] for link in bundle.get("link", ())},
    )


def walk(caller: Caller, query: str, onward: str = "next") -> Iterator[Page]:
    """Each page from this one on."""
    where: str | None = query
    while where is not None:
        answer = caller("GET", where)
        assert answer.status_code == 200, f"{query}: {answer.status_code} {answer.text[:600]}"
        found = page(answer)
        yield found
        where = found.links.get(onward)


def parsed(query: str) -> tuple[str, str | None, Query]:
    """The type, the patient whose compartment it is in if any, and the terms of a search as it stands in a URL."""
    path, _, terms = query.partition("?")
    parts = path.split("/")
    return parts[-1], parts[1] if len(parts) == 3 else None, parse_qsl(terms, keep_blank_values=True)


def expected(records: Records, query: str) -> list[str]:
    """What the evaluator finds, in its order."""
    type, patient, terms = parsed(query)
    return records.matches(type, terms, patient=patient)


def differences(asked: Searched, query: str) -> list[str]:
    """Each way in which the server's answer, all pages of it, is not the evaluator's; none where they agree."""
    terms = parsed(query)[2]
    wanted = expected(asked.records, query)
    pages = list(walk(asked.caller, query))
    told = [text for one in pages for text in _of_total(one, len(wanted), terms)]
    if ("_summary", "count") in terms or ("_count", "0") in terms:
        return told + [f"resources, and only their number was asked for: {one.matches}" for one in pages if one.matches]
    given = [name for one in pages for name in one.matches]
    ordered = any(name == "_sort" for name, _ in terms)
    told += _of_matches(given, wanted, ordered=ordered)
    return told + [text for one in pages for text in _of_includes(one, asked.records.included(one.matches, terms))]


def _of_total(page: Page, wanted: int, terms: Query) -> list[str]:
    """A total need not be told unless it was asked for, but may not be wrong."""
    if page.total == wanted or (page.total is None and ("_total", "accurate") not in terms):
        return []
    return [f"total {page.total}, not {wanted}"]


def _of_matches(given: Sequence[str], wanted: Sequence[str], *, ordered: bool) -> list[str]:
    missing, strange = set(wanted) - set(given), set(given) - set(wanted)
    told = [f"not found: {sorted(missing)}"] if missing else []
    told += [f"found and should not be: {sorted(strange)}"] if strange else []
    told += ["found twice"] if len(given) != len(set(given)) else []
    if told or not ordered or list(given) == list(wanted):
        return told
    at = next(at for at, (one, other) in enumerate(zip(given, wanted, strict=True)) if one != other)
    return [f"order: at {at} {list(given[at : at + 3])}, not {list(wanted[at : at + 3])}"]


def _of_includes(page: Page, wanted: set[str]) -> list[str]:
    missing, strange = wanted - set(page.included), set(page.included) - wanted
    told = [f"not included: {sorted(missing)}"] if missing else []
    told += [f"included and should not be: {sorted(strange)}"] if strange else []
    return told + (["included twice"] if len(page.included) != len(set(page.included)) else [])
