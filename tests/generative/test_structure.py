"""Whatever is sent, the structure check answers with issues; and it finds any one fault put into a good resource."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.config import carried
from fhir_server.fhir import definitions
from fhir_server.fhir.json import FhirDecimal, parse
from fhir_server.fhir.outcome import Issue, operation_outcome
from fhir_server.fhir.types import TYPES
from fhir_server.validation.bindings import Binding, binding
from fhir_server.validation.elements import step
from fhir_server.validation.structure import faults
from tests.build import least

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9).map(
        lambda number: FhirDecimal(str(number))
    )
    | st.text()
    | st.sampled_from(["2020-02-30", "Patient/1", "Patient", "a b", "<div/>", "", " ", "AAEC"])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
NAMES = sorted(
    {
        key
        for type_ in (*TYPES, "Quantity", "HumanName", "Extension", "Narrative")
        for key in definitions.structure(type_)
    }
)
KEYS = st.sampled_from(["resourceType", *NAMES, *(f"_{name}" for name in NAMES)]) | st.text()
RESOURCE_LIKE = st.recursive(
    SCALARS | st.sampled_from(list(TYPES)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


def is_answer(issues: list[Issue]) -> bool:
    json.dumps(operation_outcome(issues), ensure_ascii=False).encode()
    return all(isinstance(issue, Issue) and issue.diagnostics and issue.expression for issue in issues)


@settings(deadline=None)  # the models load when first used
@given(JSON)
def test_any_json_gives_issues_and_no_exception(value):
    assert faults(value)
    assert is_answer(faults(value))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(TYPES)), st.dictionaries(KEYS, RESOURCE_LIKE, max_size=8))
def test_anything_that_claims_a_type_gives_issues_and_no_exception(type_, members):
    resource = {**members, "resourceType": type_}
    before = copy.deepcopy(resource)
    assert is_answer(faults(resource))
    assert resource == before


GOOD: list[dict[str, Any]] = [
    {
        "resourceType": "Patient",
        "id": "p",
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Zoé</div>'},
        "contained": [
            {
                "resourceType": "Organization",
                "id": "o",
                "name": "Cabinet",
                "telecom": [{"system": "phone", "value": "01"}],
            }
        ],
        "managingOrganization": {"reference": "#o"},
        "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.8", "value": "2", "period": {"start": "2020"}}],
        "active": True,
        "gender": "female",
        "name": [{"use": "official", "family": "Durand", "given": ["Zoé", "Anne"]}],
        "birthDate": "1975-08-30",
        "multipleBirthInteger": 2,
        "communication": [{"language": {"text": "fr"}, "preferred": True}],
    },
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": "2024-01-01T00:00:00Z",
        "entry": [
            {
                "fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
                "request": {"method": "POST", "url": "Observation"},
                "resource": {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
                    "effectivePeriod": {"start": "2024-01-01", "end": "2024-01-02T10:00:00+01:00"},
                    "valueQuantity": {"value": FhirDecimal("120.50"), "unit": "mm[Hg]"},
                    "component": [
                        {
                            "code": {"text": "x"},
                            "valueSampledData": {"origin": {"value": 1}, "period": 10, "dimensions": 1, "data": "1 2"},
                        }
                    ],
                },
            }
        ],
    },
]


def of_the_seed_record() -> Iterator[dict[str, Any]]:
    """The first two of each type in the seed record."""
    seen: Counter[str] = Counter()
    for file in sorted((carried("seed_data") / "bundles").glob("*.json")):
        for entry in parse(file.read_bytes())["entry"]:
            seen[entry["resource"]["resourceType"]] += 1
            if seen[entry["resource"]["resourceType"]] <= 2:
                yield entry["resource"]


GOOD += [least(type_) for type_ in TYPES if len(least(type_)) > 1]
GOOD += of_the_seed_record()


def sites(value: dict[str, Any], structure: str, path: str) -> list[tuple[dict[str, Any], str, str]]:
    """Each object of a resource, with its R4 structure and its path."""
    found = [(value, structure, path)]
    for key, content in value.items():
        element = definitions.structure(structure).get(key)
        if not element or element.primitive:
            continue
        for index, item in enumerate(content if element.many else [content]):
            place = path + step(element) + (f"[{index}]" if element.many else "")
            inner = item["resourceType"] if element.structure == "Resource" else str(element.structure)
            found += sites(item, inner, place)
    return found


def broken(draw: st.DrawFn, holder: dict[str, Any], structure: str, path: str) -> str:
    """Puts one fault into `holder`; its path."""
    known = definitions.structure(structure)
    keys = [key for key in holder if key in known]
    key = draw(st.sampled_from(sorted(keys)))
    element = known[key]
    here = path + step(element)
    kind = draw(st.sampled_from(["unknown", "null", "empty", "kind", "many", "choice", "missing", "code", "target"]))
    if kind == "code" and isinstance(bound := binding(element.binding), Binding):
        holder[key] = draw(st.text().filter(lambda code: code not in bound.codes))
        return here
    if kind == "target" and element.type == "Reference" and element.targets:
        elsewhere = draw(st.sampled_from([type_ for type_ in TYPES if type_ not in element.targets]))
        reference = {"reference": f"{elsewhere}/1"}
        holder[key] = [reference] if element.many else reference
        return here + "[0]" * element.many
    if kind == "choice" and element.choice:
        holder[
            draw(st.sampled_from([e.name for e in known.values() if e.choice == element.choice and e.name != key]))
        ] = 1
        return f"{path}.{element.choice.removesuffix('[x]')}"
    if kind == "missing" and element.min and len(holder) > 2:
        del holder[key]
        return f"{path}.{element.choice.removesuffix('[x]')}" if element.choice else here
    if kind == "null":
        holder[key] = None
    elif kind == "empty":
        holder[key] = [] if element.many else "" if element.primitive else {}
    elif kind == "kind" and not element.many:
        holder[key] = {"a": 1} if element.primitive else draw(st.sampled_from(["x", 1, True]))
    elif kind == "many":
        holder[key] = holder[key][0] if element.many else [holder[key]]
    else:
        holder["inconnu"] = draw(SCALARS)
        return f"{path}.inconnu"
    return here


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_fault_in_a_good_resource_is_found_where_it_is(data):
    resource = copy.deepcopy(data.draw(st.sampled_from(GOOD)))
    assert faults(resource) == []
    places = sites(resource, resource["resourceType"], resource["resourceType"])
    expected = data.draw(st.composite(broken)(*data.draw(st.sampled_from(places))))
    assert expected in [expression for issue in faults(resource) for expression in issue.expression]
