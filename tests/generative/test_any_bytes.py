"""Whatever is sent, wherever: a 2xx, a 304 or a 4xx that says why in an OperationOutcome; and a refusal writes nothing.

R4: http.html#Status-Codes
"""

from __future__ import annotations

import copy
import io
import json
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from werkzeug.test import run_wsgi_app

from fhir_server.fhir import xml
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.routes import ROUTES
from fhir_server.operations.registry import OPERATIONS
from fhir_server.search.parameters import parameters
from fhir_server.search.parser import RESULT_PARAMETERS
from tests.build import entry, observation, patient, transaction
from tests.calls import Served

TYPES = ("Patient", "Observation", "Binary", "AuditEvent", "Appointment", "Practitioner")
METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] * 5 + ["OPTIONS", "TRACE", "PROPFIND", "get"]
)
#: What a URL may hold, as it stands on the wire.
ODD = [
    "%00",
    "%ff",
    "%2F",
    "%2e%2e",
    "%",
    "%zz",
    "//",
    "..",
    ";",
    "%0d%0a",
    "%ED%A0%80",
    "%EF%BF%BE",
    "é",
    "a" * 65,
    "$",
    "#",
    "+",
]
SEGMENTS = st.sampled_from(
    [
        *TYPES,
        "p1",
        "o1",
        "gone",
        "none",
        "_history",
        "_search",
        "1",
        "2",
        "99999999999",
        "-1",
        "metadata",
        "Foo",
        "_x",
        "",
    ]
    + [f"${operation.name}" for operation in OPERATIONS]
    + ["$foo"]
    + ODD
)
ROUTED = st.sampled_from(
    [route.path for route in ROUTES]
    + [
        address.replace("[type]", "{type}").replace("[id]", "{id}")
        for operation in OPERATIONS
        for address in operation.addresses()
    ]
).flatmap(
    lambda path: st.builds(
        lambda type, id, version: path.replace("{type}", type).replace("{id}", id).replace("{version_id}", version),
        st.sampled_from(TYPES),
        st.sampled_from(["p1", "o1", "b1", "gone", "none", *ODD[:4]]),
        st.sampled_from(["1", "2", "0", "x", "00000000000000001", *ODD[:3]]),
    )
)
PATHS = ROUTED | ROUTED | ROUTED | st.just("") | st.lists(SEGMENTS, max_size=5).map("/".join)
NAMES = sorted({code for type in TYPES for code in parameters(type)} | set(RESULT_PARAMETERS))
NAMES += [
    "_cursor",
    "_since",
    "_at",
    "_type",
    "start",
    "end",
    "_include",
    "identifier:missing",
    "",
    "_security-context",
]
VALUES = st.sampled_from(
    [
        "1",
        "0",
        "-1",
        "p1",
        "Patient/p1",
        "a|b",
        "|",
        "a,b",
        ",",
        "\\",
        "\\,",
        "2020",
        "ge2020-01",
        "ap0001",
        "ap9999-12-31",
    ]
    + [
        "lt0001-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2020-02-30",
        "xx2020",
        "ne9999",
        "eb0001",
    ]
    + ["json", "xml", "application/fhir+xml", "text/turtle", "true", "count", "data", "text", "id,meta", "\u0660"]
    + ["http://fhir.test/fhir/Patient/p1", "urn:uuid:1", "^(a+)+$", "$where", "1" * 30]
)
ENCODED = VALUES | st.sampled_from(ODD) | st.text(max_size=8)
QUERIES = st.lists(st.tuples(st.sampled_from(NAMES), ENCODED).map("=".join) | st.text(max_size=10), max_size=4).map(
    "&".join
)
RAW_QUERIES = QUERIES | QUERIES | st.binary(max_size=20).map(lambda data: data.decode("latin-1"))
DATES = [
    "Mon, 01 Jan 2024 00:00:00 GMT",
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "x",
]
HEADERS: dict[str, list[str]] = {
    "Accept": [
        "application/fhir+json",
        "application/fhir+xml",
        "text/html",
        "*/*;q=nan",
        "a",
        "a/b;q=1e999",
        ",;=",
        "*/*;q=0",
        "\xff",
    ],
    "Content-Type": [
        "application/fhir+json",
        "application/fhir+xml",
        "application/json-patch+json",
        "text/plain",
        "",
        "\xe9",
        "application/x-www-form-urlencoded",
        "application/fhir+json; charset=utf-16",
        "multipart/form-data; boundary=x",
        "a\tb",
    ],
    "If-Match": ['W/"1"', '"', "*", "1,2", 'W/"99999999999999999999"', ""],
    "If-None-Match": ['W/"1"', "*", "", '"\xff'],
    "If-None-Exist": [
        "identifier=a|b",
        "",
        "?",
        "identifier=%00",
        "_id=p1",
        "subject=Patient/p1",
        "x=y",
        "identifier=%ff",
        "_count=1",
    ],
    "If-Modified-Since": DATES,
    "Prefer": ["return=minimal", "return=OperationOutcome", "return=representation", "handling=lenient", "return=x;=,"],
    "X-Request-Id": ["", "a", " ", "a" * 65, "\xff", "\t"],
    "X-Security-Context": ["Patient/p1", "", "\xff", "x"],
    "X-HTTP-Method-Override": ["DELETE"],
    "Host": ["evil.example", "", "["],
    "Content-Encoding": ["gzip"],
    "Range": ["bytes=0-1"],
}
HEADER_SETS = st.dictionaries(st.sampled_from(sorted(HEADERS)), st.none(), max_size=4).flatmap(
    lambda chosen: st.fixed_dictionaries(
        {
            name: st.sampled_from(HEADERS[name])
            | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=6)
            for name in chosen
        }
    )
)

