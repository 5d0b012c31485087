"""The client, the builders and the options of the black-box suite: any FHIR R4 server, reached by its URL alone.

Nothing here knows how a server is made.  Every resource carries a tag of its own, so that the store may hold
whatever else; what a run creates it deletes at the end (`--keep` leaves it).  No answer may be a 5xx (but 501).
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

JSON = "application/fhir+json"
XML = "application/fhir+xml"
IDENTIFIERS = "https://conformance.example/identifiers"

#: R4 valueset-issue-type.html
ISSUE_CODES = frozenset(
    [
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
        "informational",
    ]
)
#: R4 valueset-issue-severity.html
SEVERITIES = frozenset({"fatal", "error", "warning", "information"})


def pytest_addoption(parser):
    group = parser.getgroup("fhir", "the FHIR server under test")
    group.addoption(
        "--fhir-base",
        default=os.environ.get("FHIR_BASE", "http://127.0.0.1:8080/fhir"),
        help="Service Base URL ([base] of http.html); default $FHIR_BASE, else http://127.0.0.1:8080/fhir",
    )
    group.addoption(
        "--token", default=os.environ.get("FHIR_TOKEN"), help="bearer token; default $FHIR_TOKEN, else none"
    )
    group.addoption("--keep", action="store_true", help="leave what the run created, to look at it afterwards")


def pytest_report_header(config):
    return f"FHIR server under test: {config.getoption('--fhir-base')}"


class Fhir:
    """A FHIR client that sends what it is told, and fails the test on any 5xx."""

    json = JSON
    xml = XML
    identifiers = IDENTIFIERS

    def __init__(self, base: str, token: str | None):
        self.base = base.rstrip("/")
        self.token = token
        self.created: list[str] = []
        self._session = requests.Session()
        self._session.trust_env = False
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=32))

    # -- requests ---------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str = "",
        *,
        resource: Any = None,
        body: bytes | str | None = None,
        headers: dict[str, str | None] | None = None,
        params: Any = None,
        token: bool = True,
    ) -> requests.Response:
        """The answer to one request.  `path` is relative to [base], or a whole URL (a page link).

        `resource` is sent as JSON; `body` as it is.  A header of None is not sent at all.
        """
        url = path if path.startswith(("http://", "https://")) else self.base + (f"/{path}" if path else "")
        sent: dict[str, str | None] = {"Accept": JSON}
        if token and self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if resource is not None:
            body = json.dumps(resource, ensure_ascii=False)
            sent["Content-Type"] = JSON
        sent.update(headers or {})
        response = self._session.request(
            method,
            url,
            data=body.encode() if isinstance(body, str) else body,
            headers=sent,  # type: ignore[arg-type]
            params=params,
            timeout=60,
            allow_redirects=False,
        )
        good = response.status_code < 500 or response.status_code == 501
        assert good, f"{method} {url[:500]}: {response.status_code} {response.text[:1000]}"
        self._remember(response)
        return response

    def get(self, path: str = "", **options: Any) -> requests.Response:
        """GET."""
        return self.request("GET", path, **options)

    def head(self, path: str = "", **options: Any) -> requests.Response:
        """HEAD."""
        return self.request("HEAD", path, **options)

    def post(self, path: str = "", resource: Any = None, **options: Any) -> requests.Response:
        """POST."""
        return self.request("POST", path, resource=resource, **options)

    def put(self, path: str, resource: Any = None, **options: Any) -> requests.Response:
        """PUT."""
        return self.request("PUT", path, resource=resource, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        """DELETE."""
        return self.request("DELETE", path, **options)

    def json_patch(self, path: str, operations: Any, **options: Any) -> requests.Response:
        """PATCH with a JSON Patch document.  RFC 6902"""
        headers = {"Content-Type": "application/json-patch+json", **options.pop("headers", {})}
        return self.request("PATCH", path, body=json.dumps(operations), headers=headers, **options)

    def at_once(self, calls: Iterable[Callable[[], Any]]) -> list[Any]:
        """What each call returns, all made at the same time."""
        calls = list(calls)
        with ThreadPoolExecutor(len(calls)) as pool:
            return [future.result() for future in [pool.submit(call) for call in calls]]

    def close(self) -> None:
        """Ends the connections."""
        self._session.close()

    def _remember(self, response: requests.Response) -> None:
        if response.status_code == 201 and "Location" in response.headers:
            self.created.append(self.local(response.headers["Location"]))
            return
        if response.status_code != 200 or b"-response" not in response.content[:5000]:
            return
        for entry in _bundle_or_nothing(response).get("entry", []):
            answer = entry.get("response", {})
            if answer.get("status", "").startswith("201") and "location" in answer:
                self.created.append(self.local(answer["location"]))

    # -- what is expected of an answer ------------------------------------------------------------------------

    def issues(self, response: requests.Response, *statuses: int) -> list[dict[str, Any]]:
        """The issues of an answer that must be an error of one of these statuses, with a good OperationOutcome."""
        assert response.status_code in statuses, f"{response.status_code}: {response.text[:1000]}"
        assert response.headers.get("Content-Type", "").startswith(JSON), response.headers
        outcome = response.json()
        assert outcome["resourceType"] == "OperationOutcome", outcome
        assert outcome["issue"], "R4 operationoutcome.html: issue 1..*"
        for issue in outcome["issue"]:
            assert issue["severity"] in SEVERITIES, issue
            assert issue["code"] in ISSUE_CODES, issue
        assert {"fatal", "error"} & {issue["severity"] for issue in outcome["issue"]}, outcome
        return outcome["issue"]

    def create(self, resource: dict[str, Any], **headers: str) -> dict[str, Any]:
        """The resource as the server stored it."""
        response = self.post(resource["resourceType"], resource, headers={"Prefer": "return=representation", **headers})
        assert response.status_code == 201, f"{response.status_code}: {response.text[:1000]}"
        return self.read(self.local(response.headers["Location"]))

    def read(self, path: str) -> dict[str, Any]:
        """The resource at `Type/id`, which must be there."""
        response = self.get(path)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:1000]}"
        return response.json()

    def search(self, type_name: str, *params: tuple[str, str]) -> dict[str, Any]:
        """The searchset of a search that must succeed."""
        response = self.get(type_name, params=list(params))
        assert response.status_code == 200, f"{params}: {response.status_code} {response.text[:1000]}"
        bundle = response.json()
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
        return bundle

    def found(self, type_name: str, *params: tuple[str, str]) -> set[str]:
        """The ids that a search matches, over all its pages."""
        return set(self.matches(self.search(type_name, *params)))

    def matches(self, bundle: dict[str, Any]) -> list[str]:
        """The ids of the matches of a searchset, its next pages included, in order."""
        return [
            entry["resource"]["id"]
            for page in self.pages(bundle)
            for entry in page.get("entry", [])
            if entry.get("search", {}).get("mode", "match") == "match"
        ]

    def pages(self, bundle: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The bundle, then each page that a `next` link leads to.  R4 http.html#paging"""
        seen: set[str] = set()
        yield bundle
        while (url := self.link(bundle, "next")) is not None:
            assert url not in seen, f"the pages go round in a circle at {url}"
            seen.add(url)
            response = self.get(url)
            assert response.status_code == 200, f"{url}: {response.status_code} {response.text[:1000]}"
            bundle = response.json()
            yield bundle

    @staticmethod
    def link(bundle: dict[str, Any], relation: str) -> str | None:
        """The URL of one link of a bundle, or None."""
        return next((link["url"] for link in bundle.get("link", []) if link["relation"] == relation), None)

    @staticmethod
    def local(location: str) -> str:
        """`Type/id` of a Location, absolute or relative, with a version or without."""
        match = re.search(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.\-]{1,64})(/_history/[A-Za-z0-9.\-]{1,64})?$", location)
        assert match, f"not the place of a resource: {location}"
        return f"{match[1]}/{match[2]}"

    # -- values -----------------------------------------------------------------------------------------------

    @staticmethod
    def exact(text: str) -> Any:
        """JSON with each decimal as a text that tells 1.0 from 1.00.  R4 datatypes.html#decimal"""
        return json.loads(text, parse_float=lambda digits: f"decimal {Decimal(digits)}")

    @staticmethod
    def content(resource: dict[str, Any]) -> dict[str, Any]:
        """The resource without what a server sets: id, meta.versionId, meta.lastUpdated."""
        rest = {name: value for name, value in resource.items() if name not in ("id", "meta")}
        servers = ("versionId", "lastUpdated")
        meta = {name: value for name, value in resource.get("meta", {}).items() if name not in servers}
        return {**rest, "meta": meta} if meta else rest

    @staticmethod
    def entry(
        method: str, url: str, resource: Any = None, full_url: str | None = None, **request: str
    ) -> dict[str, Any]:
        """An entry of a batch or transaction; `request` are further elements of entry.request."""
        entry: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
        if full_url is not None:
            entry["fullUrl"] = full_url
        if resource is not None:
            entry["resource"] = resource
        return entry

    def bundle(self, kind: str, *entries: dict[str, Any], **headers: str) -> requests.Response:
        """The answer to a Bundle of this type posted to [base]."""
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": kind}
        if entries:
            bundle["entry"] = list(entries)
        return self.post("", bundle, headers=dict(headers))

    def answers(self, response: requests.Response, kind: str) -> list[dict[str, Any]]:
        """The entries of the answer to a batch or transaction, which must have been processed."""
        assert response.status_code == 200, f"{response.status_code}: {response.text[:2000]}"
        bundle = response.json()
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", f"{kind}-response")
        for entry in bundle.get("entry", []):
            assert re.match(r"[1-5][0-9][0-9]\b", entry["response"]["status"]), entry
        return bundle.get("entry", [])


