"""How often a professional may look for a patient by identity: whoever finds nobody again and again is guessing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from fhir_server.accounts.rates import Rate, Rates

#: Searches that find nobody; the next has to wait.
FAILURES = Rate("patient-lookup", 20, timedelta(hours=1))
#: Searches at all, above what a practice has patients in an hour: a list of numbers is not worked through.
OF_ALL = Rate("patient-lookup-all", 300, timedelta(hours=1))


@dataclass(frozen=True)
class Lookups:
    """The counters of this server."""

    rates: Rates

    def begin(self, who: str) -> timedelta | None:
        """Count one before it is known what comes of it; how long to wait instead, where there were too many."""
        for rate in (FAILURES, OF_ALL):
            if not self.rates.hit(rate, who):
                return self.rates.wait(rate, who)
        return None

    def found(self, who: str) -> None:
        """It found the one patient, and is no guess."""
        self.rates.give_back(FAILURES, who)
