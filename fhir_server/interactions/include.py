"""What a search brings along: what a match refers to, what refers to a match, and so on.  R4: search.html#include

Each resource comes through the repository, within what the actor may see of its type, and once.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.fhir import json, references
from fhir_server.fhir.outcome import BadRequest, FhirError, Forbidden
from fhir_server.fhir.types import TYPES
from fhir_server.repository import Repository
from fhir_server.search.expression import Expression, Match, any_of
from fhir_server.search.parameters import Parameter, by_url, parameters
from fhir_server.search.parser import naming
from fhir_server.search.query import Include, referring
from fhir_server.search.types.reference import ReferenceTest
from fhir_server.search.types.uri import UriTest
from fhir_server.storage.documents import Stored

#: So many resources come along with one page.
MOST_INCLUDED = 5_000


def included(repository: Repository, page: list[Stored], asked: tuple[Include, ...]) -> list[Stored]:
    """
    What is included with a page, in the order in which it is come upon.

    Raises BadRequest where there is more than comes along with one page: it is never cut.
    """
    matches = {stored.reference: stored.version for stored in page}
    found: dict[str, Stored] = {}
    sources = page
    following = asked
    while sources and following:
        new: dict[str, Stored] = {}
        for include in following:
            bring = _referring if include.reverse else _referred
            for stored in bring(repository, sources, include, MOST_INCLUDED - len(found) - len(new)):
                # An earlier version than the match's was referred to as such; a later one was written meanwhile.
                if stored.reference not in matches or stored.version < matches[stored.reference]:
                    new[f"{stored.reference}/_history/{stored.version}"] = stored
        new = {version: stored for version, stored in new.items() if version not in found}
        found |= new
        sources = list(new.values())
        following = tuple(include for include in asked if include.iterate)
    return list(found.values())


def _referred(repository: Repository, sources: list[Stored], include: Include, room: int) -> list[Stored]:
    """What the sources refer to."""
    ids: dict[str, dict[str, None]] = {}
    versions: dict[tuple[str, str, str], None] = {}
    urls: dict[str, dict[str, None]] = {}
    for source in sources:
        if include.source not in ("*", source.type):
            continue
        resource = json.parse(source.body or b"")
        for parameter in _followed(source.type, include.code):
            for type, value in parameter.values(resource):
                written = value.get("reference", "") if type == "Reference" else value
                if not isinstance(written, str):
                    continue
                url = written.partition("|")[0]
                found = references.parse(url, repository.base)
                if found.local:
                    if found.type not in TYPES or include.target not in ("", found.type):
                        continue
                    if found.version:
                        versions[str(found.type), str(found.id), found.version] = None
                    else:
                        ids.setdefault(str(found.type), {})[str(found.id)] = None
                elif type != "Reference":
                    for target in parameter.targets:
                        if include.target in ("", target) and "url" in parameters(target):
                            urls.setdefault(target, {})[url] = None
    _refuse_too_many(sum(map(len, ids.values())) + len(versions), room)
    brought = [stored for type, wanted in ids.items() for stored in repository.fetch(type, wanted)]
    for type, wanted in urls.items():
        field = parameters(type)["url"].fields[0]
        brought += _searched(repository, type, Match(field, UriTest(tuple(wanted))), room)
    for type, id, version in versions:
        try:
            brought.append(repository.vread(type, id, version))
        except FhirError:  # not there, not to be seen, deleted: none of them comes along
            continue
    return brought


def _referring(repository: Repository, sources: list[Stored], include: Include, room: int) -> list[Stored]:
    """What refers to the sources."""
    brought: list[Stored] = []
    for type in TYPES if include.source == "*" else (include.source,):
        terms = []
        for parameter in _followed(type, include.code):
            targets = [one for one in sources if one.type in parameter.targets and include.target in ("", one.type)]
            if targets:
                terms.append(naming(parameter, frozenset(one.reference for one in targets)))
            if targets and by_url(parameter):
                urls = (json.parse(one.body or b"").get("url") for one in targets)
                terms.append(Match(parameter.code, ReferenceTest(frozenset(url for url in urls if url))))
        if terms:
            brought += _searched(repository, type, any_of(*terms), room - len(brought))
    return brought


def _searched(repository: Repository, type: str, where: Expression, room: int) -> list[Stored]:
    try:
        found = repository.search(type, where, limit=room + 1)
    except Forbidden:  # no scope of the token reaches this type
        return []
    _refuse_too_many(len(found), room)
    return found


def _refuse_too_many(count: int, room: int) -> None:
    if count > room:
        raise BadRequest(
            f"More than {MOST_INCLUDED} resources would come along with this page: ask for smaller pages (`_count`), "
            "or search for them by themselves."
        )


def _followed(type: str, code: str) -> Iterable[Parameter]:
    """The reference parameters of a type that an include names."""
    return [one for one in referring(type) if code in ("*", one.code)]