def _bundle_or_nothing(response: requests.Response) -> dict[str, Any]:
    if not response.headers.get("Content-Type", "").startswith(JSON):
        return {}
    answer = response.json()
    return answer if answer.get("resourceType") == "Bundle" else {}


class Advertised:
    """What the server's CapabilityStatement offers.  A test of what is optional in R4 skips where it is not offered."""

    def __init__(self, statement: dict[str, Any]):
        self.statement = statement
        self.rest = next(rest for rest in statement["rest"] if rest["mode"] == "server")
        self.resources = {row["type"]: row for row in self.rest.get("resource", [])}

    def interactions(self, type_name: str) -> set[str]:
        """The codes of the interactions offered on a type."""
        return {row["code"] for row in self.resources.get(type_name, {}).get("interaction", [])}

    def system(self) -> set[str]:
        """The codes of the interactions offered on the whole system."""
        return {row["code"] for row in self.rest.get("interaction", [])}

    def search_parameters(self, type_name: str) -> dict[str, str]:
        """Each search parameter of a type with its type."""
        return {row["name"]: row["type"] for row in self.resources.get(type_name, {}).get("searchParam", [])}

    def operations(self, type_name: str) -> set[str]:
        """The names of the operations on a type, without the dollar; those of the whole system among them."""
        rows = self.resources.get(type_name, {}).get("operation", []) + self.rest.get("operation", [])
        return {row["name"].lstrip("$") for row in rows}

    def is_on(self, type_name: str, element: str) -> bool:
        """Whether a row says e.g. `conditionalCreate: true` or `conditionalDelete: single`."""
        return self.resources.get(type_name, {}).get(element) not in (None, False, "not-supported")

    def need(self, type_name: str, *interactions: str) -> None:
        """Skips the test unless the type offers these interactions."""
        missing = set(interactions) - self.interactions(type_name)
        if missing:
            pytest.skip(f"the server does not offer {', '.join(sorted(missing))} on {type_name}")

    def need_system(self, interaction: str) -> None:
        """Skips the test unless the system offers the interaction."""
        if interaction not in self.system():
            pytest.skip(f"the server does not offer {interaction}")

    def need_on(self, type_name: str, element: str) -> None:
        """Skips the test unless the row of the type has the element on."""
        if not self.is_on(type_name, element):
            pytest.skip(f"the server does not offer {element} on {type_name}")

    def need_operation(self, type_name: str, name: str) -> None:
        """Skips the test unless the operation is offered."""
        if name not in self.operations(type_name):
            pytest.skip(f"the server does not offer ${name} on {type_name}")


