"""The last n of each code: which observations are of the same code, and from what time on one of them counts.

Codings are equal if system and code are; the codings of one resource are translations of each other, so that equality
goes on from one to the next.  What has no coding is told by its text, as it is written.  Where one counts, those that
are equally recent do, too; what has no time is less recent than anything, and all of it equally.

R4: observation-operation-lastn.html
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from fhir_server.fhir.dates import BEGINNING, Interval
from fhir_server.search.expression import Expression, Match, all_of
from fhir_server.search.types.date import DateTest
from fhir_server.search.types.token import KeysTest

#: The parameter whose codings make a group, and the one that says when.
CODE, DATE = "code", "date"

#: When an observation was, if that is said, and its id.
Moment = tuple[datetime | None, str]


@dataclass(frozen=True)
class Last:
    """
    The last of each code.

    moments     of those that are known by their ids, the most recent first
    more        what selects the last of further codes, of which more are equally recent than were looked at; no two of
                these select the same, nor anything of `moments`
    """

    moments: tuple[Moment, ...]
    more: tuple[Expression, ...] = ()


class Groups:
    """What has been come upon so far, and of each code the last `most`: no more is kept of it."""

    def __init__(self, most: int):
        self._most = most
        self._codings: dict[frozenset[str], _Latest] = {}
        self._texts: dict[str | None, _Latest] = {}

    def add(self, codings: frozenset[str], moments: Iterable[Moment], *, whole: bool = True) -> None:
        """Observations with the very same codings (keys): the whole of them, or the last, `most` of them at least."""
        self._codings.setdefault(codings, _Latest(self._most)).add(list(moments), whole=whole)

    def add_text(self, text: str | None, moment: Moment) -> None:
        """An observation without a coding."""
        self._texts.setdefault(text, _Latest(self._most)).add([moment])

    def last(self) -> Last:
        """Those that count, of what was added."""
        moments: list[Moment] = []
        more: list[Expression] = []
        for codings, latest in self._joined():
            if latest.lacks_some():
                more.append(all_of(Match(CODE, KeysTest(codings)), *_not_before(latest.least())))
            else:
                moments += latest.counting()
        for latest in self._texts.values():
            moments += latest.counting()
        return Last(tuple(in_order(moments)), tuple(more))

    def _joined(self) -> Iterator[tuple[frozenset[str], _Latest]]:
        """The codings of each group, and the last of it."""
        leaders: dict[str, str] = {}

        def leader(coding: str) -> str:
            while leaders.setdefault(coding, coding) != coding:
                leaders[coding] = leaders[leaders[coding]]
                coding = leaders[coding]
            return coding

        for codings in self._codings:
            first, *others = codings
            for other in others:
                leaders[leader(other)] = leader(first)
        groups: dict[str, list[frozenset[str]]] = {}
        for codings in self._codings:
            groups.setdefault(leader(next(iter(codings))), []).append(codings)
        for sets in groups.values():
            latest = _Latest(self._most)
            for each in sets:
                latest.add_all(self._codings[each])
            yield frozenset().union(*sets), latest


class _Latest:
    """The last `most`, those that are as recent as the last of them, and at times a few more."""

    def __init__(self, most: int):
        self._most = most
        self._moments: list[Moment] = []
        #: The most recent that others, which were not added, may be as recent as.
        self._without: Moment | None = None

    def add(self, moments: list[Moment], *, whole: bool = True) -> None:
        self._moments += moments
        if not whole:
            self._lack(min(moments, key=_recency))
        if len(self._moments) > 4 * self._most:
            self._moments = self.counting()

    def add_all(self, other: _Latest) -> None:
        """What was added to another, too."""
        self.add(other._moments)
        if other._without:
            self._lack(other._without)

    def _lack(self, moment: Moment) -> None:
        self._without = max(moment, self._without or moment, key=_recency)

    def lacks_some(self) -> bool:
        """Whether some that count may not have been added."""
        least = self.least()
        return self._without is not None and (least is None or _recency(self._without) >= _recency(least))

    def least(self) -> Moment | None:
        """The least recent that counts; None if there are fewer, so that any would."""
        last = heapq.nlargest(self._most, self._moments, key=_recency)
        return last[-1] if len(last) == self._most else None

    def counting(self) -> list[Moment]:
        """Those that count."""
        least = self.least()
        return [one for one in self._moments if least is None or _recency(one) >= _recency(least)]


def in_order(moments: Iterable[Moment]) -> list[Moment]:
    """The most recent first, and those that are equally recent by id."""
    return sorted(sorted(moments, key=lambda one: one[1]), key=_recency, reverse=True)


def _recency(moment: Moment) -> tuple[bool, datetime]:
    return moment[0] is not None, moment[0] or BEGINNING


def _not_before(least: Moment | None) -> list[Expression]:
    """That it began then or later, if there is a time."""
    if least is None or least[0] is None:
        return []
    return [Match(DATE, DateTest("sa", Interval(least[0], least[0])))]
