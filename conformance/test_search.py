"""search: parameters, values, combinations, GET and POST.  R4 search.html, http.html#search"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

#: name → what is special about the observation; see `shelf`.
EFFECTIVE = {
    "a": {"effectiveDateTime": "2024-02-15T12:00:00Z"},
    "b": {"effectiveDateTime": "2024-02-15"},
    "c": {"effectiveDateTime": "2024-02"},
    "d": {"effectiveDateTime": "2023"},
    "e": {"effectivePeriod": {"start": "2024-01-10", "end": "2024-03-10"}},
    "f": {"effectivePeriod": {"start": "2024-02-20"}},
}
STATUS = {"a": "final", "b": "final", "c": "amended", "d": "final", "e": "preliminary", "f": "final"}


class Shelf:
    """Six observations of two patients, and how to say their ids, systems and codes in a search value."""

    def __init__(self, fhir, tag):
        self.fhir = fhir
        self.words = {"idsys": fhir.identifiers, "codes": f"https://conformance.example/codes/{tag}", "t": tag}
        self.words["other"] = self.words["codes"] + "/other"
        self.words["amp"] = "&"
        self.ids = {}

    def fill(self):
        """Stores the two patients and six observations."""
        codes, other, tag = self.words["codes"], self.words["other"], self.words["t"]
        coding = {
            "a": [{"system": codes, "code": "1"}],
            "b": [{"system": codes, "code": "2"}],
            "c": [{"system": codes, "code": "1"}],
            "d": [{"code": f"x-{tag}"}],
            "e": [{"system": codes, "code": "2"}, {"system": codes, "code": "3"}],
            "f": [{"system": other, "code": "1"}],
        }
        identifier = {
            "a": {"system": self.fhir.identifiers, "value": f"v-{tag}"},
            "b": {"system": self.fhir.identifiers, "value": f"w-{tag}"},
            "c": {"value": f"v-{tag}"},
            "d": {"system": other, "value": f"v-{tag}"},
            "e": {"system": self.fhir.identifiers, "value": f"x,y|z$\\{tag}"},
            "f": {"system": self.fhir.identifiers, "value": f"é +&=#%/? {tag}"},
        }
        for name in ("p", "q"):
            stored = self.fhir.create({"resourceType": "Patient", "name": [{"family": tag}]})
            self.ids[name] = self.words[name] = stored["id"]
        for name in EFFECTIVE:
            stored = self.fhir.create(
                {
                    "resourceType": "Observation",
                    "identifier": [identifier[name]],
                    "status": STATUS[name],
                    "code": {"coding": coding[name]},
                    "subject": {"reference": f"Patient/{self.ids['p' if name in 'abc' else 'q']}"},
                    **EFFECTIVE[name],
                }
            )
            self.ids[name] = self.words[name] = stored["id"]
        return self

    def params(self, query):
        """`name=value&…` with {words}, as pairs, and the two patients for scope."""
        pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")] if query else []
        pairs = [(name, value.format(**self.words)) for name, value in pairs]
        return [*pairs, ("patient", f"{self.ids['p']},{self.ids['q']}")]

    def names(self, ids):
        """The names of these ids, sorted, in one text."""
        by_id = {id_: name for name, id_ in self.ids.items()}
        return "".join(sorted(by_id[id_] for id_ in ids))


@pytest.fixture(scope="module")
def shelf(fhir, advertised, new_tag):
    """Filled once."""
    missing = {"patient", "identifier", "code", "status", "date", "subject"} - set(
        advertised.search_parameters("Observation")
    )
    if missing:
        pytest.skip(f"the server does not offer {missing} on Observation")
    return Shelf(fhir, new_tag()).fill()


CASES = [
    ("", "abcdef"),
    # token: [code], [system]|[code], |[code], [system]|
    ("code={codes}|1", "ac"),
    ("code={codes}|2", "be"),
    ("code={codes}|3", "e"),
    ("code=x-{t}", "d"),
    ("code=|x-{t}", "d"),
    ("code={codes}|x-{t}", ""),
    ("code=|1", ""),
    ("code={codes}|", "abce"),
    ("code={other}|1", "f"),
    ("code=1", "acf"),
    ("code={codes}|1,{codes}|3", "ace"),
    ("code={codes}|2&code={codes}|3", "e"),
    ("code={codes}|4", ""),
    ("code={codes}", ""),
    ("identifier={idsys}|v-{t}", "a"),
    ("identifier=v-{t}", "acd"),
    ("identifier=|v-{t}", "c"),
    ("identifier={other}|v-{t}", "d"),
    ("identifier={other}|", "d"),
    ("identifier={idsys}|v-{t},{idsys}|w-{t}", "ab"),
    ("identifier=w-{t},|v-{t}", "bc"),
    # search.html#escaping
    ("identifier={idsys}|x\\,y\\|z\\$\\\\{t}", "e"),
    ("identifier={idsys}|x,y", ""),
    ("identifier={idsys}|é +{amp}=#%/? {t}", "f"),
    # code without a system of its own
    ("status=final", "abdf"),
    ("status=amended,preliminary", "ce"),
    ("status=final&status=amended", ""),
    ("status=cancelled", ""),
    # reference: [id], [type]/[id], [url]
    ("subject=Patient/{p}", "abc"),
    ("subject={base}/Patient/{q}", "def"),
    ("patient={p}", "abc"),
    ("patient=Patient/{q}", "def"),
    ("patient={p},{q}", "abcdef"),
    ("patient={p}&subject=Patient/{q}", ""),
    ("subject=Patient/nobody", ""),
    ("subject=Device/{p}", ""),
    ("_id={a}", "a"),
    ("_id={a},{d},nobody", "ad"),
    ("_id={a}&_id={b}", ""),
    # and
    ("status=final&code={codes}|1", "a"),
    ("status=final&patient={q}&date=2023", "d"),
    # date, search.html#prefix: the range of the value against the range of what is stored
    ("date=2024-02", "abc"),
    ("date=eq2024-02", "abc"),
    ("date=2024", "abce"),
    ("date=2023", "d"),
    ("date=2024-02-15", "ab"),
    ("date=2024-02-15T12:00:00Z", "a"),
    ("date=2024-02-15T13:00:00+01:00", "a"),
    ("date=2024-02-15T12:00:01Z", ""),
    ("date=ne2024-02", "def"),
    ("date=gt2024-02-15", "cef"),
    ("date=lt2024-02-15", "cde"),
    ("date=ge2024-02-15", "abcef"),
    ("date=le2024-02-15", "abcde"),
    ("date=sa2024-02-15", "f"),
    ("date=eb2024-02-15", "d"),
    ("date=gt2024-02-15T12:00:00Z", "bcef"),
    ("date=lt2024-02-15T12:00:00Z", "bcde"),
    ("date=gt2030", "f"),
    ("date=lt2023", ""),
    ("date=ge2024-01-01&date=lt2024-02-01", "e"),
    ("date=2023,2024-02-15", "abd"),
    ("date=ge2024-02-16&date=le2024-02-19", "ce"),
]


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_what_a_query_finds(fhir, shelf, query, expected):
    """R4 search.html#token, #reference, #date, #prefix, #combining, #escaping"""
    params = shelf.params(query.replace("{base}", fhir.base))

    assert shelf.names(fhir.found("Observation", *params)) == expected