@pytest.fixture(scope="session")
def fhir(request):
    """The client; on leaving, what the run created is deleted, the newest first."""
    client = Fhir(request.config.getoption("--fhir-base"), request.config.getoption("--token"))
    yield client
    if not request.config.getoption("--keep"):
        paths = list(dict.fromkeys(reversed(client.created)))
        for start in range(0, len(paths), 8):
            client.at_once([lambda path=path: client.delete(path) for path in paths[start : start + 8]])
    client.close()


@pytest.fixture(scope="session")
def advertised(fhir):
    """What the server says it offers."""
    response = fhir.get("metadata")
    assert response.status_code == 200, f"R4 http.html#capabilities: {response.status_code} {response.text[:500]}"
    return Advertised(response.json())


@pytest.fixture(scope="session")
def new_tag():
    """Makes a text that no other resource holds."""
    return lambda: uuid.uuid4().hex


@pytest.fixture
def tag(new_tag):
    """A text that no other resource holds: the value of this test's identifiers, the end of its code system."""
    return new_tag()


@pytest.fixture
def new_patient(tag):
    """Builds the least Patient that can be found again, then changed by name; a change to None leaves one out."""

    def build(**changes: Any) -> dict[str, Any]:
        resource: dict[str, Any] = {
            "resourceType": "Patient",
            "identifier": [{"system": IDENTIFIERS, "value": tag}],
            "name": [{"family": "Conformance", "given": ["Camille"]}],
        }
        return {name: value for name, value in {**resource, **changes}.items() if value is not None}

    return build


