"""The terminologies that come with the project: written from their tables, good R4, and whole where they say so.

R4: codesystem.html, valueset.html; the value sets of the French guides (PDSm, Mesures de santé, FR Core)
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.config import carried
from fhir_server.fhir.outcome import NotFound, TooCostly
from fhir_server.fhir.terminology import membership, relations, value_sets
from fhir_server.fhir.terminology.carried import Carried, carried_terminologies
from fhir_server.fhir.terminology.membership import Coded
from fhir_server.fhir.terminology.systems import system, value_set
from fhir_server.validation import structure

HOME = carried("terminologies")
NOS = "https://mos.esante.gouv.fr/NOS"
HERE = carried_terminologies()
RESOURCES = {f"{each['resourceType']}/{each['id']}": each for each in HERE.resources()}
BINDINGS = json.loads((carried("profiles") / "r4" / "bindings.json").read_text(encoding="utf-8"))


def members(url: str) -> frozenset[tuple[str, str]]:
    """Who is in a value set."""
    return HERE.members(url)


def test_the_files_are_those_that_the_tables_write() -> None:
    """terminologies/README.md: `python terminologies/write.py`"""
    written: dict[str, str] = runpy.run_path(str(HOME / "write.py"))["outputs"]()

    there = {str(path.relative_to(HOME)): path.read_text(encoding="utf-8") for path in HOME.glob("*s/*.json")}
    assert there | {"SOURCES.md": (HOME / "SOURCES.md").read_text(encoding="utf-8")} == written


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_each_is_good_r4(resource: Any) -> None:
    """R4 codesystem.html, valueset.html"""
    assert structure.faults(dict(resource)) == []


def test_urls_and_ids_are_given_once() -> None:
    """R4 resource.html#canonical"""
    resources = list(HERE.resources())
    files = list((HOME / "code-systems").glob("*.json")) + list((HOME / "value-sets").glob("*.json"))

    assert len({each["url"] for each in resources}) == len(RESOURCES) == len(files)


@pytest.mark.parametrize("url", [each["url"] for each in RESOURCES.values() if each["resourceType"] == "ValueSet"])
def test_every_value_set_can_be_expanded_and_every_member_has_a_name(url: str) -> None:
    """R4 valueset-operation-expand.html: no code without a system that is known here, and none without a name"""
    found = list(value_sets.read(value_set(HERE, url), HERE).members())

    assert found
    assert [member.key for member in found if not member.concept.display] == []
    assert [member.key for member in found if HERE.code_system(member.system) is None] == []


@pytest.mark.parametrize("url", BINDINGS["codes"])
def test_every_required_binding_of_r4_can_be_expanded(url: str) -> None:
    """R4 terminologies.html#required: the codes are those of profiles/r4/bindings.json"""
    listed = {(of, code) for of, codes in BINDINGS["codes"][url].items() for code in codes}

    assert members(url) == listed
    for of, code in listed:
        concept = system(HERE, of).concept(code)
        assert concept and concept.display, (of, code)


def test_value_sets_that_have_no_list_are_judged_by_form() -> None:
    """R4 terminologies.html: languages, media types and currencies are grammars"""
    for url, good, bad in (
        ("http://hl7.org/fhir/ValueSet/all-languages", "fr-CA", "français"),
        ("http://hl7.org/fhir/ValueSet/mimetypes", "application/pdf", "pdf"),
        ("http://hl7.org/fhir/ValueSet/currencies", "EUR", "euro"),
    ):
        definition = value_sets.read(value_set(HERE, url), HERE)
        assert membership.in_value_set(definition, Coded(good), infer=True).result
        assert not membership.in_value_set(definition, Coded(bad), infer=True).result
        assert HERE.enumerated(url) is None
        with pytest.raises(TooCostly):
            members(url)


def test_what_urls_of_others_stand_for() -> None:
    """R4 snomedct.html#implicit, loinc.html#implicit"""
    assert ("http://loinc.org", "29463-7") in members("http://loinc.org/vs")
    assert ("http://snomed.info/sct", "397430003") in members("http://snomed.info/sct?fhir_vs")
    assert members("http://snomed.info/sct?fhir_vs=isa/397430003") == {("http://snomed.info/sct", "397430003")}
    for unknown in ("http://snomed.info/sct?fhir_vs=refset/1", "http://loinc.org/vs/LL1", "http://a.example"):
        with pytest.raises(NotFound):
            value_set(HERE, unknown)


def test_who_is_in_for_a_binding() -> None:
    """R4 terminologies.html#strength: the codes of a required binding, or that they are not known"""
    gender = HERE.enumerated("https://hl7.fr/ig/fhir/core/ValueSet/fr-core-vs-patient-gender-INS")

    assert gender == {("http://hl7.org/fhir/administrative-gender", code) for code in ("male", "female", "unknown")}
    assert HERE.enumerated("http://none.example") is None


