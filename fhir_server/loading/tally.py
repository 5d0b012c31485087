"""What came of a load: how many of each type, and each kind of fault with the first place it was met."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from fhir_server.fhir.outcome import FhirError

Severity = Literal["error", "warning"]
#: What can come of a resource.
Fate = Literal["created", "updated", "unchanged", "faulty", "not kept"]

#: So many kinds of faults are told apart; the others are counted together.
KINDS = 500
_INDEX = re.compile(r"\[\d+\]")
_QUOTED = re.compile(r"`[^`]*`")


@dataclass(frozen=True)
class Kind:
    """Faults that are told together: of one severity and type, the same words but for what they quote."""

    severity: Severity
    type: str
    words: str


@dataclass
class Group:
    """How many faults there are of a kind; the first as an example."""

    count: int
    message: str
    place: str


@dataclass
class Tally:
    """Counts that grow; those of several processes are added up."""

    fates: Counter[tuple[str, Fate]] = field(default_factory=Counter)
    groups: dict[Kind, Group] = field(default_factory=dict)

    def count(self, type: str, fate: Fate) -> None:
        """One more resource of that type."""
        self.fates[type, fate] += 1

    def fault(self, type: str | None, message: str, place: str, severity: Severity = "error") -> None:
        """One more fault, whether or not a resource is lost by it."""
        kind = Kind(severity, type or "", _QUOTED.sub("``", _INDEX.sub("", message)))
        self._add(kind, Group(1, message, place))

    def faulty(self, type: str | None, error: FhirError, place: str) -> None:
        """A resource that is not loaded, and why: all its faults."""
        self.count(type or "(unknown)", "faulty")
        for issue in error.issues:
            where = f"{issue.expression[0]}: " if issue.expression else ""
            self.fault(type, f"{where}{issue.diagnostics}", place)

    def add(self, other: Tally) -> None:
        """Take in what another process counted."""
        self.fates.update(other.fates)
        for kind, group in other.groups.items():
            self._add(kind, group)

    def of(self, *fates: Fate) -> int:
        """How many resources came to one of these ends."""
        return sum(count for (_, fate), count in self.fates.items() if fate in fates)

    def types(self) -> list[str]:
        """The types met, by name."""
        return sorted({type for type, _ in self.fates})

    def kinds(self, severity: Severity) -> list[tuple[Kind, Group]]:
        """The kinds of faults of a severity, the most frequent first."""
        found = ((kind, group) for kind, group in self.groups.items() if kind.severity == severity)
        return sorted(found, key=lambda pair: -pair[1].count)

    def faults(self, severity: Severity = "error") -> int:
        """How many faults in all."""
        return sum(group.count for _, group in self.kinds(severity))

    def _add(self, kind: Kind, group: Group) -> None:
        if kind not in self.groups and len(self.groups) >= KINDS:
            kind = Kind(kind.severity, "", "further faults")
        known = self.groups.get(kind)
        if known:
            known.count += group.count
        else:
            self.groups[kind] = Group(group.count, group.message, group.place)
