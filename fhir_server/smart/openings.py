"""Which records a person may let apps into: those that the account opens, of the living.  R4: patient.html#death"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fhir_server.accounts.account import Profile
from fhir_server.repository import Surroundings
from fhir_server.search.expression import EVERYTHING

Profiles = Callable[[str], Iterable[Profile]]


def of_the_living(around: Surroundings, profiles: Profiles) -> Profiles:
    """
    The same profiles but those of patients who have died: nobody is there any more who allows it, and who asks for the
    record of the dead does so of its keeper, not by an app.
    """

    def found(account: str) -> tuple[Profile, ...]:
        opened = tuple(profiles(account))
        if not opened:
            return ()
        patients = ",".join(profile.patient for profile in opened)
        where = around.reader().expression("Patient", (("_id", patients), ("deceased", "true")))
        dead = set(around.store.ids("Patient", where, allowed=EVERYTHING, limit=len(opened)))
        return tuple(profile for profile in opened if profile.patient not in dead)

    return found
