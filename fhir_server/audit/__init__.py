"""Every access is recorded, whoever's, granted or refused, before its answer leaves; AuditEvents tell of it.

A record goes into the ledger (storage/ledger.py), where each is bound to the one before by a keyed hash.  AuditEvents
are made of the records afterwards, and always before anybody reads AuditEvents.
R4: auditevent.html; IHE BALP
"""

from fhir_server.audit import labels
from fhir_server.audit.follow import TYPE, Background, Follower
from fhir_server.audit.record import FAILED, REFUSED, SUCCESS, Record, Trail, event
from fhir_server.audit.recorder import Recorder
from fhir_server.audit.resource import events

__all__ = [
    "FAILED",
    "REFUSED",
    "SUCCESS",
    "TYPE",
    "Background",
    "Follower",
    "Record",
    "Recorder",
    "Trail",
    "event",
    "events",
    "labels",
]
