"""What a process does by itself goes on, whatever becomes of one round."""

from __future__ import annotations

import threading

from fhir_server.fhir.outcome import Unavailable
from fhir_server.smart.housekeeping import Housekeeping


def test_a_store_that_is_away_ends_nothing() -> None:
    """A round that fails is followed by the next, and keeps the other works from nothing"""
    rounds: list[str] = []
    enough = threading.Event()

    def away() -> None:
        rounds.append("away")
        raise Unavailable("The store does not answer.")

    def other() -> None:
        rounds.append("other")
        if rounds.count("other") == 3:
            enough.set()

    housekeeping = Housekeeping((away, other), every=0.001)
    housekeeping.start()
    assert enough.wait(10)
    housekeeping.stop()
    assert rounds[:6] == ["away", "other"] * 3
