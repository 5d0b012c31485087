"""What is kept beside an AuditEvent to find it by is what the index would make of it."""

from datetime import UTC, datetime

import pytest

from fhir_server import audit
from fhir_server.access import Actor
from fhir_server.fhir import json
from fhir_server.search.index import entry

ACTORS = [
    None,
    Actor("operator", "operator", ()),
    Actor("patient", "Patient/p", (), patient="p"),
    Actor("professional", "Practitioner/d", (), practitioner="d"),
    Actor(
        "professional",
        "Practitioner/d",
        (),
        practitioner="d",
        mode="bris_de_glace",
        reason="inconscient",
        role="PractitionerRole/r",
        organization="Organization/o",
        client_id="c",
        software="Logiciel",
        secret=True,
    ),
    Actor("patient", "Parent", (), patient="p", person="RelatedPerson/x", relation="legal-representative"),
]


@pytest.mark.parametrize("patient", [None, "p", "q"])
@pytest.mark.parametrize("actor", ACTORS)
def test_an_audit_record_is_indexed_as_any_resource_is(actor, patient):
    """R4 auditevent.html#search: an AuditEvent is found by what it says, as any other resource"""
    trail = audit.Trail("read", "GET", "/Observation/1")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    record = audit.event(trail, actor, id="1", now=now, interaction="read", versions={}, patient=patient)

    (made,) = audit.events(json.loads(record.line))
    walked = entry("AuditEvent", json.parse(made.body or b""))

    made_entry = {name: value for name, value in made.entry.items() if name not in ("_id", "updated")}
    assert made_entry.keys() == walked.keys()
    assert sorted(made_entry.pop("keys")) == sorted(walked.pop("keys"))
    assert made_entry == walked
    assert walked.get("owner") == patient