@pytest.mark.parametrize(
    "query", ["", "code={codes}|1,{codes}|3", "identifier={idsys}|é +{amp}=#%/? {t}", "date=ge2024-02-15&status=final"]
)
def test_get_and_post_are_the_same_search(fhir, shelf, query):
    """R4 http.html#search: POST has exactly the same semantics as the equivalent GET command"""
    params = shelf.params(query)
    form = form_of(params)

    posted = fhir.post("Observation/_search", **form)

    assert posted.status_code == 200
    assert posted.json()["type"] == "searchset"
    assert set(fhir.matches(posted.json())) == fhir.found("Observation", *params)


def form_of(pairs):
    """The body and header of a form."""
    return {"body": urlencode(pairs), "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


def test_post_takes_parameters_of_the_url_and_the_body(fhir, shelf):
    """R4 http.html#search: parameters may appear in both; as if they were repeated"""
    form = form_of(shelf.params("code={codes}|1"))

    response = fhir.post("Observation/_search", params=[("status", "final")], **form)

    assert shelf.names(fhir.matches(response.json())) == "a"


def test_post_without_a_body_searches_all(fhir, shelf):
    """R4 http.html#search"""
    response = fhir.post(
        "Observation/_search",
        params=shelf.params("status=amended"),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert shelf.names(fhir.matches(response.json())) == "c"


def test_post_of_another_type_of_body_is_refused(fhir):
    """R4 http.html#search: application/x-www-form-urlencoded"""
    fhir.issues(fhir.post("Observation/_search", {"status": "final"}), 400, 415)


# -- the answer ----------------------------------------------------------------------------------------------
def test_a_searchset_says_where_its_entries_are_from(fhir, shelf):
    """R4 search.html, bundle.html: searchset, self link, fullUrl, search.mode, the resource as a read returns it"""
    bundle = fhir.search("Observation", *shelf.params("patient={p}"))

    assert bundle.get("total", 3) == 3
    assert "patient=" in fhir.link(bundle, "self")
    for entry in bundle["entry"]:
        assert entry["fullUrl"] == f"{fhir.base}/Observation/{entry['resource']['id']}"
        assert entry["search"]["mode"] == "match"
        assert entry["resource"] == fhir.read(f"Observation/{entry['resource']['id']}")
        assert "request" not in entry, "bdl-3"
        assert "response" not in entry, "bdl-4"


def test_the_self_link_is_the_search(fhir, shelf):
    """R4 search.html#conformance: the self link encodes the search parameters that were used"""
    bundle = fhir.search("Observation", *shelf.params("code={codes}|1"))

    again = fhir.get(fhir.link(bundle, "self")).json()

    assert set(fhir.matches(again)) == set(fhir.matches(bundle)) != set()


def test_nothing_found_is_an_empty_searchset(fhir, tag):
    """R4 http.html#search, json.html: an array is never empty"""
    bundle = fhir.search("Patient", ("identifier", f"{fhir.identifiers}|{tag}"))

    assert "entry" not in bundle
    assert bundle.get("total", 0) == 0


def test_a_search_of_an_unknown_type_is_404(fhir):
    """R4 http.html#search: 404, resource type not supported"""
    fhir.issues(fhir.get("Nonsense?_id=1"), 404)


# -- what changes --------------------------------------------------------------------------------------------
def test_an_update_is_found_by_its_new_values_alone(fhir, patient, new_patient, tag):
    """R4 http.html#search: what is current"""
    stored = patient()

    fhir.put(
        f"Patient/{stored['id']}",
        new_patient(id=stored["id"], identifier=[{"system": fhir.identifiers, "value": f"new-{tag}"}]),
    )

    assert fhir.found("Patient", ("identifier", f"{fhir.identifiers}|{tag}")) == set()
    assert fhir.found("Patient", ("identifier", f"{fhir.identifiers}|new-{tag}")) == {stored["id"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ge", True),
        ("gt", True),
        ("eq", False),
        ("lt", False),
        ("le", False),
        ("sa", True),
        ("eb", False),
        ("ne", True),
    ],
)
def test_last_updated_by_prefix(fhir, patient, by_tag, before, after):
    """R4 search.html#lastUpdated, #prefix: of an instant before the write"""
    moment = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    stored = patient()

    found = fhir.found("Patient", by_tag, ("_lastUpdated", before + moment))

    assert found == ({stored["id"]} if after else set())


def test_last_updated_of_a_window(fhir, patient, by_tag):
    """R4 search.html#lastUpdated"""
    first = patient()
    time.sleep(1.1)
    second = patient()
    bound = datetime.fromisoformat(second["meta"]["lastUpdated"]).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert fhir.found("Patient", by_tag, ("_lastUpdated", f"ge{bound}")) == {second["id"]}
    assert fhir.found("Patient", by_tag, ("_lastUpdated", f"lt{bound}")) == {first["id"]}
    assert fhir.found("Patient", by_tag, ("_lastUpdated", f"eq{bound}")) == {second["id"]}


def test_last_updated_of_the_resource_itself(fhir, patient, by_tag):
    """R4 search.html#date: to the precision that is given"""
    stored = patient()

    exact = stored["meta"]["lastUpdated"]

    assert fhir.found("Patient", by_tag, ("_lastUpdated", exact)) == {stored["id"]}
    assert fhir.found("Patient", by_tag, ("_lastUpdated", f"gt{exact}")) == set()
    assert fhir.found("Patient", by_tag, ("_lastUpdated", f"ge{exact}")) == {stored["id"]}


# -- what is not understood ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "query",
    [
        "date=yesterday",
        "date=2024-13",
        "date=2024-02-30",
        "date=xx2024",
        "date=15/02/2024",
        "date=2024-02-15T25:00Z",
        "date=20240215",
        "date=gt",
        "_lastUpdated=soon",
        "date=2024,soon",
    ],
)
def test_a_bad_date_is_400(fhir, shelf, query):
    """R4 http.html#search: 400, search could not be processed"""
    fhir.issues(fhir.get("Observation", params=shelf.params(query)), 400)


def test_strict_handling_refuses_what_is_unknown(fhir, shelf):
    """R4 search.html#errors: Prefer: handling=strict, the server SHOULD return an error"""
    response = fhir.get("Observation", params=shelf.params("nosuchparameter=1"), headers={"Prefer": "handling=strict"})

    fhir.issues(response, 400)


def test_lenient_handling_leaves_out_what_is_unknown(fhir, shelf):
    """R4 search.html#errors: the client can see by the self link which parameters were used"""
    response = fhir.get(
        "Observation",
        params=shelf.params("nosuchparameter=1&status=amended"),
        headers={"Prefer": "handling=lenient"},
    )

    assert response.status_code == 200
    bundle = response.json()
    assert shelf.names(fhir.matches(bundle)) == "c"
    assert "nosuchparameter" not in fhir.link(bundle, "self")
    assert "status=amended" in fhir.link(bundle, "self")
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "OperationOutcome":
            assert entry["search"]["mode"] == "outcome"
            severities = {issue["severity"] for issue in entry["resource"]["issue"]}
            assert severities <= {"warning", "information"}, "R4 http.html#search: no fatal or error issues"