@pytest.fixture
def new_observation(tag):
    """Builds the least Observation that can be found again, then changed by name; None leaves one out."""

    def build(**changes: Any) -> dict[str, Any]:
        resource: dict[str, Any] = {
            "resourceType": "Observation",
            "identifier": [{"system": IDENTIFIERS, "value": tag}],
            "status": "final",
            "code": {"coding": [{"system": f"https://conformance.example/codes/{tag}", "code": "weight"}]},
        }
        return {name: value for name, value in {**resource, **changes}.items() if value is not None}

    return build


@pytest.fixture
def patient(fhir, new_patient):
    """Creates a Patient and returns it as stored."""
    return lambda **changes: fhir.create(new_patient(**changes))


@pytest.fixture
def observation(fhir, new_observation):
    """Creates an Observation and returns it as stored."""
    return lambda **changes: fhir.create(new_observation(**changes))


@pytest.fixture
def by_tag(tag):
    """The search parameter that finds this test's resources."""
    return ("identifier", f"{IDENTIFIERS}|{tag}")


@pytest.fixture
def criteria(tag):
    """The same as a query, for what is conditional."""
    return f"identifier={IDENTIFIERS}|{tag}"


@pytest.fixture
def versions(fhir, patient):
    """A Patient of three versions: born 2001, 2002, 2003.  Returned as the list of its versions, oldest first."""

    def build() -> list[dict[str, Any]]:
        stored = [patient(birthDate="2001-01-01")]
        for year in (2002, 2003):
            changed = {**stored[-1], "birthDate": f"{year}-01-01"}
            response = fhir.put(f"Patient/{changed['id']}", changed)
            assert response.status_code == 200, f"{response.status_code}: {response.text[:1000]}"
            stored.append(fhir.read(f"Patient/{changed['id']}"))
        return stored

    return build
