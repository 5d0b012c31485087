"""The scopes that a client may ask for.  SMART 2.2: scopes-and-launch-context.html"""

import doctest
from importlib import import_module

import pytest
from authlib.oauth2.rfc6749.errors import InvalidScopeError

from fhir_server.smart.asked import LONGEST, allowed, mode_of, needs_patient


def test_the_examples_hold() -> None:
    tried = doctest.testmod(import_module("fhir_server.smart.asked"))
    assert tried.attempted > 0
    assert tried.failed == 0


def test_the_words_of_other_servers_are_left_out() -> None:
    """RFC 6749 s. 3.3: unknown words are ignored"""
    assert allowed("openid email profile phone patient/Patient.rs", "patient/*.rs") == "openid patient/Patient.rs"


@pytest.mark.parametrize("scope", ["", " ", "email", "offline_access", "patient/Observation.rs"])
def test_nothing_left_is_an_error(scope: str) -> None:
    """RFC 6749 s. 3.3"""
    with pytest.raises(InvalidScopeError):
        allowed(scope, "patient/Patient.rs")


def test_a_scope_has_a_length() -> None:
    """SMART 2.2: scopes-and-launch-context.html"""
    with pytest.raises(InvalidScopeError):
        allowed("openid " * LONGEST, "openid")


@pytest.mark.parametrize("word", ["offline_access", "__bris_de_glace", "__centre_15"])
def test_some_words_are_for_clients_that_are_registered_with_them(word: str) -> None:
    """docs/access.md; SMART 2.2: offline_access"""
    assert allowed(f"openid {word}", "patient/*.rs") == "openid"
    assert allowed(f"openid {word}", f"patient/*.rs {word}") == f"openid {word}"


def test_what_needs_a_patient_and_a_mode() -> None:
    """SMART 2.2: a patient/ scope is of the patient in context"""
    assert needs_patient("patient/Observation.rs") and needs_patient("openid launch/patient user/*.rs")
    assert not needs_patient("openid user/*.rs launch/encounter")
    assert mode_of("user/*.rs __centre_15") == "centre_15"
    assert mode_of("user/*.rs") == "normal"
