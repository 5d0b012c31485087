"""The models are asked once for each shape; values are judged every time."""

import pytest

from fhir_server.fhir import json
from fhir_server.fhir.outcome import Issue, Unprocessable
from fhir_server.validation.shapes import OncePerShape, shape
from fhir_server.validation.structure import check


def test_the_shape_is_that_of_elements_not_of_values() -> None:
    """A list says what it holds, not how often."""
    one = json.parse(b'{"resourceType":"Patient","name":[{"family":"a"},{"family":"b"}],"active":true}')
    two = json.parse(b'{"resourceType":"Patient","name":[{"family":"c"}],"active":false}')
    for other in (b'{"resourceType":"Patient","name":[{"given":["c"]}],"active":false}', b'{"resourceType":"Person"}'):
        assert shape(json.parse(other)) != shape(two)
    assert shape(one) == shape(two)
    assert shape({"resourceType": {"a": 1}}) != shape({"resourceType": {"b": 1}})


def test_a_known_shape_does_not_excuse_a_bad_value() -> None:
    """R4: datatypes.html#date"""
    check({"resourceType": "Patient", "birthDate": "2020-02-28"})
    check({"resourceType": "Patient", "birthDate": "2020-02-29"})
    with pytest.raises(Unprocessable, match="birthDate"):
        check({"resourceType": "Patient", "birthDate": "2021-02-29"})
    with pytest.raises(Unprocessable):
        check({"resourceType": "Patient", "gendre": "male"})


def test_a_judge_is_asked_once_for_each_good_shape() -> None:
    """A shape with a fault is judged again, so that each such resource is told of it"""
    asked = []

    def judge(resource: dict) -> list[Issue]:
        asked.append(resource)
        return [Issue("value", "no")] if "bad" in resource else []

    once = OncePerShape(judge)
    found = [once(resource) for resource in ({"a": 1}, {"a": 2}, {"bad": 1}, {"bad": 2}, {"a": "text"})]

    assert [len(issues) for issues in found] == [0, 0, 1, 1, 0]
    assert asked == [{"a": 1}, {"bad": 1}, {"bad": 2}, {"a": "text"}]
