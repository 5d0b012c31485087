"""A code system as the engine asks it, whether its concepts are in memory or in a store; and where they come from.

The protocol `System` is all that the engine knows; `Listed` is a CodeSystem resource in memory, `Grammar` a system
whose codes have a form and no list.  A `Source` finds systems and value sets by their canonical url.
R4: codesystem.html, references.html#canonical
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from fhir_server.fhir.outcome import NotFound, TooCostly
from fhir_server.fhir.terminology.concepts import Concept, concepts, has_words
from fhir_server.fhir.terminology.conditions import Condition, holds

Resource = Mapping[str, Any]


class System(Protocol):
    """A code system.  `about` is its CodeSystem resource, perhaps without the concepts."""

    @property
    def url(self) -> str:
        """The canonical url, without version."""

    @property
    def version(self) -> str | None:
        """The version of these concepts."""

    @property
    def about(self) -> Resource:
        """What the system says of itself."""

    def concept(self, code: str) -> Concept | None:
        """What is known of a code."""

    def ancestors(self, code: str) -> frozenset[str]:
        """All that stand above the code, itself not."""

    def children(self, code: str) -> Sequence[str]:
        """Those right below the code."""

    def select(
        self, conditions: Sequence[Condition], words: Sequence[str] = (), *, skip: int = 0, active_only: bool = False
    ) -> Iterator[Concept]:
        """The concepts that meet every condition and have every word, in the order of the system."""

    def count(self, conditions: Sequence[Condition], words: Sequence[str] = (), *, active_only: bool = False) -> int:
        """How many those are."""


class Source(Protocol):
    """Where code systems and value sets are found."""

    def code_system(self, url: str, version: str | None = None) -> System | None:
        """The system with this canonical url, the newest where no version is asked for."""

    def value_set(self, url: str, version: str | None = None) -> Resource | None:
        """The ValueSet with this canonical url, or a reference to one."""


class Listed:
    """The concepts of a CodeSystem resource, in memory."""

    def __init__(self, resource: Resource, *, also: Iterable[Concept] = ()):
        self.about: Resource = {name: value for name, value in resource.items() if name != "concept"}
        self.url: str = resource.get("url", "")
        self.version: str | None = resource.get("version")
        self._folds = resource.get("caseSensitive") is False
        self._concepts: dict[str, Concept] = {}
        for each in (*concepts(resource), *also):
            self._concepts.setdefault(self._key(each.code), each)

    def __len__(self) -> int:
        return len(self._concepts)

    def concept(self, code: str) -> Concept | None:
        """As System."""
        return self._concepts.get(self._key(code))

    def ancestors(self, code: str) -> frozenset[str]:
        """As System."""
        found: dict[str, None] = {}
        rest = list(self._parents(code))
        while rest:
            each = rest.pop()
            if each not in found:
                found[each] = None
                rest += self._parents(each)
        return frozenset(found)

    def children(self, code: str) -> Sequence[str]:
        """As System."""
        return self._children.get(self._key(code), ())

    def select(
        self, conditions: Sequence[Condition], words: Sequence[str] = (), *, skip: int = 0, active_only: bool = False
    ) -> Iterator[Concept]:
        """As System."""
        tests = [self._test(condition) for condition in conditions]
        for each in self._concepts.values():
            if active_only and each.inactive or (words and not has_words(each, words)):
                continue
            if not all(test(each) for test in tests):
                continue
            if skip:
                skip -= 1
                continue
            yield each

    def count(self, conditions: Sequence[Condition], words: Sequence[str] = (), *, active_only: bool = False) -> int:
        """As System."""
        return sum(1 for _ in self.select(conditions, words, active_only=active_only))

    def _test(self, condition: Condition) -> Callable[[Concept], bool]:
        """The condition; a place in the hierarchy is looked for once, and not for every concept."""
        if not condition.of_hierarchy:
            return lambda each: holds(condition, each, self)
        code = condition.value
        found = self.ancestors(code) if condition.op == "generalizes" else self._below(code)
        keys = {self._key(each) for each in found}
        if condition.op == "descendent-of":
            return lambda each: self._key(each.code) in keys
        keys.add(self._key(code))
        wanted = condition.op != "is-not-a"
        return lambda each: (self._key(each.code) in keys) is wanted

    def _below(self, code: str) -> set[str]:
        """All that stand below the code."""
        found: set[str] = set()
        rest = list(self.children(code))
        while rest:
            each = rest.pop()
            if each not in found:
                found.add(each)
                rest += self.children(each)
        return found

    @cached_property
    def _children(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for each in self._concepts.values():
            for parent in each.parents:
                found.setdefault(self._key(parent), []).append(each.code)
        return found

    def _parents(self, code: str) -> Sequence[str]:
        found = self.concept(code)
        return found.parents if found else ()

    def _key(self, code: str) -> str:
        return code.casefold() if self._folds else code


class Grammar:
    """A system whose codes are told by their form: languages, media types, currencies.  It cannot be listed."""

    version: str | None = None

    def __init__(self, url: str, title: str, pattern: str):
        self.url = url
        self.about: Resource = {"resourceType": "CodeSystem", "url": url, "title": title, "name": title}
        self._pattern = re.compile(pattern, re.ASCII)

    def concept(self, code: str) -> Concept | None:
        """As System."""
        return Concept(code) if len(code) < 1_000 and self._pattern.fullmatch(code) else None

    def ancestors(self, code: str) -> frozenset[str]:
        """As System."""
        return frozenset()

    def children(self, code: str) -> Sequence[str]:
        """As System."""
        return ()

    def select(
        self, conditions: Sequence[Condition], words: Sequence[str] = (), *, skip: int = 0, active_only: bool = False
    ) -> Iterator[Concept]:
        """Raises TooCostly: there is no end of them."""
        raise TooCostly(f"The codes of {self.url} have a form and no list; ask for one of them by $validate-code.")

    def count(self, conditions: Sequence[Condition], words: Sequence[str] = (), *, active_only: bool = False) -> int:
        """Raises TooCostly."""
        raise TooCostly(f"The codes of {self.url} have a form and no list, and are not counted.")


def system(source: Source, url: str, version: str | None = None) -> System:
    """The code system.  Raises NotFound when it is not known here."""
    found = source.code_system(url, version)
    if found is None:
        of_version = f" in version {version}" if version else ""
        raise NotFound(f"The code system `{url}`{of_version} is not known here.")
    return found


def value_set(source: Source, canonical: str, version: str | None = None) -> Resource:
    """The ValueSet at `url` or `url|version`.  Raises NotFound when it is not known here."""
    url, _, pinned = canonical.partition("|")
    found = source.value_set(url, version or pinned or None)
    if found is None:
        raise NotFound(f"The value set `{canonical}` is not known here.")
    return found
