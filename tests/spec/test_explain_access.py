"""Patient/[id]/$explain-access: every sentence is held to what a read as that professional really answers.

rule A1 to A18; CSP R1111-46, R1111-49
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.app import now
from tests.build import observation
from tests.calls import Caller, Served
from tests.spec.test_rules import choice, document

PROFESSIONS = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
SECTIONS = "https://fhir-server.example/CodeSystem/profile-section"
JSON_PATCH = "application/json-patch+json"
COLLECTION = "https://fhir-server.example/StructureDefinition/consent-collection"


class Practice:
    """A patient with a record of all sorts, and a professional whom the directory knows."""

    def __init__(self, served: Served, profession: str = "10"):
        self.served = served
        self.operator = served.caller()
        self.id, self.holder = served.patient(name=[{"family": "Durand"}])
        self.name = f"d-{secrets.token_hex(6)}"
        self.profession = profession
        self.structure = f"Organization/{self.name}"
        concept = [{"coding": [{"system": PROFESSIONS, "code": profession}]}]
        for resource in (
            {"resourceType": "Practitioner", "id": self.name, "name": [{"family": "Martin", "given": ["Anne"]}]},
            {"resourceType": "Organization", "id": self.name, "name": "La structure"},
            {
                "resourceType": "PractitionerRole",
                "id": self.name,
                "practitioner": {"reference": f"Practitioner/{self.name}"},
                "organization": {"reference": self.structure},
                "code": concept,
            },
        ):
            assert self.operator("PUT", f"{resource['resourceType']}/{self.name}", resource).status_code == 201
        self.kept = [
            self.operator.create(document(self.id)),
            self.operator.create(document(self.id, "MASQUE_PS")),
            self.operator.create(document(self.id, code="31")),
            self.operator.create(observation(self.id)),
        ]

    @property
    def reference(self) -> str:
        """Who the professional is."""
        return f"Practitioner/{self.name}"

    def caller(self, **more: Any) -> Caller:
        """The professional, with a new token."""
        facts = {
            "practitioner": self.name,
            "role": f"PractitionerRole/{self.name}",
            "organization": self.structure,
            "profession": self.profession,
        }
        return self.served.caller("user/*.cruds", kind="professional", **{**facts, **more})

    def asked(self, mode: str = "normal", language: str = "fr", caller: Caller | None = None) -> Told:
        """What the holder is told of this professional and of everything that is kept."""
        resources = "".join(f"&resource={one}" for one in self.kept)
        path = f"Patient/{self.id}/$explain-access?practitioner={self.reference}&mode={mode}{resources}"
        return Told((caller or self.holder).get(path, Accept_Language=language))

    def held(self, mode: str = "normal") -> Told:
        """The same, each line of it compared with the professional's own reads and searches."""
        told = self.asked(mode)
        facts = {"patient": self.id, "mode": mode, "reason": "x", "regulator": True} if mode != "normal" else {}
        caller = self.caller(**facts)
        for reference, (seen, reasons) in told.resources.items():
            assert caller("GET", reference).status_code == (200 if seen else 404), (reference, reasons)
            assert reasons, reference
        documents = caller("GET", f"DocumentReference?patient={self.id}&_summary=count").json["total"]
        found = [told.sections[code][2] for code in ("DOCUMENTS", "VACCINATIONS", "DIRECTIVES_ANTICIPEES", "MHS")]
        found += [told.sections[code][2] for code in ("PIECES_ADMIN",)]
        observations = caller("GET", f"Observation?patient={self.id}&_summary=count").json["total"]
        assert told.sections["RESULTATS"][2] + told.sections["MESURES"][2] == observations
        assert sum(found) >= documents > -1
        assert told.sections["DOCUMENTS"][2] == documents
        return told


def _value(part: dict[str, Any]) -> Any:
    """The value of a parameter, whatever its type."""
    return next(value for name, value in part.items() if name.startswith("value"))


class Told:
    """What the operation says: (access, there, seen, rules) by section, (seen, rules) by resource."""

    def __init__(self, found: dict[str, Any]):
        self.found = found
        self.sections: dict[str, tuple[str, int, int, set[str]]] = {}
        self.resources: dict[str, tuple[bool, set[str]]] = {}
        self.sentences: list[str] = []
        self.overall: set[str] = set()
        for one in found["parameter"]:
            parts = one.get("part", ())
            plain = {part["name"]: _value(part) for part in parts if "part" not in part}
            why = [{each["name"]: _value(each) for each in part["part"]} for part in parts if "part" in part]
            rules = {each["rule"] for each in why}
            self.sentences += [each["sentence"] for each in why]
            match one["name"]:
                case "section":
                    self.sections[plain["code"]["code"]] = (plain["access"], plain["there"], plain["seen"], rules)
                case "resource":
                    self.resources[plain["reference"]["reference"]] = (plain["seen"], rules)
                case "overall":
                    self.overall.add(plain["rule"])
                    self.sentences.append(plain["sentence"])