def test_a_system_has_one_version() -> None:
    """R4 references.html#canonical: `url|version`"""
    own = "https://fhir-server.example/CodeSystem/lifestyle"

    assert HERE.code_system(own, "1.0.0") is not None
    assert HERE.code_system(own, "9") is None
    assert HERE.value_set("https://fhir-server.example/ValueSet/lifestyle", "9") is None


def test_members_of_the_documents() -> None:
    """PDSm 3.1.1: JDV_J02, J04, J06, J07, J08"""

    def of(name: str) -> set[str]:
        return {code for _, code in members(f"{NOS}/{name}/FHIR/{name.replace('_', '-')}")}

    assert of("JDV_J06-XdsClassCode-CISIS") >= {"10", "11", "31", "42", "43", "44", "45", "52", "60", "90", "95"}
    assert len(of("JDV_J07-XdsTypeCode-CISIS")) == 113
    assert {"SA01", "SA69", "EXP_PATIENT", "SNR"} <= of("JDV_J02-XdsHealthcareFacilityTypeCode-CISIS")
    assert len(of("JDV_J04-XdsPracticeSettingCode-CISIS")) == 12
    visibility = {"MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"}
    assert of("JDV_J08-XdsConfidentialityCode-CISIS") == visibility | {"N", "R", "V"}


def test_members_of_the_measures() -> None:
    """Mesures de santé 3.1: JDV_J145 to J164"""
    emdn, snomed = "https://smt.esante.gouv.fr/terminologie-emdn", "http://snomed.info/sct"

    def of(name: str) -> frozenset[tuple[str, str]]:
        return members(f"{NOS}/{name}/FHIR/{name.replace('_', '-')}")

    assert of("JDV_J145-MethodBodyWeight-ENS") == {(emdn, "V030210")}
    assert of("JDV_J149-BodySiteBP-ENS") == {(snomed, "8205005"), (snomed, "53120007")}
    assert {code for _, code in of("JDV_J157-MomentGlucose-ENS")} == {
        "53049-3",
        "88365-2",
        "16915-1",
        "LA11865-5",
        "LA46-8",
        "MED-1278",
    }
    assert {code for _, code in of("JDV_J164-GlucoseNumberOfDays-ENS")} == {
        "GEN-275",
        "GEN-276",
        "GEN-277",
        "GEN-278",
        "GEN-092.08.05",
    }


def test_a_vaccine_says_what_it_is_against() -> None:
    """ATC J07; vaccination-disease: each disease of a vaccine has a name"""
    atc, diseases = system(HERE, "http://www.whocc.no/atc"), "https://fhir-server.example/ValueSet/vaccination-disease"
    hexavalent = atc.concept("J07CA09")

    assert hexavalent is not None
    against = {each.text for each in hexavalent.properties if each.code == "protects-from"}
    assert len(against) == 6
    every = {
        each.text
        for _, code in members("https://fhir-server.example/ValueSet/vaccine")
        for each in (atc.concept(code) or hexavalent).properties
        if each.code == "protects-from"
    }
    assert every <= {code for _, code in members(diseases)}
    assert relations.subsumes(atc, "J07B", "J07BD52") == "subsumes"


def test_relations_and_allergies_have_their_hierarchy() -> None:
    """HL7 v3 RoleCode and ActCode: a code may have two parents"""
    roles, acts = (f"http://terminology.hl7.org/CodeSystem/v3-{name}" for name in ("RoleCode", "ActCode"))

    assert relations.ancestors(HERE, roles, "GRMTH") >= {"GRPRN", "EXT", "FAMMEMB"}
    assert {"ALG", "DINT", "OINT"} <= relations.ancestors(HERE, acts, "DALG")
    assert relations.descendants(HERE, acts, "ALG") == {"ALG", "DALG", "EALG", "FALG"}


def test_french_and_english_names() -> None:
    """Displays are French; English where it is known"""
    weight = system(HERE, "http://loinc.org").concept("29463-7")

    assert weight is not None
    assert (weight.display, weight.named("en", "fr")) == ("Poids", "Body weight")


def test_every_code_of_the_seed_record_is_known() -> None:
    """seed_data/: no Coding or Quantity of the demonstration record has a code that nothing explains"""

    def walk(value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            if isinstance(value.get("system"), str) and isinstance(value.get("code"), str):
                yield value["system"], value["code"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    bundles = [json.loads(path.read_bytes()) for path in (carried("seed_data") / "bundles").glob("*.json")]
    used = {key for bundle in bundles for key in walk(bundle)}
    assert len(used) > 300
    assert {(of, code) for of, code in used if not ((found := HERE.code_system(of)) and found.concept(code))} == set()


def test_what_is_kept_is_small() -> None:
    """Worker memory is bounded: the files are read once, and are a few megabytes"""
    size = sum(path.stat().st_size for path in Path(HOME).rglob("*.json"))

    assert size < 3_000_000
    assert carried_terminologies() is HERE
    assert isinstance(HERE, Carried)
