"""The demonstration record keeps its promises: valid R4, whole, real documents, and written by its script."""

import base64
import functools
import hashlib
import json
import re
import struct
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from lxml import etree

SEED = Path(__file__).parents[2] / "seed_data"
INS = "urn:oid:1.2.250.1.213.1.4.10"
OWN = "https://fhir-server.example"
V3 = {"hl7": "urn:hl7-org:v3"}
ANCHOR = "2026-11-22"


@functools.cache
def bundles():
    """Every Bundle of the seed by the name of its file, in the order a loader takes them."""
    return {path.stem: json.loads(path.read_bytes()) for path in sorted((SEED / "bundles").glob("*.json"))}


@functools.cache
def resources():
    """Every resource of the seed by `Type/id`."""
    entries = [entry for bundle in bundles().values() for entry in bundle["entry"]]
    return {entry["request"]["url"]: entry["resource"] for entry in entries}


def of(resource_type):
    """The resources of a type."""
    return [resource for resource in resources().values() if resource["resourceType"] == resource_type]


def people():
    """The lines of `people.json`."""
    return json.loads((SEED / "people.json").read_bytes())


def codes(value):
    """Every (system, code) under a value."""
    if isinstance(value, dict):
        if "system" in value and "code" in value:
            yield value["system"], value["code"]
        for item in value.values():
            yield from codes(item)
    if isinstance(value, list):
        for item in value:
            yield from codes(item)


def references(value):
    """Every literal reference under a value, and what follows the same rule: the url of an attachment."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        if "contentType" in value and "url" in value:
            yield value["url"]
        for item in value.values():
            yield from references(item)
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def content(document):
    """The bytes of the Binary a DocumentReference points at."""
    return base64.b64decode(resources()[document["content"][0]["attachment"]["url"]]["data"], validate=True)


def documents(content_type):
    """The DocumentReferences of a media type."""
    return [d for d in of("DocumentReference") if d["content"][0]["attachment"]["contentType"] == content_type]


def ins(patient):
    """The test INS of a Patient."""
    return next(i["value"] for i in patient["identifier"] if i["system"] == INS)


# --- written by the script


def test_the_script_gives_the_committed_bytes(tmp_path):
    """README: the same tables give the same bytes; a change made by hand in `bundles/` is found here."""
    script = [sys.executable, str(SEED / "write.py"), str(tmp_path)]
    subprocess.run(script, check=True, capture_output=True, env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    committed = [*(SEED / "bundles").glob("*.json"), SEED / "people.json"]
    assert written == {path.relative_to(SEED): path.read_bytes() for path in committed}


def test_one_resource_a_line():
    """README: a change of the tables reads as a change of lines."""
    for path in (SEED / "bundles").glob("*.json"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) == len(json.loads(path.read_bytes())["entry"]) + 2


def test_the_whole_stays_small():
    """README: under 4 MB, tables and pictures included."""
    files = (path for path in SEED.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert sum(path.stat().st_size for path in files) < 4_000_000


# --- FHIR


@pytest.mark.parametrize("name", sorted(bundles()))
def test_bundle_is_a_transaction_of_updates(name):
    """R4 http.html#transaction: each entry names its resource, and no resource stands twice."""
    bundle = bundles()[name]
    assert bundle["type"] == "transaction"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    urls = [entry["request"]["url"] for entry in bundle["entry"]]
    assert len(urls) == len(set(urls))
    others = {entry["request"]["url"] for other in set(bundles()) - {name} for entry in bundles()[other]["entry"]}
    assert not others & set(urls)


@pytest.mark.parametrize("name", sorted(bundles()))
def test_every_resource_has_the_shape_of_its_type(name):
    """R4 resource.html: names, types, cardinalities and choices, and ids of datatypes.html#id."""
    for entry in bundles()[name]["entry"]:
        resource = entry["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", resource["id"])


def test_every_reference_is_in_the_seed():
    """R4 references.html: relative, and to a resource that a later or earlier file holds."""
    missing = {
        (url, target) for url, resource in resources().items() for target in references(resource)
        if target not in resources()
    }  # fmt: skip
    assert not missing


def test_the_directory_is_loaded_first():
    """A file refers to itself and to the directory alone, so that files load one after the other."""
    directory = {entry["request"]["url"] for entry in bundles()["00-directory"]["entry"]}
    for bundle in bundles().values():
        known = directory | {entry["request"]["url"] for entry in bundle["entry"]}
        assert {target for entry in bundle["entry"] for target in references(entry["resource"])} <= known


