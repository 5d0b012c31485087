"""A search that is not understood is a 400 that says what was received and what would do; never a 200 without it.

R4: search.html#errors, search.html#escaping
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.build import observation
from tests.calls import Caller

FORM = "application/x-www-form-urlencoded"
PREFIXES = "eq, ne, gt, lt, ge, le, sa, eb, ap"
#: (what is asked, the words that the diagnostics hold)
REFUSED: list[tuple[str, list[str]]] = [
    # parameters
    ("Observation?colour=red", ["`colour`", "Observation", "known:", "code", "_lastUpdated", "_has", "_sort"]),
    ("Observation?cod=a", ["`cod`", "did you mean `code`?"]),
    ("Observation?Code=a", ["did you mean `code`?"]),
    ("Patient?birthDate=2024", ["did you mean `birthdate`?"]),
    ("Patient?_lastupdated=2024", ["did you mean `_lastUpdated`?"]),
    ("Patient?_Sort=family", ["did you mean `_sort`?"]),
    ("Patient?_profil=a", ["did you mean `_profile`?"]),
    ("Patient?subject=a", ["`subject`", "Patient", "known:"]),
    ("Patient?=a", ["``"]),
    ("Patient?family", ["`family` has no value"]),
    ("Patient?family=", ["`family` has no value"]),
    ("Patient?_filter=name zz a", ["`zz`", "eq"]),
    ("Patient?_filter=famly eq a", ["did you mean `family`?"]),
    ("Patient?_filter=name", ["`_filter`"]),
    ("Patient?_text=a", ["`_text`"]),
    ("Patient?_content=a", ["`_content`"]),
    ("Patient?_query=a", ["`_query`"]),
    ("Patient?_type=Observation", ["`_type`"]),
    # modifiers
    ("Observation?code:exact=a", ["token", ":exact", ":text", ":below"]),
    ("Patient?identifier:exact=a", ["token", ":exact", ":of-type"]),
    ("Observation?code:of-type=a|b|c", ["token", ":of-type", ":in"]),
    ("Patient?active:of-type=a|b|c", ["token", ":of-type"]),
    ("Observation?code:txt=a", ["did you mean `:text`?"]),
    ("Patient?family:text=a", ["string", ":contains", ":exact"]),
    ("Patient?family:contain=a", ["did you mean `:contains`?"]),
    ("Patient?family:below=a", ["string", ":below"]),
    ("Observation?date:exact=2024", ["date", ":missing"]),
    ("Observation?subject:Practitioner=a", ["reference", ":Practitioner", ":Patient"]),
    ("Observation?subject:patient=a", ["did you mean `:Patient`?"]),
    ("Observation?subject:Patient=Patient/a", ["id alone"]),
    ("Observation?value-quantity:exact=5", ["quantity", ":exact"]),
    ("ValueSet?url:contains=a", ["uri", ":above", ":below"]),
    ("Location?near:exact=1|2", ["special", ":exact"]),
    ("Observation?code-value-quantity:not=a$5", ["composite", ":not"]),
    ("Observation?code:missing=yes", ["true or false"]),
    ("Observation?code:missing=", ["no value"]),
    ("Observation?code-value-quantity:missing=true", [":missing"]),
    ("Patient?_id:missing=true", [":missing"]),
    ("Patient?_id:exact=a", ["`_id`"]),
    # values
    ("Observation?date=xx2024", [PREFIXES]),
    ("Observation?date=soon", ["YYYY"]),
    ("Observation?date=ge", ["`date=ge`", "YYYY"]),
    ("Observation?date=2024-13", ["2024-13"]),
    ("Observation?date=2024-02-30", ["2024-02-30"]),
    ("Observation?date=2024-1-1", ["2024-1-1"]),
    ("Observation?date=2024-01-01T25:00:00Z", ["2024-01-01T25:00:00Z"]),
    ("Observation?date=2024-01-01T10:00:00%2B15:00", ["time zone"]),
    ("Observation?date=01/02/2024", ["01/02/2024"]),
    ("Observation?date=2024,", ["date"]),
    ("Observation?_lastUpdated=yesterday", ["YYYY"]),
    ("Observation?value-quantity=a", ["number", PREFIXES]),
    ("Observation?value-quantity=xx5", [PREFIXES]),
    ("Observation?value-quantity=5|mg", ["number|system|code"]),
    ("Observation?value-quantity=5|http://unitsofmeasure.org|", ["number|system|code"]),
    ("Observation?value-quantity=|http://unitsofmeasure.org|mg", ["number"]),
    ("Observation?value-quantity=5|a|b|c", ["number|system|code"]),
    ("Observation?value-quantity=1e99999999", ["number"]),
    ("Observation?value-quantity=NaN", ["number"]),
    ("Observation?value-quantity=Infinity", ["number"]),
    ("Observation?value-quantity=5_0", ["number"]),
    ("Observation?value-quantity=٥", ["number"]),
    ("Location?near=1", ["latitude|longitude|distance|unit"]),
    ("Location?near=a|b", ["numbers"]),
    ("Location?near=91|0", ["point of the earth"]),
    ("Location?near=0|181", ["point of the earth"]),
    ("Location?near=0|0|-1|km", ["distance"]),
    ("Location?near=0|0|nan|km", ["distance"]),
    ("Location?near=0|0|1|furlong", ["km"]),
    ("Location?near=0|0|1|km|x", ["latitude|longitude|distance|unit"]),
    ("Observation?code=a|b|c", ["system|code"]),
    ("Observation?code=|", ["system|code"]),
    ("Observation?code=a,,b", ["empty"]),
    ("Observation?identifier:of-type=a|b", ["system|code|value"]),
    ("Observation?identifier:of-type=a||b", ["system|code|value"]),
    ("Observation?subject=a/b/c", ["Type/id"]),
    ("Observation?subject=Medication/1", ["refers to", "Patient"]),
    ("Observation?patient=Device/1", ["refers to Patient"]),
    ("Patient?family=%20", ["empty"]),
    (f"Patient?family={'x' * 1000}", ["999"]),
    (f"Patient?family:contains={'x' * 201}", ["200"]),
    (f"ValueSet?url:below={'x' * 1001}", ["1000"]),
    (f"ValueSet?url:above={'x' * 1001}", ["1000"]),
    ("Observation?code-value-quantity=a", ["2 values", "`$`"]),
    ("Observation?code-value-quantity=a$5$6", ["2 values"]),
    ("Observation?code-value-quantity=a$b", ["number"]),
    (f"Observation?code={','.join(['a'] * 501)}", ["501", "500"]),
    # across resources
    ("Observation?code.text=a", ["`code`", "token", "only a reference can be followed"]),
    ("Observation?subject.colour=red", ["`subject`", "colour", "cannot be searched by"]),
    ("Observation?subject:Patient.colour=red", ["`colour`", "Patient", "known:"]),
    ("Observation?subject:Patient.famly=a", ["did you mean `family`?"]),
    ("Observation?subject:Medication.code=a", ["refers to", "Patient", "`Medication`"]),
    ("Encounter?account.identifier=a", ["`account`", "kept here"]),
    ("Organization?endpoint:Endpoint.name=a", ["`endpoint`", "kept here"]),
    ("Observation?colour.code=a", ["`colour", "known:"]),
    ("Observation?subject.=a", ["``"]),
    ("Observation?subject:Patient.birthdate=soon", ["YYYY"]),
    (f"Observation?{'has-member.' * 9}code=a", ["8"]),
    ("Patient?_has=a", ["_has:[type]:[reference parameter]:[parameter]"]),
    ("Patient?_has:Observation=a", ["_has:[type]:[reference parameter]:[parameter]"]),
    ("Patient?_has:Observation:patient=a", ["_has:[type]:[reference parameter]:[parameter]"]),
    ("Patient?_has:Observation::code=a", ["_has:[type]:[reference parameter]:[parameter]"]),
    ("Patient?_has:Observatoin:patient:code=a", ["did you mean `Observation`?"]),
    ("Patient?_has:Observation:code:code=a", ["does not refer to Patient"]),
    ("Patient?_has:Observation:encounter:code=a", ["does not refer to Patient"]),
    ("Patient?_has:Observation:colour:code=a", ["known:"]),
    ("Patient?_has:Observation:patient:cod=a", ["did you mean `code`?"]),
    ("Patient?_has:Observation:patient:date=soon", ["YYYY"]),
    ("Observation?_list:not=a", ["`_list`"]),
    ("Observation?_list=$current-allergies", ["List"]),
    # the answer
    ("Patient?_sort=colour", ["Patient", "`colour`", "birthdate"]),
    ("Patient?_sort=birthDate", ["did you mean `birthdate`?"]),
    ("Patient?_sort=--birthdate", ["`-birthdate`"]),
    ("Patient?_sort=birthdate,", ["``"]),
    ("Patient?_sort=", ["``"]),
    ("Patient?_sort:desc=birthdate", ["`_sort:desc`"]),
    ("Patient?_sort=family&_sort=given", ["`_sort`", "twice"]),
    ("Patient?_sort=family,given,name,gender,birthdate,active", ["6", "5"]),
    ("Observation?_sort=code-value-quantity", ["code-value-quantity"]),
    ("Location?_sort=near", ["near"]),
    ("Patient?_count=-1", ["`_count=-1`", "from 0"]),
    ("Patient?_count=all", ["`_count=all`"]),
    ("Patient?_count=1.5", ["`_count=1.5`"]),
    ("Patient?_count=1&_count=2", ["`_count`", "2 times"]),
    ("Patient?_maxresults=0", ["`_maxresults=0`"]),
    ("Patient?_maxresults=few", ["`_maxresults=few`"]),
    ("Patient?_total=exact", ["none, estimate, accurate"]),
    ("Patient?_summary=yes", ["true, text, data, count, false"]),
    ("Patient?_elements=", ["`_elements`"]),
    ("Patient?_contained=maybe", ["false, true, both"]),
    ("Patient?_containedType=none", ["container, contained"]),
    ("Observation?_contained=true&subject.name=a", ["chain"]),
    ("Observation?_include=subject", ["`subject` is not a type"]),
    ("Observation?_include=Observation", ["[type]:[parameter]:[target]"]),
    ("Observation?_include=Observation:code", ["`code`", "subject"]),
    ("Observation?_include=Observation:subjct", ["did you mean `subject`?"]),
    ("Observation?_include=Obsevation:subject", ["did you mean `Observation`?"]),
    ("Observation?_include=Observation:subject:Medication", ["refers to"]),
    ("Observation?_include=Observation:subject:Foo", ["`Foo`"]),
    ("Observation?_include=Patient:organization", ["_include:iterate"]),
    ("Observation?_include:all=Observation:subject", [":iterate"]),
    ("Patient?_revinclude=Observation:encounter", ["does not refer to Patient"]),
    ("Practitioner?_revinclude=Observation:performer:Patient", ["does not refer to Practitioner"]),
    ("Patient?_revinclude=Foo:subject", ["`Foo`"]),
    ("Observation?" + "&".join(["_include=Observation:subject"] * 21), ["20"]),
    ("Patient?_cursor=x", ["_cursor"]),
    ("?_type=Foo", ["`Foo`", "known:"]),
    ("?_type=Pateint", ["did you mean `Patient`?"]),
    ("?_type=", ["``"]),
    ("?code=a", ["`code`"]),
    ("?_type=Observation,Patient&code=a", ["`code`", "Patient"]),
    ("?_type=Observation,Patient&_sort=_id", ["`_id`"]),
    ("?_type=Observation,Patient&_contained=true", ["one type"]),
    ("Patient/a/Observation?colour=red", ["`colour`"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "said"), REFUSED)
def test_what_is_not_understood_is_refused_and_what_would_do_is_said(
    operator: Caller, path: str, said: list[str]
) -> None:
    """R4 search.html#errors, search.html#modifiers: 400 with an OperationOutcome, by GET and by POST"""
    answers = [operator("GET", path)]
    where, _, query = path.partition("?")
    if "_cursor" not in query:
        form = query.encode()
        answers.append(operator("POST", f"{where}/_search" if where else "_search", form, Content_Type=FORM))
    for answer in answers:
        assert answer.status_code == 400, answer.text
        assert answer.json["resourceType"] == "OperationOutcome"
        [issue] = answer.json["issue"]
        assert issue["severity"] == "error"
        for words in said:
            assert words in issue["diagnostics"], issue["diagnostics"]