SOUND: list[Any] = [
    patient(id="p1", name=[{"family": "Durand"}], birthDate="1980-01-01"),
    observation("p1", id="o1", effectiveDateTime="2024-01-01", valueQuantity={"value": 1.5, "unit": "kg"}),
    observation("none", identifier=[{"system": "a", "value": "b"}]),
    {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "AAEC"},
    {"resourceType": "AuditEvent", "id": "none"},
    {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "a", "code": "b"}]}}],
    },
    {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 1}]},
    {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Observation.status"},
                    {"name": "value", "valueCode": "amended"},
                ],
            }
        ],
    },
    [{"op": "replace", "path": "/status", "value": "amended"}, {"op": "test", "path": "/code/coding/0", "value": {}}],
    [{"op": "add", "path": "/name/-", "value": {"family": "B"}}, {"op": "move", "from": "/id", "path": "/active"}],
    transaction(
        entry(
            "POST",
            "Patient",
            patient(),
            fullUrl="urn:uuid:7d1c4e3a-9c2b-4a25-8bb4-b0c6a3b4e8f1",
            ifNoneExist="identifier=a|b",
        ),
        entry(
            "POST",
            "Observation",
            observation("x", subject={"reference": "urn:uuid:7d1c4e3a-9c2b-4a25-8bb4-b0c6a3b4e8f1"}),
        ),
        entry("PUT", "Observation?identifier=a|b", observation("p1")),
        entry("DELETE", "Patient/none"),
        entry("GET", "Observation?subject=Patient/p1&_count=1"),
    ),
    transaction(
        entry("GET", "Patient/p1/_history/1", ifNoneMatch='W/"1"', ifModifiedSince="2024-01-01T00:00:00Z"),
        entry(
            "PATCH",
            "Observation/o1",
            {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "W10="},
            ifMatch='W/"1"',
        ),
        entry("POST", "Observation/_search?status=final"),
        entry("POST", "Patient/p1/$meta"),
        type="batch",
    ),
]
ODD_VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        10**17,
        1.5,
        "",
        " ",
        "x",
        "\x00",
        "\ud800",
        "Foo",
        "Patient/p1",
        "Foo?x=y",
        "Patient?identifier=%00",
        "2024",
        "urn:uuid:x",
    ]
    + [
        "a" * 300,
        "PUT",
        "DELETE",
        "Foo?identifier=a",
        "Observation?",
        "?",
        "//",
        "Patient/p1/$everything",
        "http://fhir.test/fhir/Patient/p1",
    ]
    + [
        "text/plain\nX-Injected: 1",
        "text/plain; name=é€",
        "QQ=",
        "/",
        "-",
        [],
        {},
        [[]],
        [None],
        [1],
        {"": ""},
        {"a": 1},
        [{}],
    ]
)


