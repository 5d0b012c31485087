"""The two readers of the expression tree agree: MongoDB's filter and the matcher in memory.  R4: search.html"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.fhir.dates import PARIS
from fhir_server.search.expression import And, DepositedBy, Expression, InRecord, Not, OfTypes, Or
from fhir_server.search.index import entry
from fhir_server.search.matcher import matches
from fhir_server.search.mongo import to_filter
from fhir_server.search.parser import Reader
from fhir_server.storage.documents import Stored, current_document

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READER = Reader("http://here/fhir", PARIS, NOW)

ids = st.sampled_from(["a", "b", "c"])
systems = st.sampled_from([None, "s", "t", "s|t"])
codes = st.sampled_from([None, "x", "y", "x|y", "x,y", "\\"])
days = st.sampled_from(
    ["2023", "2024", "2024-02", "2024-02-15", "2024-02-15T10:00:00Z", "2024-02-15T11:00:00.5+01:00", "2024-12-31"]
)
codings = st.builds(
    lambda system, code: {k: v for k, v in (("system", system), ("code", code)) if v is not None}, systems, codes
)
concepts = st.builds(lambda found: {"coding": found}, st.lists(codings, min_size=1, max_size=3))
identifiers = st.builds(
    lambda system, value: {k: v for k, v in (("system", system), ("value", value)) if v is not None}, systems, codes
)
references = st.sampled_from(
    ["Patient/a", "Patient/b", "http://here/fhir/Patient/a", "http://there/fhir/Patient/a", "Device/a", "#a", "urn:x:1"]
).map(lambda text: {"reference": text})
periods = st.builds(
    lambda start, end: {k: v for k, v in (("start", start), ("end", end)) if v is not None},
    st.none() | days,
    st.none() | days,
)


@st.composite
def observations(draw: st.DrawFn) -> dict:
    resource = {"resourceType": "Observation", "id": draw(ids), "status": draw(st.sampled_from(["final", "amended"]))}
    resource["code"] = draw(concepts)
    resource["category"] = draw(st.lists(concepts, max_size=2))
    resource["identifier"] = draw(st.lists(identifiers, max_size=2))
    if draw(st.booleans()):
        resource["subject"] = draw(references)
    when = draw(st.sampled_from(["effectiveDateTime", "effectivePeriod", None]))
    if when:
        resource[when] = draw(days if when == "effectiveDateTime" else periods)
    return resource


@st.composite
def appointments(draw: st.DrawFn) -> dict:
    actors = draw(st.lists(references, max_size=3))
    start = draw(st.none() | st.sampled_from(["2024-02-15T10:00:00Z", "2024-12-31T23:30:00+01:00"]))
    return {
        "resourceType": "Appointment",
        "id": draw(ids),
        "status": "booked",
        "participant": [{"actor": actor, "status": "accepted"} for actor in actors],
        **({"start": start} if start else {}),
    }


def _escaped(text: str) -> str:
    for character in "\\,|$":
        text = text.replace(character, "\\" + character)
    return text


tokens = st.one_of(
    st.builds(lambda code: _escaped(code), codes.filter(bool)),
    st.builds(lambda system, code: f"{_escaped(system)}|{_escaped(code)}", systems.filter(bool), codes.filter(bool)),
    st.builds(lambda system: f"{_escaped(system)}|", systems.filter(bool)),
    st.builds(lambda code: f"|{_escaped(code)}", codes.filter(bool)),
)
dates = st.builds(
    lambda prefix, day: prefix + day, st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]), days
)
asked_references = st.sampled_from(["a", "Patient/a", "Patient/b", "http://here/fhir/Patient/a"])
several = st.lists(st.one_of(tokens), min_size=1, max_size=3).map(",".join)
terms = {
    "Observation": st.one_of(
        st.tuples(st.sampled_from(["code", "category", "identifier", "status"]), several),
        st.tuples(st.sampled_from(["date", "_lastUpdated"]), dates),
        st.tuples(st.sampled_from(["subject", "patient"]), asked_references),
        st.tuples(st.just("_id"), ids),
    ),
    "Appointment": st.one_of(
        st.tuples(st.just("patient"), asked_references),
        st.tuples(st.just("date"), dates),
        st.tuples(st.just("status"), st.sampled_from(["booked", "pending"])),
    ),
}


def expressions(type: str) -> st.SearchStrategy[Expression]:
    leaves = st.one_of(
        terms[type].map(lambda pair: READER.term(type, *pair)),
        ids.map(InRecord),
        st.sampled_from(["Practitioner/a", "Practitioner/b"]).map(DepositedBy),
        st.sampled_from([(type,), ("Flag",), (type, "Flag")]).map(OfTypes),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda found: And(tuple(found))),
            st.lists(inner, max_size=3).map(lambda found: Or(tuple(found))),
            inner.map(Not),
        ),
        max_leaves=6,
    )


@pytest.mark.parametrize(("type", "resources"), [("Observation", observations()), ("Appointment", appointments())])
def test_filter_and_matcher_agree(type, resources, database):
    """R4 search.html: a resource is found if and only if it matches, whichever reader is asked"""
    collection = database["documents"]

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        found=st.lists(resources, min_size=1, max_size=4, unique_by=lambda resource: resource["id"]),
        asked=st.lists(expressions(type), min_size=1, max_size=12),
        depositor=st.sampled_from([None, "Practitioner/a"]),
        minutes=st.integers(0, 10**6),
    )
    def agree(found, asked, depositor, minutes):
        entries = {}
        collection.delete_many({})
        for resource in found:
            id, updated = resource["id"], NOW - timedelta(minutes=minutes)
            kept = {"_id": id, "type": type, "updated": updated, **entry(type, resource, base=READER.base)}
            if depositor:
                kept["depositor"] = depositor
            entries[id] = kept
            collection.insert_one(
                current_document(Stored(type, id, 1, updated, b"{}", depositor=depositor, entry=kept))
            )
        for expression in asked:
            for_type = type == "Appointment"
            selected = {d["_id"] for d in collection.find(to_filter(expression, several_records=for_type), {"_id": 1})}
            matched = {id for id, kept in entries.items() if matches(expression, kept)}
            assert selected == matched, expression

    agree()