@pytest.mark.parametrize(
    "query",
    [
        "value-quantity=5,4",
        "code=a\\,b",
        "code=a\\|b",
        "code=a\\$b",
        "code=a\\\\",
        "code-value-string=a\\$b$c",
        "value-string=a\\,b",
        "code=%20",
        "date=ge2024-01-01T10:00",
        "value-quantity=1e2||mg",
        "subject=http://elsewhere.example/fhir/Patient/1",
        "_sort=-code,date",
        "_include:recurse=Observation:has-member",
        "subject:Patient.general-practitioner:Practitioner.name=a",
        "_has:Observation:has-member:_has:Observation:has-member:code=a",
    ],
)
def test_what_is_written_as_the_page_says_is_understood(operator: Caller, query: str) -> None:
    """R4 search.html#escaping, search.html#combining, search.html#chaining"""
    assert operator("GET", f"Observation?{query}").status_code == 200


def test_a_misspelt_criterion_changes_nothing(operator: Caller) -> None:
    """R4 http.html#cond-update, #3.1.0.7.1: criteria are read strictly, whatever is preferred"""
    reference = operator.create(observation())
    before: Any = operator.get(reference)
    for headers in ({}, {"Prefer": "handling=lenient"}):
        for method, body in (("PUT", observation()), ("PATCH", []), ("DELETE", None)):
            answer = operator(method, "Observation?colour=red&status=final", body, **headers)
            assert answer.status_code in (400, 415)
        assert operator("POST", "Observation", observation(), If_None_Exist="colour=red", **headers).status_code == 400
    assert operator.get(reference) == before
