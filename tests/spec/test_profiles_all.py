"""Each profile accepts a resource built by hand from the rules of its guide.  R4: profiling.html"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.validation import structure
from fhir_server.validation.profiles import carried_profiles
from tests.french import EXAMPLES, PROFILES


@pytest.mark.parametrize(("profile", "resource"), EXAMPLES, ids=[url.rpartition("/")[2] for url, _ in EXAMPLES])
def test_a_good_resource_is_accepted_without_a_word(profile: str, resource: dict[str, Any]) -> None:
    """R4 itself finds no fault in it, nor does the guide"""
    assert structure.faults(resource) == []
    assert PROFILES.faults(resource, profile) == []


def test_every_profile_of_a_resource_has_such_an_example() -> None:
    """But for extensions and data types, which are checked where they stand"""
    of_resources = {url for url, one in carried_profiles().items() if one["kind"] == "resource"}

    assert of_resources == {url for url, _ in EXAMPLES}


@pytest.mark.parametrize("definition", carried_profiles().values(), ids=lambda one: one["id"])
def test_a_profile_is_itself_a_good_structure_definition(definition: dict[str, Any]) -> None:
    """R4: structuredefinition.html"""
    assert structure.faults(definition) == []


@pytest.mark.parametrize("definition", carried_profiles().values(), ids=lambda one: one["id"])
def test_a_profile_says_what_it_is_in_french_and_in_english(definition: dict[str, Any]) -> None:
    """R4: structuredefinition.html: title, description, publisher, version"""
    french, english = definition["description"].split("\n\n")

    assert french != english
    assert all(definition[name] for name in ("title", "publisher", "version", "name", "date"))
    assert definition["fhirVersion"] == "4.0.1"
    assert definition["url"].rpartition("/")[2] == definition["id"]


@pytest.mark.parametrize("url", carried_profiles(), ids=lambda url: url.rpartition("/")[2])
def test_a_profile_can_be_compiled(url: str) -> None:
    """R4: profiling.html: its elements exist, its slices can be told, its expressions are FHIRPath"""
    assert PROFILES.compiled(url).url == url


def test_must_support_is_said_of_what_the_guides_want_handled() -> None:
    """R4: conformance-rules.html#mustSupport"""
    silent = [
        one["id"]
        for one in carried_profiles().values()
        if one["kind"] == "resource" and not any(row.get("mustSupport") for row in one["differential"]["element"])
    ]

    assert silent == []
