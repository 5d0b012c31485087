"""Date parameters, on half-open intervals in UTC.  R4: search.html#date, search.html#prefix

`dates.<field>` = {"low": datetime, "high": datetime}, or an array of them where the element repeats.  Keys:
`field<low` and `field>high`, in milliseconds, by which an index finds the candidates.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from fhir_server.fhir import dates
from fhir_server.fhir.dates import Interval
from fhir_server.search.expression import Entry, Filter
from fhir_server.search.keys import any_of_field, between

#: R4 search.html#prefix.  Any row may hold; in a row, every column must:
#: (end of the stored interval, operator, end of the asked one).
CONTAINED = (("low", "$gte", "low"), ("high", "$lte", "high"))
PREFIXES: dict[str, tuple[tuple[tuple[str, str, str], ...], ...]] = {
    "eq": (CONTAINED,),
    "ne": ((("low", "$lt", "low"),), (("high", "$gt", "high"),)),
    "gt": ((("high", "$gt", "high"),),),
    "lt": ((("low", "$lt", "low"),),),
    "ge": ((("high", "$gt", "high"),), CONTAINED),
    "le": ((("low", "$lt", "low"),), CONTAINED),
    "sa": ((("low", "$gte", "high"),),),
    "eb": ((("high", "$lte", "low"),),),
    "ap": ((("low", "$lt", "high"), ("high", "$gt", "low")),),
}
#: What each row of a prefix implies: one comparison, that a range of keys answers.
NECESSARY = {
    "eq": ("low", "$gte", "low"),
    "gt": ("high", "$gt", "high"),
    "lt": ("low", "$lt", "low"),
    "ge": ("high", "$gt", "low"),
    "le": ("low", "$lt", "high"),
    "sa": ("low", "$gte", "high"),
    "eb": ("high", "$lte", "low"),
    "ap": ("low", "$lt", "high"),
}
_OPERATORS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


@dataclass(frozen=True)
class DateTest:
    """`prefix` `asked`; `repeated` where the element repeats, and its intervals are therefore an array."""

    prefix: str
    asked: Interval
    repeated: bool = False

    def _rows(self) -> list[list[tuple[str, str, datetime]]]:
        return [[(end, sign, getattr(self.asked, bound)) for end, sign, bound in row] for row in PREFIXES[self.prefix]]

    def to_filter(self, field: str) -> Filter:
        if field == "_lastUpdated":
            alternatives = [_moments(row) for row in self._rows()]
        else:
            alternatives = [
                {f"dates.{field}": {"$elemMatch": _bounds(row)}}
                if self.repeated
                else {f"dates.{field}.{end}": test for end, test in _bounds(row).items()}
                for row in self._rows()
            ]
        if len(alternatives) == 1:
            return alternatives[0]
        if field == "_lastUpdated" or self.repeated or self.prefix not in NECESSARY:
            return {"$or": alternatives}
        # An index with both ends behind its leading keys tells those that cannot match without their documents.
        end, sign, bound = NECESSARY[self.prefix]
        return {f"dates.{field}.{end}": {sign: getattr(self.asked, bound)}, "$or": alternatives}

    def narrow(self, field: str) -> Filter | None:
        if field == "_lastUpdated" or self.prefix not in NECESSARY:
            return None if field == "_lastUpdated" else any_of_field(field)
        end, sign, bound = NECESSARY[self.prefix]
        text = _text(getattr(self.asked, bound))
        separator, following = ("<", "=") if end == "low" else (">", "?")
        if sign.startswith("$g"):
            return between(f"{field}{separator}{text}", f"{field}{following}")
        return between(f"{field}{separator}", f"{field}{separator}{text}~")

    def accepts(self, entry: Entry, field: str) -> bool:
        if field == "_lastUpdated":
            if "updated" not in entry:  # of a contained resource
                return False
            found: Any = {"low": entry["updated"], "high": entry["updated"] + dates.MILLISECOND}
        else:
            found = entry.get("dates", {}).get(field, [])
        intervals = found if isinstance(found, list) else [found]
        return any(
            all(_OPERATORS[sign](interval[end], bound) for end, sign, bound in row)
            for interval in intervals
            for row in self._rows()
        )


def _bounds(row: list[tuple[str, str, datetime]]) -> Filter:
    test: dict[str, dict[str, datetime]] = {}
    for end, sign, bound in row:
        test.setdefault(end, {})[sign] = bound
    return test


def _moments(row: list[tuple[str, str, datetime]]) -> Filter:
    """The row asked of `updated`, a single moment: its interval is one millisecond long."""
    test: dict[str, datetime] = {}
    parts = []
    for end, sign, bound in row:
        moment = bound if end == "low" else max(bound, dates.BEGINNING + dates.MILLISECOND) - dates.MILLISECOND
        if sign in test:
            parts.append({"updated": {sign: moment}})
        else:
            test[sign] = moment
    return {"$and": [{"updated": test}, *parts]} if parts else {"updated": test}


def parse(text: str, *, repeated: bool, zone: tzinfo, now: datetime) -> DateTest:
    """
    Read `[prefix]date`.  Raises ValueError.

    `ap` widens what is asked by a tenth of its distance from `now`.  R4: search.html#prefix
    """
    prefix, date = ("eq", text) if text[:1].isdigit() else (text[:2], text[2:])
    if prefix not in PREFIXES:
        raise ValueError(
            f"`{text}` is not a date: an optional prefix ({', '.join(PREFIXES)}), then YYYY[-MM[-DD[Thh:mm]]]"
        )
    asked = dates.parse(date, zone)
    if prefix == "ap":
        gap = abs(now - asked.low) / 10
        low = asked.low - gap if asked.low - dates.BEGINNING > gap else dates.BEGINNING
        high = asked.high + gap if dates.END - asked.high > gap else dates.END
        asked = Interval(low, high)
    return DateTest(prefix, asked, repeated)


def keys(field: str, found: Interval) -> tuple[str, str]:
    """The keys of one interval."""
    return f"{field}<{_text(found.low)}", f"{field}>{_text(found.high)}"


def _text(moment: datetime) -> str:
    """Milliseconds since the year 1, so many digits that texts sort as moments do."""
    return f"{(moment - dates.BEGINNING) // dates.MILLISECOND:013x}"