def _value(part: dict[str, Any]) -> Any:
    return next(value for name, value in part.items() if name.startswith("value"))


@pytest.fixture
def practice(served: Served) -> Practice:
    """A doctor, and a patient who has said nothing."""
    return Practice(served)


def test_nobody_is_permitted(practice: Practice) -> None:
    """A6: nothing is open that nobody opens"""
    told = practice.held()
    assert {access for access, *_ in told.sections.values()} == {"closed"}
    assert {seen for seen, _ in told.resources.values()} == {False}
    assert told.sections["DOCUMENTS"][3] == {"A6"}
    assert "Le titulaire n’a pas autorisé ce professionnel." in told.sentences


def test_a_permit(practice: Practice) -> None:
    """A6, A7: what is open, and that a masked document is hidden, with how many"""
    practice.holder.create(choice(practice.id, "access", to=(practice.reference,)))
    told = practice.held()
    access, there, seen, rules = told.sections["DOCUMENTS"]
    assert (access, there, seen) == ("part", 3, 2)
    assert "A7" in rules
    assert told.resources[practice.kept[1]] == (False, {"A7"})
    assert told.sections["MALADIES"][0] == "open"
    assert told.sections["MESSAGES"] == ("closed", 0, 0, {"A6"})
    assert "Le titulaire a autorisé ce professionnel." in told.sentences


def test_a_permit_says_when_it_ends(practice: Practice) -> None:
    """A6: with its last day, in the language that was asked for.  RFC 9110 s. 12.5.4"""
    end = now().date() + timedelta(days=40)
    practice.holder.create(choice(practice.id, "access", to=(practice.structure,), period={"end": end.isoformat()}))
    practice.held()
    french = f"Le titulaire a autorisé la structure de ce professionnel jusqu’au {end:%d/%m/%Y}."
    assert french in practice.asked().sentences
    english = f"The holder has allowed the structure of this professional until {end.isoformat()}."
    assert english in practice.asked(language="en-GB").sentences


def test_a_permit_of_sections(practice: Practice) -> None:
    """A6: the sections that the permit covers, and no others"""
    one = [{"system": SECTIONS, "code": "DOCUMENTS"}]
    practice.holder.create(choice(practice.id, "access", to=(practice.reference,), **{"class": one}))
    told = practice.held()
    assert told.sections["DOCUMENTS"][2] == 2
    assert told.sections["MESURES"][0] == "closed"
    assert "L’autorisation donnée ne comprend pas cette rubrique." in told.sentences


@pytest.mark.parametrize("profession", ["21", "35"])
def test_the_matrix(served: Served, profession: str) -> None:
    """A6, CSP R1111-46: a pharmacist consults no imaging, an auxiliary nurse nothing"""
    practice = Practice(served, profession)
    practice.holder.create(choice(practice.id, "access", to=(practice.reference,)))
    told = practice.held()
    assert told.resources[practice.kept[2]] == (False, {"A6"})
    assert told.sections["DOCUMENTS"][0] == ("part" if profession == "21" else "closed")


def test_the_treating_doctor_and_an_administrator(practice: Practice) -> None:
    """A7: they see what is masked"""
    practice.holder.create(choice(practice.id, "administrator", to=(practice.reference,)))
    told = practice.held()
    assert told.sections["DOCUMENTS"][:3] == ("open", 3, 3)
    assert "Un professionnel administrateur voit aussi ce qui est masqué." in told.sentences
    gp = [{"op": "add", "path": "/generalPractitioner", "value": [{"reference": practice.reference}]}]
    assert practice.operator("PATCH", f"Patient/{practice.id}", gp, Content_Type=JSON_PATCH).status_code == 200
    assert "Le médecin traitant voit aussi ce qui est masqué." in practice.held().sentences


def test_a_block(practice: Practice) -> None:
    """A5: in every mode, own deposits included"""
    own = practice.caller().create(document(practice.id))
    practice.kept.append(own)
    assert practice.held().resources[own] == (True, {"A8"})
    assert practice.held().sections["DOCUMENTS"][0] == "part"
    practice.holder.create(choice(practice.id, "access", to=(practice.reference,)))
    practice.holder.create(choice(practice.id, "access", "deny", to=(practice.reference,)))
    for mode in ("normal", "bris_de_glace", "centre_15"):
        told = practice.held(mode)
        assert told.overall == {"A5"}
        assert {rules.pop() for _, rules in told.resources.values()} == {"A5"}


