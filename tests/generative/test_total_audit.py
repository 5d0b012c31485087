"""Every request is in the record of accesses before its answer leaves, with just the versions that the answer holds.

Random requests of everybody, granted, refused and failing: the ledger has one record of each, made durable before the
answer, which names the versions in its body, no more and no fewer, and who asked, how and why.  When all is done the
ledger is whole.
rule A17; R4 auditevent.html; IHE BALP
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from fhir_server import app as application
from fhir_server.audit.verify import Verified, verify
from fhir_server.config import Settings
from fhir_server.storage.ledger import LEAVES, PAGES
from tests.build import entry, observation, transaction
from tests.calls import BASE, Caller, Served, follow
from tests.launches import Clock
from tests.worlds import TYPES, Asker, World

_PHASES = (Phase.explicit, Phase.generate)
SEEDS = st.integers(0, 2**32 - 1)
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"
PURPOSES = {"bris_de_glace": "BTG", "centre_15": "ETREAT"}
TAG = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}

#: (method, path, body, headers)
Request = tuple[str, str, Any, dict[str, str]]
#: Who asked what, the answer, and the versions that it holds.
Asked = tuple[Asker, Request, TestResponse, set[str]]


# --- what is asked


def reading(world: World, asker: Asker) -> Request:
    """A read of any kind."""
    pick = world.random
    name = pick.choice(sorted(world.versions))
    type = pick.choice(TYPES)
    patient = pick.choice(world.patients)
    some = ",".join(pick.sample(TYPES, 3))
    method, path, headers = pick.choice(
        [
            ("GET", name, {}),
            ("HEAD", name, {}),
            ("GET", name, {"If-None-Match": 'W/"1"'}),
            ("GET", name, {"If-None-Match": 'W/"2"'}),
            ("GET", name, {"Accept": "application/fhir+xml", "If-None-Match": "*"}),
            ("GET", f"{name}?_elements=status", {}),
            ("GET", f"{name}/_history/1", {}),
            ("GET", f"{name}/_history/2", {}),
            ("GET", f"{name}/_history?_count=1", {}),
            ("GET", f"{name}/_history", {}),
            ("GET", f"{type}/_history?_count=3", {}),
            ("GET", "_history?_count=4", {}),
            ("GET", f"{type}?_count=4&{world.tag}", {}),
            ("HEAD", f"{type}?_count=4&{world.tag}", {}),
            ("GET", f"{type}?_summary=count&{world.tag}", {}),
            ("GET", f"{type}?_count=0&{world.tag}", {}),
            ("GET", f"{type}?_elements=id&_count=5&{world.tag}", {}),
            ("GET", f"?_type={some}&_count=5&_sort=-_lastUpdated&{world.tag}", {}),
            ("GET", f"List?_include=List:item&_count=3&{world.tag}", {}),
            ("GET", f"List?_include=List:item&_include:iterate=Observation:has-member&_elements=id&{world.tag}", {}),
            ("GET", f"Patient?_revinclude=Observation:subject&_revinclude=Appointment:actor&{world.tag}", {}),
            ("GET", f"DocumentReference?_has:List:item:status=current&_count=3&{world.tag}", {}),
            ("GET", f"Patient/{patient}/Observation?_count=3&{world.tag}", {}),
            ("GET", f"Patient/{patient}/$everything?_count=6", {}),
            ("GET", f"Patient/{patient}/$everything?_type=Observation,Binary", {}),
            ("GET", f"{name}/$meta", {}),
            ("GET", f"{pick.choice([one for one in [*world.versions] if one.startswith('Binary/')] or [name])}",
             {"Accept": "text/plain"}),
            ("GET", f"{type}/none", {}),
            ("GET", f"{type}?no-such-parameter=1", {}),
            ("GET", "No-such-type/1", {}),
            ("GET", f"Patient/{patient}", {"Authorization": "Bearer nobody"}),
            ("GET", f"{type}?_count=2", {"Accept": "application/pdf"}),
        ]
    )  # fmt: skip
    return method, path, None, headers


def posting(world: World, asker: Asker) -> Request:
    """A search by POST."""
    body = f"_count=3&{world.tag}".encode()
    return "POST", f"{world.random.choice(TYPES)}/_search", body, {"Content-Type": FORM}


def writing(world: World, asker: Asker) -> Request:
    """A write of any kind, of which many are refused."""
    pick = world.random
    patient = asker.facts.get("patient") or pick.choice(world.patients)
    known = f"{world.prefix}-{pick.randint(0, 3)}"
    made = observation(patient, identifier=[{"system": "urn:audit", "value": known}])
    made["meta"] = {"tag": world.mark}
    name = pick.choice([one for one in sorted(world.versions) if one.startswith(("Observation/", "DocumentR"))])
    id = f"{world.prefix}-x{pick.randint(0, 4)}"
    amend = [{"op": "add", "path": "/status", "value": "entered-in-error"}]
    condition = f"identifier=urn:audit|{known}"
    return pick.choice(
        [
            ("POST", "Observation", made, {}),
            ("POST", "Observation", made, {"Prefer": "return=minimal"}),
            ("POST", "Observation", made, {"Prefer": "return=OperationOutcome"}),
            ("POST", "Observation", made, {"If-None-Exist": condition}),
            ("POST", "Observation", {**made, "status": "none"}, {}),
            ("POST", "Observation", b"{", {}),
            ("PUT", f"Observation/{id}", {**made, "id": id}, {}),
            ("PUT", f"Observation/{id}", {**made, "id": id}, {"If-Match": 'W/"1"'}),
            ("PUT", f"Observation?{condition}", made, {}),
            ("PATCH", name, amend, {"Content-Type": JSON_PATCH}),
            ("PATCH", f"Observation/{id}", amend, {"Content-Type": JSON_PATCH, "Prefer": "return=minimal"}),
            ("DELETE", f"Observation/{id}", None, {}),
            ("DELETE", name, None, {"If-Match": 'W/"9"'}),
            ("POST", f"Observation/{id}/$meta-add", TAG, {}),
            ("POST", "Observation/$validate", made, {}),
        ]
    )  # fmt: skip


def together(world: World, asker: Asker) -> Request:
    """Several in a batch or a transaction."""
    pick = world.random
    entries = []
    for _ in range(pick.randint(1, 5)):
        method, path, body, headers = pick.choice((reading, writing))(world, asker)
        if (
            headers.keys() - {"If-None-Exist", "If-Match", "If-None-Match"}
            or isinstance(body, bytes)
            or "$meta" in path
        ):
            continue  # no part of a Bundle, or with an answer that does not say what it is of
        conditions = {"If-None-Exist": "ifNoneExist", "If-Match": "ifMatch", "If-None-Match": "ifNoneMatch"}
        more = {conditions[name]: value for name, value in headers.items()}
        if method in ("GET", "PUT", "POST", "DELETE"):
            entries.append(entry(method, path, body, **more))
    kind = pick.choice(("batch", "batch", "transaction"))
    return "POST", "", transaction(*entries or [entry("GET", "Patient/none")], type=kind), {}


# --- what was answered


def held(request: Request, answer: TestResponse) -> set[str]:
    """The versions that an answer holds, or is of: `Type/id/_history/n`."""
    if answer.status_code >= 400 and not answer.data:
        return set()
    method, path, _, headers = request
    is_json = "json" in answer.headers.get("Content-Type", "") and answer.data
    body = json.loads(answer.data) if is_json else None
    if body is not None and body["resourceType"] == "Bundle":
        return set(_of_bundle(body, request[2]))
    if "/$meta" in path and body and body["resourceType"] == "Parameters":
        return {f"{path.partition('/$')[0]}/_history/{body['parameter'][0]['valueMeta']['versionId']}"}
    found = set(_walked(body))
    if found or answer.status_code >= 400 or "$" in path:
        return found
    return _of_headers(path, answer.headers.get("ETag"), answer.headers.get("Location"))


def _of_headers(path: str, etag: str | None, location: str | None) -> set[str]:
    """What an answer without a resource is of."""
    if location:
        return {location.removeprefix(BASE).strip("/")}
    parts = urlsplit(path).path.strip("/").split("/")
    return {f"{parts[0]}/{parts[1]}/_history/{_version(etag)}"} if etag and len(parts) > 1 else set()


def _of_bundle(bundle: dict[str, Any], sent: Any) -> Iterator[str]:
    """sent: the Bundle whose entries are answered, if it is one."""
    asked = sent["entry"] if isinstance(sent, dict) and sent["resourceType"] == "Bundle" else None
    for number, one in enumerate(bundle.get("entry", ())):
        response, resource = one.get("response", {}), one.get("resource")
        if resource and resource["resourceType"] == "Bundle":
            yield from _of_bundle(resource, None)
        elif resource and resource["resourceType"] != "OperationOutcome":
            yield from _walked(resource)
        elif asked and response["status"][0] in "23":
            yield from _of_headers(asked[number]["request"]["url"], response.get("etag"), response.get("location"))
        elif asked is None and "etag" in response:  # of a history: a deletion
            yield f"{one['fullUrl'].removeprefix(BASE + '/')}/_history/{_version(response['etag'])}"


def _walked(value: Any) -> Iterator[str]:
    """Each resource in the value that has an id and a version."""
    if isinstance(value, dict):
        if "resourceType" in value and "id" in value and "versionId" in value.get("meta", {}):
            yield f"{value['resourceType']}/{value['id']}/_history/{value['meta']['versionId']}"
        for one in value.values():
            yield from _walked(one)
    if isinstance(value, list):
        for one in value:
            yield from _walked(one)


def _version(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


# --- what was recorded


def recorded(served: Served, answer: TestResponse) -> list[dict[str, Any]]:
    """The records of a request that are durable by now: those in the ledger, and those of transactions."""
    asked = answer.headers["X-Request-Id"].encode()
    pages = served.database[PAGES].find({}).sort("$natural", -1).limit(8)
    lines = [line for page in pages for line in _lines(page["records"])]
    lines += [leaf["record"] for leaf in served.database[LEAVES].find({})]
    return [json.loads(line) for line in lines if asked in line]


def _lines(records: Any) -> list[bytes]:
    return bytes(records).split(b"\n") if isinstance(records, bytes) else [bytes(one) for one in records]


def _named(records: list[dict[str, Any]]) -> list[str]:
    return [name for record in records for _, names, *_ in record.get("of", ()) for name in names]


@settings(max_examples=3, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS)
def test_each_request_is_recorded_with_what_it_was_answered(stage: tuple[Served, Clock], seed: int) -> None:
    """A17: one record of each request, before its answer, of just what is in it; then all of the ledger is whole"""
    served, clock = stage
    world = World(served, clock, seed)
    follow(served.client, served.name)
    world.random = random.Random(seed)  # noqa: S311 - no secret
    asked: list[Asked] = []
    for asker in world.askers():
        scope = f"{asker.scopes[0][0]}/*.cruds" if world.random.random() < 0.8 else asker.scope
        asker = Asker(asker.name, asker.kind, scope, asker.facts)
        caller = world.caller(asker)
        for _ in range(9):
            kind = world.random.choice((reading, reading, reading, posting, writing, writing, together))
            asked += _ask(served, world, asker, caller, kind)
    follow(served.client, served.name)
    for one in asked:
        _check_events(served, *one)
    ledger = application.ledger_of(served.client, Settings(mongodb_database=served.name))
    assert list(verify(ledger, [], Verified())) == []


def _ask(
    served: Served, world: World, asker: Asker, caller: Caller, kind: Callable[[World, Asker], Request]
) -> Iterator[Asked]:
    """Ask, follow the pages, and hold each answer against what is recorded of it by then."""
    request = kind(world, asker)
    for _ in range(3):
        method, path, body, headers = request
        answer = caller(method, path, body, **headers)
        told = (asker, request, answer.status_code)
        assert answer.status_code < 500, (told, answer.text)
        records = recorded(served, answer)
        _check_records(kind is together, told, answer, records)
        # What the headers alone are asked of is looked at all the same.
        whole = answer if method != "HEAD" else caller("GET", path, body, **headers)
        assert sorted(set(_named(records))) == sorted(held(request, whole)), (told, whole.text[:2000])
        yield asker, request, answer, held(request, whole)
        onward = _next(answer) if method == "GET" else None
        if not onward:
            return
        request = ("GET", onward, None, headers)


def _check_records(several: bool, told: Any, answer: TestResponse, records: list[dict[str, Any]]) -> None:
    if not several:
        assert len(records) == 1, (told, records)
        (record,) = records
        assert record.get("out", "0") == ("4" if answer.status_code >= 400 else "0"), (told, record)
        return
    refused = [record for record in records if record.get("out", "0") != "0"]
    entries = answer.json.get("entry", ()) if answer.status_code == 200 else ()
    failed = [one for one in entries if one["response"]["status"][0] in "45"]
    assert len(refused) == (len(failed) if answer.status_code == 200 else 1), (told, answer.text, records)
    assert records, told


def _next(answer: TestResponse) -> str | None:
    if answer.status_code != 200 or "json" not in answer.headers.get("Content-Type", "") or not answer.data:
        return None
    return next((link["url"] for link in answer.json.get("link", ()) if link["relation"] == "next"), None)


def _check_events(served: Served, asker: Asker, request: Request, answer: TestResponse, held: set[str]) -> None:
    """The AuditEvents of a request say who asked, in which mode and why, and name the same versions as its records."""
    name = answer.headers["X-Request-Id"]
    found = served.database["AuditEvent"].find({"keys": f"entity:identifier={name}"})
    events = [json.loads(one["body"]) for one in found]
    assert events, request
    versions = {one.get("what", {}).get("reference", "") for event in events for one in event["entity"]}
    versions = {one for one in versions if "/_history/" in one}
    assert versions == held, request
    known = request[3].get("Authorization") is None
    purpose = PURPOSES.get(asker.facts.get("mode", "normal")) if known else None
    for event in events:
        said = [one["coding"][0]["code"] for one in event.get("purposeOfEvent", ())]
        assert said == ([purpose] if purpose else []), request
        agents = [one["who"].get("reference") for one in event["agent"]]
        refs = asker.who["refs"] if known and asker.kind in ("patient", "professional") else ()
        assert not refs or agents[0] == refs[0], (request, agents)