@st.composite
def _mutated(draw: st.DrawFn) -> Any:
    """A sound body with some of its values, or none, put at the place of others."""
    value = copy.deepcopy(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(0, 2))):
        places = list(_places(value))
        if places:
            holder, key = draw(st.sampled_from(places))
            if draw(st.booleans()) and draw(st.booleans()):
                del holder[key]
            else:
                holder[key] = draw(ODD_VALUES)
    return value


def _places(value: Any) -> Any:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(inner)


@st.composite
def _bodies(draw: st.DrawFn) -> tuple[bytes, str | None]:
    """The bytes of a body, and the Content-Type that they would have if nothing else is said."""
    value = draw(_mutated())
    if isinstance(value, dict) and draw(st.integers(0, 4)) == 0:
        try:
            data, media_type = xml.dumps(value), "application/fhir+xml"
        except (FhirError, UnicodeEncodeError):
            data, media_type = b"<Patient xmlns='http://hl7.org/fhir'><id value=''/></Patient>", "application/fhir+xml"
    else:
        data = json.dumps(value).encode()
        media_type = "application/json-patch+json" if isinstance(value, list) else "application/fhir+json"
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 3)) :]
    return data, media_type


BODIES = (
    st.just((b"", None))
    | _bodies()
    | _bodies()
    | st.tuples(QUERIES.map(lambda q: q.encode("utf-8", "replace")), st.just("application/x-www-form-urlencoded"))
)


@pytest.fixture(scope="module")
def token(served: Served) -> str:
    """The operator's: who may do everything gets furthest."""
    operator = served.caller()
    for resource in (SOUND[0], SOUND[1], SOUND[3], patient(id="gone")):
        assert operator("PUT", f"{resource['resourceType']}/{resource['id']}", resource).status_code in (200, 201)
    assert operator("DELETE", "Patient/gone").status_code == 204
    assert operator.token
    return operator.token


def _send(served: Served, token: str | None, method: str, path: str, query: str, headers: dict[str, str], body: bytes):
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": _decoded(path),
        "QUERY_STRING": query.encode("utf-8", "surrogatepass").decode("latin-1"),
        "SERVER_NAME": "fhir.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if token:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    parts, status, answered = run_wsgi_app(served.app.wsgi_app, environ)
    return int(status.split()[0]), dict(answered), b"".join(parts)


def _decoded(path: str) -> str:
    """PATH_INFO: the bytes behind the percent signs, each as a character."""
    return unquote_to_bytes(f"/fhir/{path}").decode("latin-1")


def _is_outcome(content_type: str, body: bytes) -> bool:
    if content_type.startswith("application/fhir+json"):
        sent = json.loads(body)
        return sent["resourceType"] == "OperationOutcome" and all(issue["diagnostics"] for issue in sent["issue"])
    root = etree.fromstring(body)
    return root.tag == "{http://hl7.org/fhir}OperationOutcome" and len(root) > 0


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=METHODS, path=PATHS, query=RAW_QUERIES, headers=HEADER_SETS, sent=BODIES)
def test_any_request_is_answered_or_refused_with_a_reason(
    served: Served,
    token: str,
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    sent: tuple[bytes, str | None],
) -> None:
    """R4 http.html#Status-Codes: never a 5xx; a 4xx has an OperationOutcome, and has changed nothing."""
    body, media_type = sent
    if media_type:
        headers = {"Content-Type": media_type, **headers}
    before = _written(served)
    status, answered, content = _send(served, token, method, path, query, headers, body)
    assert 200 <= status < 300 or status == 304 or 400 <= status < 500, (status, content)
    if status >= 400:
        assert method == "HEAD" or _is_outcome(answered.get("Content-Type", ""), content), (status, answered, content)
        assert _written(served) == before