@pytest.mark.parametrize(("mode", "kind", "rule"), [("bris_de_glace", "BTG", "A10"), ("centre_15", "ETREAT", "A11")])
def test_an_emergency(practice: Practice, mode: str, kind: str, rule: str) -> None:
    """A10, A11: sections of an emergency; what is masked if the holder says so; opposed, each by itself"""
    told = practice.held(mode)
    assert (told.sections["DOCUMENTS"][2], told.sections["MESURES"][0]) == (2, "closed")
    assert rule in told.overall
    practice.holder.create(choice(practice.id, "MASKED"))
    assert practice.held(mode).sections["DOCUMENTS"][:3] == ("open", 3, 3)
    measures = [{"system": SECTIONS, "code": "MESURES"}, {"system": SECTIONS, "code": "RESULTATS"}]
    practice.holder.create(choice(practice.id, kind, **{"class": measures}))
    assert practice.held(mode).sections["MESURES"][0] == "open"
    practice.holder.create(choice(practice.id, kind, "deny"))
    assert practice.held(mode).overall == {rule}
    other = "centre_15" if mode == "bris_de_glace" else "bris_de_glace"
    assert practice.held(other).sections["DOCUMENTS"][0] == "open"


def test_a_declared_permit_says_so(practice: Practice) -> None:
    """A6: who declares it, and that the holder can end it"""
    bare = choice(practice.id, "access", to=(practice.reference,))
    how = [{"url": COLLECTION, "valueCode": "oral"}]
    practice.caller().create({**bare, "extension": how, "performer": [{"reference": practice.reference}]})
    told = practice.held()
    assert "Un professionnel a déclaré l’accord du titulaire, qui peut y mettre fin." in told.sentences


def test_any_professional_and_any_of_a_profession(practice: Practice) -> None:
    """Somebody of whom nothing is known: no permit, and the emergency is open to them"""
    path = f"Patient/{practice.id}/$explain-access"
    assert {access for access, *_ in Told(practice.holder.get(path)).sections.values()} == {"closed"}
    told = Told(practice.holder.get(f"{path}?mode=bris_de_glace&profession=21"))
    assert told.sections["DOCUMENTS"][0] == "part"


def test_a_content_is_judged_by_its_document(practice: Practice) -> None:
    """A7: the Binary of a masked document is hidden with it"""
    headers = {"Content_Type": "text/plain", "X_Security_Context": f"Patient/{practice.id}"}
    made = practice.operator("POST", "Binary", b"x", **headers)
    binary = "/".join(made.headers["Location"].split("/")[-4:-2])
    attached = [{"attachment": {"contentType": "text/plain", "url": binary}}]
    practice.operator.create(document(practice.id, "MASQUE_PS", content=attached))
    practice.holder.create(choice(practice.id, "access", to=(practice.reference,)))
    practice.kept.append(binary)
    # the count of sections leaves contents out: they are told by their documents
    assert practice.asked().resources[binary] == (False, {"A7"})
    assert practice.caller()("GET", binary).status_code == 404


def test_who_may_ask(practice: Practice) -> None:
    """The holder, who represents the holder, the operator: no caregiver, no professional, nobody else's record"""
    path = f"Patient/{practice.id}/$explain-access"
    represents = practice.served.caller(
        "patient/*.rs", patient=practice.id, person="RelatedPerson/r", relation="legal-representative"
    )
    for caller in (practice.holder, represents, practice.operator):
        assert caller("GET", path).status_code == 200
        assert caller("POST", path).status_code == 200
    aide = f"RelatedPerson/{secrets.token_hex(6)}"
    practice.holder.create(choice(practice.id, "caregiver", to=(aide,)))
    cares = practice.served.caller("patient/*.rs", patient=practice.id, person=aide, relation="caregiver")
    narrow = practice.served.caller("patient/Patient.r", patient=practice.id)
    for caller in (cares, practice.caller(), narrow):
        assert caller("GET", path).status_code == 403
    _, other = practice.served.patient()
    assert other("GET", path).status_code == 404


@pytest.mark.parametrize(
    "query", ["practitioner=Patient/x", "mode=else", "resource=Observation", "resource=Practitioner/x", "colour=red"]
)
def test_what_cannot_be_asked(practice: Practice, query: str) -> None:
    """R4 operations.html: what is not understood is refused"""
    assert practice.holder("GET", f"Patient/{practice.id}/$explain-access?{query}").status_code == 400


def test_it_is_recorded_as_what_it_is(practice: Practice) -> None:
    """A17: whoever asks; nothing is recorded in the name of the professional who was asked about"""
    answer = practice.holder("GET", f"Patient/{practice.id}/$explain-access?practitioner={practice.reference}")
    (event,) = practice.served.events(answer)
    assert event["subtype"][0]["display"] == "$explain-access"
    assert event["agent"][0]["who"]["reference"] == f"Patient/{practice.id}"
