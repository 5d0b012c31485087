"""What a database can be asked for: the parameters that everything in it is indexed by, as they are defined now.

Kept in `_server` as {"_id": "parameters", "version": …, "types": {type: {name: fingerprint}}}.  An empty database
begins with what this server makes.  Any other keeps what it was indexed by until `reindex` is through with a type:
what has changed since is withheld, so that nothing is ever answered from entries that are not there yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymongo.database import Database

from fhir_server.fhir.outcome import Unavailable
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import Expression
from fhir_server.search.fingerprints import CONTAINED, OWNER, asked, fingerprints, places
from fhir_server.search.index import VERSION
from fhir_server.search.parameters import parameters
from fhir_server.storage.documents import HISTORY, SERVER

_PARAMETERS = "parameters"
#: A reindex takes minutes.
_RETRY_AFTER = {"Retry-After": "60"}


class Readiness:
    """What is withheld, as this process last saw it."""

    def __init__(self, database: Database, zone: str):
        self._database = database
        self._zone = zone
        self._withheld: dict[tuple[str, str], str] | None = None

    def prepare(self) -> None:
        """Write down what an empty database is indexed by; of any other it is known whose records it holds, no more."""
        kept = self._database[SERVER]
        if kept.find_one({"_id": _PARAMETERS}, {"_id": 1}):
            return
        empty = not any(self._database[name].find_one({}, {"_id": 1}) for name in (HISTORY, *TYPES))
        made = {type: fingerprints(type, self._zone) for type in TYPES}
        types = made if empty else {type: {OWNER: found[OWNER]} for type, found in made.items()}
        first = {"version": VERSION if empty else 0, "types": types}
        kept.update_one({"_id": _PARAMETERS}, {"$setOnInsert": first}, upsert=True)

    @property
    def whole(self) -> bool:
        """Whether nothing was withheld when this process last looked: nothing can be from then on."""
        return self._withheld is not None and not self._withheld

    def refuse(self, type: str, *expressions: Expression, codes: Iterable[str] = ()) -> None:
        """
        Raise Unavailable if what is asked of the type cannot be answered yet.

        codes: parameters that are read or sorted by.  Whose record a resource belongs to is always asked for: by what
        may be seen, and by the record of who has seen it.
        """
        withheld = self.look() if self._withheld is None else self._withheld
        if not withheld:
            return
        known = parameters(type)
        wanted = {(type, OWNER), *((type, field) for code in codes for field in known[code].fields)}
        for expression in expressions:
            wanted.update(asked(type, expression))
        if wanted.isdisjoint(withheld):
            return
        lacking = sorted({f"{each[0]} by {_said(name)}" for each, name in self.look().items() if each in wanted})
        if lacking:
            raise Unavailable(
                f"{', '.join(lacking)}: this is being indexed, and cannot be searched until `fhir-server reindex` is "
                "through.",
                headers=_RETRY_AFTER,
            )

    def look(self) -> dict[tuple[str, str], str]:
        """What is withheld now: {(type, what an expression calls it): its name}."""
        made = self._kept()["types"]
        self._withheld = {
            (type, place): name
            for type in TYPES
            for name, fingerprint in fingerprints(type, self._zone).items()
            if made.get(type, {}).get(name) != fingerprint
            for place in places(type, name)
        }
        return self._withheld

    def withheld(self) -> dict[str, list[str]]:
        """The parameters that are withheld, by type: those too whose values are kept under the names of others."""
        found = self.look()
        return {
            type: codes
            for type in TYPES
            if (
                codes := [
                    code
                    for code, one in parameters(type).items()
                    if any((type, field) in found for field in (code, *one.fields))
                ]
            )
        }

    def of_earlier_version(self) -> bool:
        """Whether all that is there has to be gone through before any one type is done: see `reindex`."""
        kept = self._kept()
        return kept["version"] != VERSION or not TYPES.keys() <= kept["types"].keys()

    def complete(self, types: Iterable[str]) -> None:
        """Note that everything of these types is indexed as it is to be; in one write."""
        types = tuple(types)
        done: dict[str, Any] = {f"types.{type}": fingerprints(type, self._zone) for type in types}
        if TYPES.keys() <= set(types):
            done["version"] = VERSION
        self._database[SERVER].update_one({"_id": _PARAMETERS}, {"$set": done})
        self.look()

    def _kept(self) -> dict[str, Any]:
        return self._database[SERVER].find_one({"_id": _PARAMETERS}) or {"version": 0, "types": {}}


def _said(name: str) -> str:
    return {OWNER: "the record it belongs to", CONTAINED: "what contains it"}.get(name, f"`{name}`")
