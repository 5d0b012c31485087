"""Places of elements in a resource.  R4: fhirpatch.html, fhirpath.html"""

import pytest

from fhir_server.fhir.locate import locate
from fhir_server.fhir.outcome import BadRequest, Unprocessable

PATIENT = {
    "resourceType": "Patient",
    "contained": [{"resourceType": "Organization", "name": "x"}, {"no": "type"}],
    "name": [
        {"given": ["Ana", "Lea"], "_given": [None, {"extension": [{"url": "http://e", "valueCode": "a"}]}]},
        {"use": "official", "given": [None], "_given": [{"id": "z"}]},
    ],
    "birthDate": "2000",
    "_birthDate": {"extension": [{"url": "http://x/it's", "valueCode": "a"}]},
    "deceasedBoolean": False,
    "contact": [{"gender": "male", "name": {"text": "a"}}, {"gender": "female"}],
}


@pytest.mark.parametrize(
    "path, places",
    [
        ("Patient", ["Patient"]),
        ("Patient.active", []),
        ("Patient.where(birthDate = '2000').birthDate", ["Patient.birthDate"]),
        ("Patient.name", ["Patient.name[0]", "Patient.name[1]"]),
        ("name[0].given", ["Patient.name[0].given[0]", "Patient.name[0].given[1]"]),
        ("Resource.birthDate", ["Patient.birthDate"]),
        ("Patient.`name`[1]", ["Patient.name[1]"]),
        ("Patient.name.given[2]", ["Patient.name[1].given[0]"]),
        ("Patient.name[7]", []),
        ("Patient.name.where(use = 'official')", ["Patient.name[1]"]),
        ("Patient.name.where(use='official' and given.exists().not()).given", []),
        ("Patient.contact.where(gender = 'female' or name.text = ')')", ["Patient.contact[1]"]),
        ("Patient.contact.where(name.where(text = 'a').exists()).gender", ["Patient.contact[0].gender"]),
        ("Patient.name.given.where($this = 'Lea')", ["Patient.name[0].given[1]"]),
        ("Patient.name.given.extension", ["Patient.name[0].given[1].extension[0]"]),
        ("Patient.name.first().given.last()", ["Patient.name[0].given[1]"]),
        (r"Patient.birthDate.extension('http://x/it\'s').value", ["Patient.birthDate.extension[0].value"]),
        ("Patient.birthDate.extension('http://y')", []),
        ("Patient.deceased", ["Patient.deceased"]),
        ("Patient.deceasedBoolean", ["Patient.deceased"]),
        ("Patient.deceased.ofType(boolean)", ["Patient.deceased"]),
        ("Patient.deceased.as(FHIR.boolean)", ["Patient.deceased"]),
        ("Patient.deceased.ofType(dateTime)", []),
        ("Patient.contained[0].name", ["Patient.contained[0].name"]),
        ("Patient.contained.ofType(Organization)", ["Patient.contained[0]"]),
        ("Patient.contained[1].id", []),
        (" Patient . name [ 0 ] . given . first ( ) ", ["Patient.name[0].given[0]"]),
    ],
)
def test_places(path, places):
    assert [str(place) for place in locate(PATIENT, path)] == places


@pytest.mark.parametrize(
    "path",
    [
        "",
        "Patient.",
        ".name",
        "Patient..name",
        "Patient.name[x]",
        "Patient.name[-1]",
        "Patient.name[0",
        "Patient.name extra",
        "Patient.name | Patient.contact",
        "(Patient.name)",
        "$this",
        "%resource.name",
        "name.where(",
        "name.where('a)",
        "name.where()",
        "name.where(use = )",
        "name.where(text.matches('(a+)+'))",
        "name.first(1)",
        "name.extension(url)",
        "name.ofType()",
        "name.count()",
        "generalPractitioner.resolve().name",
        "name" + ".first()" * 1000,
    ],
)
def test_what_is_not_a_path_of_a_patch(path):
    """Nothing but what names a place; resolve() would cross into another resource, which R4 forbids."""
    with pytest.raises(BadRequest):
        locate(PATIENT, path)


@pytest.mark.parametrize(
    "path, why",
    [
        ("Patient.nmae", "`nmae` is not an element of Patient"),
        ("Patient.telecom.nmae", "`nmae` is not an element of ContactPoint"),
        ("Patient.telecom.extension('x').nmae", "`nmae` is not an element of Extension"),
        ("Patient.deceased.nmae", "`nmae` is not an element of Element"),
        ("Patient.deceased.ofType(Quantity).value", "`value` is not an element"),
        ("Patient.resourceType", "`resourceType` is not an element of Patient"),
        ("Observation.code", "starts at Observation"),
        ("Patient.name.where(use)", "true or false"),
    ],
)
def test_what_the_type_does_not_have_is_told_even_where_the_resource_is_empty(path, why):
    with pytest.raises(Unprocessable, match=why):
        locate({**PATIENT, "name": [{"use": "official"}]}, path)