def _written(served: Served) -> int:
    return served.database["_history"].estimated_document_count()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/fhir+json"}
HARD = [
    # a regular expression that MongoDB does not compile, and ones that it must not read as any
    ("GET", "Patient", f"name={'a' * 40_000}", {}, b""),
    ("POST", "Patient/_search", "", FORM, b"name=" + b"a" * 40_000),
    ("GET", "Patient", "name=%28a%2B%29%2B%24", {}, b""),
    # more values and parameters than anybody means
    ("POST", "Observation/_search", "", FORM, b"code=" + b"a," * 30_000 + b"a"),
    ("POST", "Observation/_search", "", FORM, b"code=" + b"a," * 2_000_000),
    ("POST", "Observation/_search", "", FORM, b"&".join([b"code=a"] * 1_001)),
    ("GET", "Observation", "&".join(["status=final"] * 900), {}, b""),
    # numbers, dates and versions beyond what can be kept
    ("GET", "Observation", f"_count={'9' * 400}", {}, b""),
    ("GET", "Observation", "date=ap0001-01-01", {}, b""),
    ("GET", "Observation", "date=lt0001-01-01T00:00:00%2B14:00&_lastUpdated=gt9999-12-31", {}, b""),
    ("GET", "Observation/_history", "_since=0001-01-01&_at=9999-12-31", {}, b""),
    ("GET", "Observation/o1/_history/99999999999999999999999999", "", {}, b""),
    ("GET", "Observation/o1", "", {"If-Modified-Since": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, b""),
    # what no FHIR string may hold
    ("GET", "Observation/%00", "", {"Accept": "application/fhir+xml"}, b""),
    ("GET", "Observation", "%00=1", {"Accept": "application/fhir+xml"}, b""),
    ("POST", "Observation", "", {**JSON, "If-None-Exist": "identifier=%00", "Accept": "application/fhir+xml"}, b"{}"),
    ("GET", "Observation", "", {"Accept": "\x01\x02"}, b""),
    ("POST", "Observation", "_format=xml", {"Content-Type": "\x01"}, b"x"),
    # a Binary whose content type would be two headers, and one in no character set of HTTP's
    (
        "PUT",
        "Binary/b3",
        "",
        JSON,
        json.dumps({**SOUND[3], "id": "b3", "contentType": "text/plain\nX-Injected: 1"}).encode(),
    ),
    ("GET", "Binary/b3", "", {"Accept": "*/*"}, b""),
    ("PUT", "Binary/b4", "", JSON, json.dumps({**SOUND[3], "id": "b4", "contentType": "text/pl\u20acin"}).encode()),
    ("GET", "Binary/b4", "", {"Accept": "*/*"}, b""),
    ("PUT", "Binary/b5", "", {"Content-Type": "text/\xe9"}, b"x"),
    ("GET", "Binary/b5", "", {}, b""),
    # operations and entries that are not built as they should
    ("POST", "Patient/p1/$everything", "", JSON, b'{"resourceType":"Parameters","parameter":[1]}'),
    ("POST", "Patient/p1/$everything", "", JSON, b'{"resourceType":"Parameters","parameter":null}'),
    ("POST", "Patient/p1/$everything", "", JSON, b'{"parameter":[{"name":"_count","valueDecimal":1.5}]}'),
    (
        "POST",
        "Patient/p1/$meta-add",
        "",
        JSON,
        b'{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{"tag":["x"]}}]}',
    ),
    ("GET", "ValueSet/$expand", "url=http://a.example", {}, b""),
    ("GET", "ValueSet/$expand", "url=http://hl7.org/fhir/ValueSet/mimetypes&count=5", {}, b""),
    ("POST", "ValueSet/$expand", "", JSON, b'{"resourceType":"ValueSet","status":"draft","compose":{"include":[{}]}}'),
    ("POST", "ValueSet/$expand", "", JSON, b'{"resourceType":"Parameters","parameter":[{"name":"url"}]}'),
    ("POST", "ValueSet/$expand", "", JSON, b'{"resourceType":"Parameters","parameter":[{"name":"valueSet"}]}'),
    ("GET", "CodeSystem/$lookup", "code=a&system=http://hl7.org/fhir/administrative-gender&property=x", {}, b""),
    ("GET", "CodeSystem/$subsumes", "codeA=a&codeB=b&system=urn:ietf:bcp:47", {}, b""),
    ("POST", "CodeSystem/$validate-code", "", JSON, b'{"resourceType":"CodeSystem","status":"draft","content":"x"}'),
    ("POST", "", "", JSON, json.dumps(transaction(entry("PUT", "Foo?identifier=a", patient()))).encode()),
    (
        "POST",
        "",
        "",
        JSON,
        json.dumps(
            transaction(entry("POST", "Observation", observation("x", subject={"reference": "Foo?a=b"})))
        ).encode(),
    ),
    (
        "POST",
        "",
        "",
        JSON,
        json.dumps(transaction(entry("GET", "?"), entry("DELETE", "/"), entry("PUT", "//", patient()))).encode(),
    ),
    ("POST", "", "", JSON, json.dumps(transaction(transaction(), type="batch")).encode()),
    (
        "POST",
        "",
        "",
        JSON,
        json.dumps(transaction(entry("POST", "/", transaction(type="batch")), type="batch")).encode(),
    ),
    ("POST", "", "", JSON, json.dumps(transaction(*[entry("GET", "Patient/p1")] * 5_001)).encode()),
    # bodies beyond bounds
    ("POST", "Observation", "", JSON, b" " * 16_000_001),
    ("POST", "Observation", "", JSON, b'{"a":' * 100_000),
    ("POST", "Observation", "", JSON, b"[" * 1_000_000),
]


@pytest.mark.parametrize(
    "asked", HARD, ids=lambda asked: f"{asked[0]} {asked[1][:30]} {asked[2][:20]} {asked[4][:40]!r}"[:90]
)
def test_hard_requests(served: Served, token: str, asked: tuple[str, str, str, dict[str, str], bytes]) -> None:
    """What has once been, or could be, more than some part of the server can take"""
    method, path, query, headers, body = asked
    status, answered, content = _send(served, token, method, path, query, headers, body)
    assert 200 <= status < 300 or 400 <= status < 500, (status, content)
    assert "X-Injected" not in answered
    assert all(value.isascii() for value in answered.values())
    if status >= 400:
        assert _is_outcome(answered.get("Content-Type", ""), content), (status, answered, content)


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer \xff"}, {"Authorization": "Bearer " + "x" * 100_000}]
)
def test_strangers_are_refused_whatever_they_send(served: Served, headers: dict[str, str]) -> None:
    """RFC 6750 s. 3: 401, and the body is not even looked at"""
    status, answered, content = _send(served, None, "POST", "Patient", "%ff=%00", {**JSON, **headers}, b"[" * 1_000_000)
    assert status == 401
    assert _is_outcome(answered["Content-Type"], content)


@pytest.mark.parametrize("path", ["/nothing", "/fhirx", "/health", "/health/live/x", "/%00", "/fhir%00/Patient"])
@pytest.mark.parametrize("method", ["GET", "POST", "TRACE"])
def test_outside_of_the_api(served: Served, method: str, path: str) -> None:
    """There is nothing there, and it is said as everything is."""
    answer = served.app.test_client().open(path, method=method)
    assert answer.status_code in (404, 405)
    assert _is_outcome(answer.headers["Content-Type"], answer.data)