def test_nothing_is_empty():
    """R4 json.html: no null, no empty string, array or object."""

    def empty(value):
        if value in (None, "", [], {}):
            return True
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return any(map(empty, items))

    assert not [url for url, resource in resources().items() if empty(resource)]


def test_narratives_are_xhtml():
    """R4 narrative.html: a div in the XHTML namespace with something in it."""
    narratives = [resource["text"]["div"] for resource in resources().values() if "text" in resource]
    assert len(narratives) >= 40
    for narrative in narratives:
        div = etree.fromstring(narrative)
        assert div.tag == "{http://www.w3.org/1999/xhtml}div"
        assert "".join(div.itertext()).strip()


# --- people


def test_at_least_fifteen_people_of_all_ages():
    """README: an infant, children, an adolescent, adults, a person over 75."""
    born = [date.fromisoformat(patient["birthDate"]) for patient in of("Patient")]
    ages = [(date.fromisoformat(ANCHOR) - day).days // 365.25 for day in born]
    assert len(ages) >= 15
    for low, high in ((0, 1), (4, 10), (12, 17), (18, 18), (20, 40), (40, 65), (65, 75), (76, 89), (90, 110)):
        assert any(low <= age <= high for age in ages), (low, high)


def test_ins_follows_the_traits_and_its_key():
    """French domain: sex, year, month, birth place, rank, and 97 less the body modulo 97 (2A → 19, 2B → 18)."""
    for patient in of("Patient"):
        value = ins(patient)
        body, key = value[:13], value[13:]
        number = int(body.replace("2A", "19").replace("2B", "18"))
        assert re.fullmatch(r"[12]\d{4}(\d{2}|2A|2B)\d{6}\d{2}", value)
        assert (number + int(key)) % 97 == 0
        assert body[0] == {"male": "1", "female": "2"}[patient["gender"]]
        assert body[1:5] == patient["birthDate"][2:4] + patient["birthDate"][5:7]
        place = next(e for e in patient["extension"] if e["url"].endswith("/patient-birthPlace"))
        assert place["valueAddress"]["extension"][0]["valueCoding"]["code"] == body[5:10]
    assert len({ins(patient) for patient in of("Patient")}) == len(of("Patient"))
    assert any("2A" in ins(patient) for patient in of("Patient"))


def test_twins_share_the_birth_date():
    """French domain 2.9: beneficiaries of one card with the same birth date, told apart by their rank."""
    twins = [patient for patient in of("Patient") if "multipleBirthInteger" in patient]
    assert [twin["multipleBirthInteger"] for twin in twins] in ([1, 2], [2, 1])
    assert len({twin["birthDate"] for twin in twins}) == 1
    assert len({ins(twin)[1:10] for twin in twins}) == 1
    assert len({ins(twin) for twin in twins}) == 2


def test_spaces_in_every_state():
    """French domain 2.10: open, opposed, closed, not yet activated; what never opened holds nothing."""
    states = {}
    for patient in of("Patient"):
        status = next(e for e in patient["extension"] if e["url"] == f"{OWN}/StructureDefinition/space-status")
        states[patient["id"]] = next(e["valueCode"] for e in status["extension"] if e["url"] == "status")
        assert patient["active"] is (states[patient["id"]] == "open")
    assert set(states.values()) == {"open", "opposed", "closed", "not-activated"}
    for person, state in states.items():
        types = {entry["resource"]["resourceType"] for entry in bundles()[f"10-{person}"]["entry"]}
        assert ("DocumentReference" in types or "Observation" in types) is (state in ("open", "closed")), person


def test_every_minor_has_a_legal_representative():
    """French domain 2.9: a minor has no account; a representative in the seed signs in."""
    guards = {
        person["patient"]["reference"] for person in of("RelatedPerson")
        if ("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "GUARD") in codes(person)
    }  # fmt: skip
    minors = {f"Patient/{p['id']}" for p in of("Patient") if p["birthDate"] > "2008-11-22"}
    assert len(minors) >= 5
    assert guards == minors
    represented = {line["patient"] for line in people() if line["role"] == "legal-representative"}
    assert represented == minors


def test_a_pregnant_woman_and_a_caregiver():
    """README: Z34 is the supervision of a normal pregnancy; a caregiver's delegation has an end."""
    pregnant = [c for c in of("Condition") if any(code == "Z34.9" for _, code in codes(c))]
    assert {c["clinicalStatus"]["coding"][0]["code"] for c in pregnant} == {"active"}
    caregivers = [p for p in of("RelatedPerson") if any(code == "CAREGIVER" for _, code in codes(p))]
    assert any("end" in person["period"] for person in caregivers)


def test_the_professions():
    """README: eight professionals or more, a médecin traitant, a nurse, a pharmacist, a SAMU regulator among them."""
    professions = {
        code for p in of("Practitioner") for system, code in codes(p["qualification"]) if "TRE_G15" in system
    }
    assert len(of("Practitioner")) >= 8
    assert professions == {"10", "21", "40", "50", "60", "70"}
    assert any(code == "FON-32" for role in of("PractitionerRole") for _, code in codes(role))
    assert any(code == "PCP" for team in of("CareTeam") for _, code in codes(team))
    assert {role["practitioner"]["reference"] for role in of("PractitionerRole")} == {
        f"Practitioner/{practitioner['id']}" for practitioner in of("Practitioner")
    }
    assert len([o for o in of("Organization") if "identifier" in o]) >= 4


def test_nobody_can_be_reached():
    """Telephone numbers come from the ranges kept for fiction, mailboxes from names that resolve nowhere."""
    reserved = r"(019900|026191|035301|046571|053649|063998)\d{4}"
    points = [
        point for resource in resources().values()
        for point in [*resource.get("telecom", []), *(p for c in resource.get("contact", []) for p in c["telecom"])]
    ]  # fmt: skip
    assert len(points) > 80
    for point in points:
        if point["system"] == "phone":
            assert re.fullmatch(reserved, point["value"])
        else:
            assert re.search(r"[@.](example|example\.org)$", point["value"])


def test_logins():
    """French domain 3.7: lower-case logins of 8 to 100 characters, passwords of 9 with four kinds of character."""
    roles = Counter(line["role"] for line in people())
    assert set(roles) == {
        "patient", "patient-without-account", "legal-representative", "caregiver", "professional", "regulator",
    }  # fmt: skip
    assert roles["patient"] + roles["patient-without-account"] == len(of("Patient")) >= 15
    assert roles["professional"] + roles["regulator"] == len(of("Practitioner")) >= 8
    owners = {}
    for line in people():
        assert {"resource", "role", "display", "login", "password"} <= set(line)
        assert line["resource"] in resources()
        if line["role"] == "patient-without-account":
            assert line["login"] is line["password"] is None
            continue
        assert re.fullmatch(r"[a-z0-9._-]{8,100}", line["login"])
        assert len(line["password"]) >= 9
        assert all(re.search(kind, line["password"]) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))
        assert not set(re.split(r"\W|_", line["password"].lower())) & set(line["login"].split("."))
        assert owners.setdefault(line["login"], line["password"]) == line["password"]


# --- the record


@pytest.mark.parametrize(
    "mission",
    [
        "Patient", "DocumentReference", "AllergyIntolerance", "Immunization", "Observation", "Appointment",
        "Communication",
    ],
)  # fmt: skip
def test_mission_types_have_content(mission):
    """README: the seven types of the mission."""
    assert len(of(mission)) >= 10


def section(resource):
    """The sections of the profile a resource belongs to, as the README tells them."""
    found = {code for system, code in codes(resource) if system == f"{OWN}/CodeSystem/profile-section"}
    plain = {
        "CareTeam": "PS",
        "Immunization": "VACCINATIONS",
        "MedicationStatement": "TRAITEMENTS",
        "Encounter": "HOSPITALISATIONS",
        "AllergyIntolerance": "ALLERGIES",
        "FamilyMemberHistory": "ANTECEDENTS_FAMILIAUX",
        "RelatedPerson": "ENTOURAGE_VOLONTES",
        "Coverage": "PIECES_ADMIN",
    }
    if resource["resourceType"] in plain:
        found.add(plain[resource["resourceType"]])
    if resource["resourceType"] == "Observation":
        category = resource["category"][0]["coding"][0]["code"]
        found.add({"social-history": "HABITUDES_VIE"}.get(category, "MESURES"))
    return found


def test_the_twelve_sections():
    """French domain 3.1: one person has something in each."""
    found = Counter(name for entry in bundles()["10-martine-dubreuil"]["entry"] for name in section(entry["resource"]))
    assert set(found) == {
        "PS", "VACCINATIONS", "MALADIES", "TRAITEMENTS", "HOSPITALISATIONS", "HANDICAPS", "ALLERGIES",
        "ANTECEDENTS_FAMILIAUX", "HABITUDES_VIE", "MESURES", "ENTOURAGE_VOLONTES", "PIECES_ADMIN",
    }  # fmt: skip


UNITS = {
    "29463-7": "kg", "8302-2": "cm", "39156-5": "kg/m2", "8867-4": "/min", "8310-5": "Cel", "8280-0": "cm",
    "8287-5": "cm", "41950-7": "1/(24.h)", "72514-3": "1", "2345-7": "mg/dL", "MED-969": "mg/dL", "MED-972": "%",
    "4548-4": "%", "2708-6": "%",
}  # fmt: skip


def measures(code):
    """The Observations of a measure."""
    return [o for o in of("Observation") if o["code"]["coding"][0]["code"] == code]


@pytest.mark.parametrize(("code", "unit"), UNITS.items())
def test_measures_have_their_unit(code, unit):
    """French domain 1.7: each measure is in one UCUM unit."""
    found = measures(code)
    assert found
    assert {(o["valueQuantity"]["system"], o["valueQuantity"]["code"]) for o in found} == {
        ("http://unitsofmeasure.org", unit)
    }


def test_years_of_measures():
    """README: one person has four hundred measures or more over at least five years."""
    found = [o for o in of("Observation") if o["subject"]["reference"] == "Patient/martine-dubreuil"]
    days = sorted(o["effectiveDateTime"][:10] for o in found if "device" in o)
    assert len(days) >= 400
    assert int(days[-1][:4]) - int(days[0][:4]) >= 5
    assert days[-1] <= ANCHOR


def test_glucose_carries_its_qualifier():
    """French domain 1.7: the moment for capillary glucose, the number of days for the interstitial one."""
    demanded = {"2345-7": "moment-of-measurement", "MED-969": "number-of-days", "MED-972": "number-of-days"}
    for code, extension in demanded.items():
        for observation in measures(code):
            qualifiers = {e["url"].rpartition("mesures-")[2] for e in observation["extension"]}
            assert qualifiers - {"reason-for-measurement"} == {extension}


def test_blood_pressure_is_a_pair():
    """French domain 1.7: systolic strictly above diastolic."""
    assert len(measures("85354-9")) > 100
    for observation in measures("85354-9"):
        values = {c["code"]["coding"][0]["code"]: c["valueQuantity"]["value"] for c in observation["component"]}
        assert values["8480-6"] > values["8462-4"] > 40


def test_body_mass_index_follows_weight_and_height():
    """French domain 1.7: the index is computed from the two measures it names."""
    for observation in measures("39156-5"):
        weight, height = (
            resources()[r["reference"]]["valueQuantity"]["value"] for r in observation["derivedFrom"]
        )  # fmt: skip
        assert observation["valueQuantity"]["value"] == pytest.approx(weight / (height / 100) ** 2, abs=0.051)


def test_children_grow():
    """A growth curve never goes down."""
    for child in ("lina-moreau", "hugo-moreau", "jade-rousseau", "nolan-lefevre", "emma-vasseur"):
        heights = [o for o in measures("8302-2") if o["subject"]["reference"] == f"Patient/{child}"]
        values = [o["valueQuantity"]["value"] for o in sorted(heights, key=lambda o: o["effectiveDateTime"])]
        assert len(values) >= 9
        assert values == sorted(values)


def test_an_infant_follows_the_vaccination_calendar():
    """French domain 4.11: the mandatory vaccines of a child born in 2025, at thirteen months."""
    given = Counter(
        i["vaccineCode"]["coding"][0]["code"] for i in of("Immunization")
        if i["patient"]["reference"] == "Patient/jade-rousseau"
    )  # fmt: skip
    assert given == {"J07CA09": 3, "J07AL02": 3, "J07AH09": 3, "J07AH08": 2, "J07BD52": 1, "J07BH02": 3}


def test_nothing_happened_after_the_anchor_or_before_birth():
    """What is told as done lies between birth and the day the record was written."""
    births = {f"Patient/{patient['id']}": patient["birthDate"] for patient in of("Patient")}
    for kind, name, who in (
        ("Observation", "effectiveDateTime", "subject"),
        ("Immunization", "occurrenceDateTime", "patient"),
        ("Procedure", "performedDateTime", "subject"),
        ("DocumentReference", "date", "subject"),
        ("Communication", "sent", "subject"),
    ):
        for resource in of(kind):
            assert births[resource[who]["reference"]] <= resource[name][:10] <= ANCHOR, resource["id"]


def test_appointments_past_and_to_come():
    """README: the past has an outcome, the future goes to 2028, and entries of platforms and of people mix."""
    states = Counter(appointment["status"] for appointment in of("Appointment"))
    assert set(states) >= {"booked", "fulfilled", "cancelled", "noshow", "proposed", "pending"}
    for appointment in of("Appointment"):
        done = appointment["status"] in ("fulfilled", "noshow")
        assert done is (appointment["start"][:10] < ANCHOR) or appointment["status"] == "cancelled"
        assert appointment["start"] < appointment["end"]
    assert max(appointment["start"] for appointment in of("Appointment")) >= "2028"
    authors = {e["valueCode"] for a in of("Appointment") for e in a["extension"]}
    assert authors == {"PATIENT", "EDITOR_SOLUTION"}


def test_conversations():
    """French domain 3.3: a professional opens, each message answers the one before, `[FIN]` is the last."""
    threads = {}
    for message in of("Communication"):
        threads.setdefault(message["identifier"][0]["value"], []).append(message)
    assert len(threads) >= 8
    for messages in threads.values():
        assert messages[0]["sender"]["reference"].startswith("PractitionerRole/")
        assert [m["sent"] for m in messages] == sorted(m["sent"] for m in messages)
        for before, after in zip(messages, messages[1:], strict=False):
            assert after["inResponseTo"] == [{"reference": f"Communication/{before['id']}"}]
            assert before["topic"]["text"] != "[FIN]"
    assert any(messages[-1]["topic"]["text"] == "[FIN]" for messages in threads.values())
    assert any("contentReference" in part for m in of("Communication") for part in m["payload"])


def test_choices_of_every_kind():
    """French domain 2.4: permits, a block, an administrator, each emergency purpose permitted or opposed."""
    found = {
        (purpose["code"], consent["provision"]["type"])
        for consent in of("Consent")
        for purpose in consent.get("provision", {}).get("purpose", [])
    }
    assert found >= {("BTG", "deny"), ("ETREAT", "deny"), ("MASKED", "deny"), ("MASKED", "permit"), ("BTG", "permit")}
    blocks = [c for c in of("Consent") if c.get("provision", {}).get("type") == "deny" and "actor" in c["provision"]]
    assert blocks
    for consent in of("Consent"):
        assert "policyRule" in consent, "R4 consent.html ppc-1"
    kinds = {code for c in of("Consent") for system, code in codes(c) if system == f"{OWN}/CodeSystem/consent-kind"}
    assert kinds == {"access", "administrator", "caregiver", "space", "BTG", "ETREAT", "MASKED"}


# --- documents


def test_sheets_describe_their_content():
    """PDSm: size, SHA-1, title, language and the address of the Binary, which belongs to the same person."""
    for sheet in of("DocumentReference"):
        attachment, data = sheet["content"][0]["attachment"], content(sheet)
        binary = resources()[attachment["url"]]
        assert attachment["size"] == len(data) <= 5_000_000
        assert base64.b64decode(attachment["hash"]) == hashlib.sha1(data).digest()
        assert attachment["contentType"] == binary["contentType"]
        assert attachment["language"] == "fr-FR"
        assert binary["securityContext"]["reference"] == sheet["subject"]["reference"]
        assert {"author", "custodian", "type", "category", "securityLabel", "date", "masterIdentifier"} <= set(sheet)
        assert {"period", "facilityType", "practiceSetting", "sourcePatientInfo"} <= set(sheet["context"])


def test_labels():
    """French domain 2.2: N first, and each of the three visibility labels somewhere."""
    labels = [[code for _, code in codes(sheet["securityLabel"])] for sheet in of("DocumentReference")]
    assert all(sheet[0] == "N" for sheet in labels)
    assert {code for sheet in labels for code in sheet[1:]} == {
        "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX",
    }  # fmt: skip


def test_a_replaced_document():
    """R4 documentreference.html: the new one replaces, the old one is superseded."""
    (newer,) = (sheet for sheet in of("DocumentReference") if "relatesTo" in sheet)
    assert newer["relatesTo"][0]["code"] == "replaces"
    assert resources()[newer["relatesTo"][0]["target"]["reference"]]["status"] == "superseded"


def assert_is_pdf(data):
    """ISO 32000-1 s. 7.5: header, a cross-reference table that points at each object, trailer, one page or more."""
    assert data.startswith(b"%PDF-1.4\n")
    assert data.endswith(b"%%EOF\n")
    table_at = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", data)[1])
    offsets = [int(line) for line in re.findall(rb"(\d{10}) 00000 n", data[table_at:])]
    assert data[table_at:].startswith(b"xref\n0 %d\n" % (len(offsets) + 1))
    for number, offset in enumerate(offsets, 1):
        assert data[offset:].startswith(b"%d 0 obj\n" % number)
    for length, stream in re.findall(rb"<< /Length (\d+) >>\nstream\n(.*?)\nendstream", data, re.DOTALL):
        assert len(stream) == int(length)
        assert stream.count(b"BT ") == stream.count(b" ET") > 4
    assert data.count(b"/Type /Page ") == int(re.search(rb"/Count (\d+)", data)[1]) >= 1


def test_letters_are_pdf():
    """README: at least ten PDFs, each of its own text, of less than 15 kB."""
    sheets = documents("application/pdf")
    assert len(sheets) >= 10
    assert len({content(sheet) for sheet in sheets}) == len(sheets)
    for sheet in sheets:
        data = content(sheet)
        assert len(data) < 15_000
        assert_is_pdf(data)
        assert sheet["content"][0]["attachment"]["title"].encode("cp1252") in data
    assert {content(sheet).count(b"/Type /Page ") for sheet in sheets} == {1, 2}


def test_pictures_are_jpeg():
    """ITU T.81: start and end of image, and a frame of some size."""
    sheets = documents("image/jpeg")
    assert len(sheets) >= 2
    for sheet in sheets:
        data = content(sheet)
        assert data.startswith(b"\xff\xd8\xff")
        assert data.endswith(b"\xff\xd9")
        height, width = struct.unpack(">HH", re.search(rb"\xff[\xc0\xc2]\x00\x11\x08(.{4})", data, re.DOTALL)[1])
        assert min(height, width) >= 480


def test_clinical_documents():
    """CI-SIS: the header of a CDA R2 document, with the INS of the person and the author's national identifier."""
    sheets = documents("text/xml")
    assert len(sheets) >= 2
    for sheet in sheets:
        root = etree.fromstring(content(sheet))
        patient = resources()[sheet["subject"]["reference"]]
        assert root.tag == "{urn:hl7-org:v3}ClinicalDocument"
        assert [etree.QName(child).localname for child in root] == [
            "realmCode", "typeId", "templateId", "templateId", "templateId", "id", "code", "title", "effectiveTime",
            "confidentialityCode", "languageCode", "setId", "versionNumber", "recordTarget", "author", "custodian",
            "legalAuthenticator", "documentationOf", "componentOf", "component",
        ]  # fmt: skip
        assert root.xpath("string(hl7:realmCode/@code)", namespaces=V3) == "FR"
        assert root.xpath("string(hl7:typeId/@extension)", namespaces=V3) == "POCD_HD000040"
        identifier = root.find("hl7:recordTarget/hl7:patientRole/hl7:id", V3)
        assert dict(identifier.attrib) == {"extension": ins(patient), "root": INS.removeprefix("urn:oid:")}
        unique = root.xpath("string(hl7:id/@root)", namespaces=V3)
        assert sheet["masterIdentifier"]["value"] == f"urn:oid:{unique}"
        assert root.xpath("string(hl7:code/@code)", namespaces=V3) == sheet["type"]["coding"][0]["code"]
        assert re.fullmatch(r"\d{14}[+-]\d{4}", root.xpath("string(hl7:effectiveTime/@value)", namespaces=V3))


def test_a_clinical_document_wraps_a_pdf_and_another_has_sections():
    """CDA R2: nonXMLBody with the PDF in base64; structuredBody with text and entries that agree with the record."""
    roots = [etree.fromstring(content(sheet)) for sheet in documents("text/xml")]
    wrapped = [text for root in roots for text in root.findall(".//hl7:nonXMLBody/hl7:text", V3)]
    assert wrapped
    for text in wrapped:
        assert_is_pdf(base64.b64decode(text.text, validate=True))
    (summary,) = (root for root in roots if root.find(".//hl7:structuredBody", V3) is not None)
    titles = {section.get("code") for section in summary.findall(".//hl7:section/hl7:code", V3)}
    assert titles == {"11450-4", "48765-2", "10160-0", "11369-6"}
    for part in summary.findall(".//hl7:section", V3):
        assert len(part.findall("hl7:entry", V3)) == len(part.findall(".//hl7:tr", V3)) > 0
