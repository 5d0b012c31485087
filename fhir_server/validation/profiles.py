"""Is it a good resource of its guide?  Asked after R4's own structure check, of the profiles that it claims.

    profiles = Profiles(members=…)
    profiles.faults(resource, url)       what the profile holds against the resource
    profiles.claimed(resource)           the same, of every profile in meta.profile; of one that is not known a warning

Which profiles a resource must satisfy whatever it claims is told by demands.py.

Of a StructureDefinition and those it is derived from, a JSON Schema is made, once (profiling/schema.py).  jsonschema
takes from half a millisecond to five for it, and most resources are good: so each rule of the schema is first asked as
a plain function (profiling/quick.py), and jsonschema for the faults of those that fail.  What no schema can say are
FHIRPath invariants (profiling/invariants.py).

R4: profiling.html, resource.html#Meta.profile
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from fhir_server.config import carried
from fhir_server.fhir.outcome import Issue
from fhir_server.fhir.types import TYPES
from fhir_server.validation.profiling import report
from fhir_server.validation.profiling.invariants import Invariant, invariants
from fhir_server.validation.profiling.pieces import Schema
from fhir_server.validation.profiling.quick import Test, accepts
from fhir_server.validation.profiling.schema import Compiler, Members
from fhir_server.validation.profiling.tree import BASE, Find, Node, ProfileError, overlay, tree
from fhir_server.validation.words import shown

__all__ = ["ProfileError", "Profiles", "carried_profile", "carried_profiles"]

#: So many faults of one profile are told, and so many claims of one resource looked at.
LIMIT = 200
#: So many compiled profiles are kept: about 0.3 MB each.
MOST = 128

#: What is checked of every resource: to claim it is nothing new.
_BASE_PROFILES = frozenset(BASE + type for type in ("Resource", "DomainResource", *TYPES))
_SHOWN = 200  # of a URL the end tells most


@dataclass(frozen=True)
class Rule:
    """A part of the schema of a profile.  jsonschema is slow, and so asked of that alone which is known to fail."""

    schema: Schema
    validator: Draft202012Validator
    good: Test
    """Whether the validator would find nothing."""


@dataclass(frozen=True)
class Profile:
    """A profile made ready."""

    url: str
    title: str
    version: str | None
    type: str
    schema: Schema
    rules: tuple[Rule, ...]
    """The schema, part by part."""
    invariants: tuple[Invariant, ...]


@cache
def carried_profiles() -> Mapping[str, Mapping[str, Any]]:
    """The StructureDefinitions of profiles/, by canonical URL."""
    files = sorted(carried("profiles").glob("*.json"))
    definitions = [orjson.loads(file.read_bytes()) for file in files]
    return {one["url"]: one for one in definitions}


def carried_profile(url: str) -> Mapping[str, Any] | None:
    """The StructureDefinition of profiles/ with this canonical URL, without version."""
    return carried_profiles().get(url)


def _no_members(value_set: str) -> None:
    return None


class Profiles:
    """The profiles that are known, each compiled when it is first asked for.

    `find` tells the StructureDefinition of a canonical URL; `members` the codes of a value set, or None where it is not
    known: then its codes are not checked, and a warning says so.
    """

    def __init__(self, find: Find = carried_profile, members: Members = _no_members):
        self._find = find
        self._members = members
        self._compiled = lru_cache(maxsize=MOST)(self._compile)

    def faults(self, resource: Mapping[str, Any], profile: str) -> list[Issue]:
        """What the profile holds against the resource; warnings are among it.

        What is of a wrong type is passed over: R4's own check tells it.  Raises KeyError for a profile that is not
        known, ProfileError for one that cannot be used.
        """
        compiled = self.compiled(profile)
        if resource["resourceType"] != compiled.type:
            text = f"{compiled.title} is a profile of {compiled.type}, not of {resource['resourceType']}."
            return [Issue("value", text, (resource["resourceType"],))]
        issues = list(dict.fromkeys(islice(_schema_faults(resource, compiled), LIMIT)))
        for one in compiled.invariants:
            issues += one.faults(resource)
        return issues

    def claimed(self, resource: Mapping[str, Any]) -> list[Issue]:
        """What the profiles of meta.profile hold against the resource that claims them; warnings are among it."""
        issues: list[Issue] = []
        for index, profile in islice(_claims(resource), LIMIT):
            issues += self._claim(resource, profile, f"{resource['resourceType']}.meta.profile[{index}]")
        return issues

    def compiled(self, profile: str) -> Profile:
        """The profile made ready.  Raises KeyError where it is not known, ProfileError where it cannot be used."""
        return self._compiled(profile.partition("|")[0])

    def forget(self) -> None:
        """Compile anew what is asked for: definitions or value sets have changed."""
        self._compiled.cache_clear()

    def _compile(self, url: str) -> Profile:
        definition = self._find(url)
        if definition is None:
            raise KeyError(url)
        try:
            return _compile(definition, self._find, self._members)
        except RecursionError:
            raise ProfileError(f"{url} is made of itself, or nested too deeply.") from None

    def _claim(self, resource: Mapping[str, Any], profile: str, place: str) -> list[Issue]:
        url, _, version = profile.partition("|")
        try:
            compiled = self.compiled(url)
        except KeyError:
            text = (
                f"The profile {shown(profile, limit=_SHOWN)} is not known here: only what R4 itself asks was checked."
            )
            return [Issue("not-found", text, (place,), severity="warning")]
        if compiled.type != resource["resourceType"]:
            text = f"{compiled.title} is a profile of {compiled.type}, not of {resource['resourceType']}."
            return [Issue("value", text, (place,))]
        issues = self.faults(resource, url)
        if version and compiled.version and version != compiled.version:
            known = f"is known here in version {compiled.version}, which was checked, not {shown(version)}"
            text = f"{compiled.title} {known}."
            issues.append(Issue("not-found", text, (place,), severity="warning"))
        return issues


def _compile(definition: Mapping[str, Any], find: Find, members: Members) -> Profile:
    title, type = definition.get("title") or definition["name"], definition["type"]
    compiler = Compiler(title, find, members)
    whole = overlay(tree(definition, find), Node(rules={"root": type}))
    schema = compiler.of_object(whole, type)
    return Profile(
        url=definition["url"],
        title=title,
        version=definition.get("version"),
        type=type,
        schema=schema,
        rules=tuple(Rule(part, Draft202012Validator(part), accepts(part)) for part in schema.get("allOf", [schema])),
        invariants=tuple(invariants(whole, None, compiler, title)),
    )


def _schema_faults(resource: Mapping[str, Any], profile: Profile) -> Iterator[Issue]:
    for rule in profile.rules:
        if not rule.good(resource):
            yield from report.issues(resource, rule.schema, rule.validator.iter_errors(resource))


def _claims(resource: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The profiles that a resource claims, each once, with their places in meta.profile."""
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    seen: set[str] = set()
    for index, profile in enumerate(profiles if isinstance(profiles, list) else ()):
        if isinstance(profile, str) and profile not in seen and profile.partition("|")[0] not in _BASE_PROFILES:
            seen.add(profile)
            yield index, profile
