"""FR Core, the French core profiles of Interop'Santé and HL7 France: https://hl7.fr/ig/fhir/core"""

from __future__ import annotations

from .international import BIRTH_PLACE
from .shorthand import (
    FR_CORE,
    HL7,
    OWN,
    TERMINOLOGY,
    concept,
    extension,
    extension_slice,
    fr_core,
    invariant,
    nos,
    profile,
    rule,
    told_by,
)

VERSION = "2.1.0"
PATIENT = fr_core("fr-core-patient")
PATIENT_INS = fr_core("fr-core-patient-ins")
PRACTITIONER = fr_core("fr-core-practitioner")
ORGANIZATION = fr_core("fr-core-organization")
RELATED_PERSON = fr_core("fr-core-related-person")
APPOINTMENT = fr_core("fr-core-appointment")
SLOT = fr_core("fr-core-slot")
SCHEDULE = fr_core("fr-core-schedule")
IMMUNIZATION = fr_core("fr-core-immunization")
ALLERGY = fr_core("fr-core-allergy-intolerance")
CONSENT = fr_core("fr-core-consent")
ADDRESS = fr_core("fr-core-address")
INSEE_CODE = fr_core("fr-core-address-insee-code")
RELIABILITY = fr_core("fr-core-identity-reliability")
BIRTH_GIVEN_NAMES = fr_core("fr-core-patient-birth-list-given-name")
EMAIL_TYPE = fr_core("fr-core-contact-point-email-type")

IDENTIFIER_TYPE = f"{FR_CORE}/CodeSystem/fr-core-cs-v2-0203"
V2_0203 = f"{TERMINOLOGY}/v2-0203"
COMMUNE = nos("TRE_R13-Commune")
#: The codes of the value sets that the guide names, at the addresses where this project carries them.
VACCINATION_SITE = f"{OWN}/ValueSet/vaccination-site"
VACCINATION_ROUTE = f"{OWN}/ValueSet/vaccination-route"
SPECIALTY_VALUES = f"{FR_CORE}/ValueSet/fr-core-vs-practitioner-specialty"

#: The roots under which INSi gives a matricule: real, temporary, of tests, of demonstrations.
INS_ROOTS = {
    "INS-NIR": ("urn:oid:1.2.250.1.213.1.4.8", "the INS whose number is a NIR"),
    "INS-NIA": ("urn:oid:1.2.250.1.213.1.4.9", "the INS whose number is a waiting NIA"),
    "INS-NIR-TEST": ("urn:oid:1.2.250.1.213.1.4.10", "the INS of a person made up for tests"),
    "INS-NIR-DEMO": ("urn:oid:1.2.250.1.213.1.4.11", "the INS of a person made up for demonstrations"),
}
_UNQUALIFIED = (
    f"extension('{RELIABILITY}').extension('identityStatus').value.where(code = 'VALI' or code = 'QUAL').empty()"
)
_INS = " or ".join(f"system = '{root}'" for root, _ in INS_ROOTS.values())
_KEY = invariant("ins-1", "A matricule INS has 13 characters and the 2 digits of the key that they give")


def identifier(
    name: str,
    short: str,
    *,
    system: str,
    use: str = "",
    type: dict | None = None,
    card: str = "",
    constraints: tuple[dict, ...] = (),
    form: dict | None = None,
    needs: tuple[str, ...] = ("value",),
) -> list[dict]:
    """The rows of one kind of identifier, a slice that its system tells; `form` is what its value looks like."""
    at = f"identifier:{name}"
    rows = [rule(at, short, card=card, must=True, constraints=constraints)]
    if use:
        rows.append(rule(f"{at}.use", short, card="1.." if "use" in needs else "", fixedCode=use))
    if type:
        rows.append(rule(f"{at}.type", short, card="1.." if "type" in needs else "", patternCodeableConcept=type))
    rows.append(rule(f"{at}.system", short, card="1..", fixedUri=system))
    formed = (form,) if form else ()
    rows.append(rule(f"{at}.value", short, card="1.." if "value" in needs else "", must=True, constraints=formed))
    return rows


def looks_like(key: str, human: str, pattern: str) -> dict:
    """The form of the value of an identifier."""
    return invariant(key, human, f"matches('{pattern}')")


def _ins(name: str) -> list[dict]:
    system, short = INS_ROOTS[name]
    at = f"identifier:{name}"
    uses = ("temp", "old") if name == "INS-NIA" else ("official", "old")
    codes = (name, "INS-NIR") if name.startswith("INS-NIR-") else (name,)
    # The number for billing (NH) has the root of the NIR, and is no INS.
    typed = " or ".join(f"code = '{code}'" for code in (*codes, "NH"))
    used = " or ".join(f"$this = '{use}'" for use in uses)
    typing = invariant(
        f"{name.lower()}-type",
        f"The type of this INS is {' or '.join(codes)} of {IDENTIFIER_TYPE}",
        f"coding.where((system = '{IDENTIFIER_TYPE}' or system = '{V2_0203}') and ({typed})).exists()",
    )
    using = invariant(f"{name.lower()}-use", f"The use of this INS is {' or '.join(uses)}", used)
    return [
        rule(at, short, must=True, constraints=(_KEY,)),
        rule(f"{at}.use", short, card="1..", constraints=(using,)),
        rule(f"{at}.type", short, card="1..", constraints=(typing,)),
        rule(f"{at}.system", short, card="1..", fixedUri=system),
        rule(f"{at}.value", short, card="1..", must=True),
    ]


_EXTENSIONS = [
    extension(
        INSEE_CODE,
        on=("Address",),
        title="FR Core INSEE code",
        french="Code officiel géographique de la commune, ou du pays pour une naissance à l'étranger.",
        english="The INSEE code of the commune, or of the country for a birth abroad.",
        version=VERSION,
        value=rule(
            "",
            "the code of the commune or country",
            types=("Coding",),
            constraints=(
                invariant(
                    "insee-1",
                    "An INSEE code has five characters: digits, or 2A or 2B and three digits",
                    "code.matches('^([0-9]{5}|2[AB][0-9]{3})$')",
                ),
            ),
        ),
    ),
    extension(
        BIRTH_GIVEN_NAMES,
        on=("HumanName",),
        title="FR Core birth given names",
        french="Liste des prénoms de naissance, séparés par des espaces.",
        english="All given names of the birth certificate, with spaces between them.",
        version=VERSION,
        value=rule("", "all given names at birth", types=("string",)),
    ),
    extension(
        RELIABILITY,
        on=("Patient",),
        title="FR Core identity reliability",
        french="Fiabilité de l'identité : statut, mode de validation, mode de recueil.",
        english="How reliable the identity is: its status, how it was validated, how it was collected.",
        version=VERSION,
        parts=(
            ("identityStatus", "0..1", rule("", "the status of the identity", types=("Coding",))),
            ("validationDate", "0..1", rule("", "when it was validated", types=("date",))),
            ("validationMode", "0..1", rule("", "the paper it was validated with", types=("Coding",))),
            ("methodCollection", "0..1", rule("", "how it was collected", types=("Coding",))),
            ("dateCollection", "0..1", rule("", "when it was collected", types=("date",))),
        ),
    ),
    extension(
        EMAIL_TYPE,
        on=("ContactPoint",),
        title="FR Core type of e-mail",
        french="Type de messagerie électronique, dont MSSanté.",
        english="The kind of an e-mail address, MSSanté among them.",
        version=VERSION,
        value=rule("", "the kind of mailbox", types=("Coding",)),
    ),
    profile(
        ADDRESS,
        "Address",
        title="FR Core address",
        french="Adresse française, avec le code INSEE de la commune.",
        english="A French address, with the INSEE code of its commune.",
        version=VERSION,
        rules=[
            rule("extension", slicing=told_by("url")),
            extension_slice("inseeCode", INSEE_CODE, "the INSEE code of the commune"),
        ],
    ),
]

_PATIENT = profile(
    PATIENT,
    "Patient",
    title="FR Core Patient",
    french="Personne prise en charge en France : identifiants, noms de naissance et d'usage, fiabilité de l'identité.",
    english="A person in care in France: identifiers, names at birth and in use, reliability of the identity.",
    version=VERSION,
    rules=[
        rule("extension", slicing=told_by("url")),
        extension_slice("identityReliability", RELIABILITY, "how reliable the identity is", card="0..*"),
        extension_slice("birthPlace", BIRTH_PLACE, "where the person was born"),
        rule("extension:birthPlace.value[x]", types=("Address",), like=(ADDRESS,)),
        rule(
            "identifier",
            "the identifiers of the person",
            slicing=told_by("system"),
            must=True,
            constraints=(
                invariant(
                    "fr-identifier-1",
                    "An IPP (PI) or a regional identifier (RRI) has a system and a value",
                    f"type.coding.where(system = '{V2_0203}' and (code = 'PI' or code = 'RRI')).empty()"
                    " or (system.exists() and value.exists())",
                ),
            ),
        ),
        *identifier(
            "INS-C",
            "the computed INS, no longer in use",
            use="secondary",
            type=concept(IDENTIFIER_TYPE, "INS-C"),
            system="urn:oid:1.2.250.1.213.1.4.2",
            needs=("use", "type", "value"),
        ),
        *identifier(
            "NDP",
            "the number of the pharmaceutical record",
            card="0..1",
            use="secondary",
            type=concept(IDENTIFIER_TYPE, "NDP"),
            system="urn:oid:1.2.250.1.176.1.2",
            needs=("use", "type", "value"),
        ),
        rule("name", slicing=told_by("use"), must=True),
        rule("name:usualName", "the name in use", must=True),
        rule("name:usualName.use", card="1..1", fixedCode="usual"),
        rule("name:officialName", "the name at birth", must=True),
        rule("name:officialName.extension", slicing=told_by("url")),
        extension_slice(
            "birth-list-given-name", BIRTH_GIVEN_NAMES, "all given names at birth", at="name:officialName."
        ),
        rule("name:officialName.use", card="1..1", fixedCode="official"),
        rule("name:officialName.family", "the family name at birth", card="1..", must=True),
        rule("name:officialName.given", "the first given name at birth, alone", card="1..1", must=True),
        rule("gender", must=True),
        rule("birthDate", must=True),
        rule("address", types=("Address",), like=(ADDRESS,)),
        rule("maritalStatus", extensible=f"{FR_CORE}/ValueSet/fr-core-vs-marital-status"),
        rule("generalPractitioner", to=(PRACTITIONER, ORGANIZATION, f"{HL7}/PractitionerRole")),
        rule("managingOrganization", to=(ORGANIZATION,)),
    ],
)
_PATIENT_INS = profile(
    PATIENT_INS,
    "Patient",
    base=PATIENT,
    title="FR Core Patient INS",
    french="Personne dont l'identité nationale de santé (INS) est qualifiée : matricule et cinq traits d'identité.",
    english="A person whose national health identity (INS) is qualified: the matricule and the five traits.",
    version=VERSION,
    constraints=(
        invariant("ins-0", "One of the identifiers is an INS, by its root", f"identifier.where({_INS}).exists()"),
        invariant(
            "fr-core-1",
            "A qualified identity (VALI or QUAL) has an INS in use: official, or temp for an INS-NIA",
            f"{_UNQUALIFIED} or identifier.where({_INS}).empty()"
            f" or identifier.where(({_INS}) and (use = 'official' or use = 'temp')).exists()",
        ),
        invariant(
            "fr-core-2",
            "A qualified identity has one INS in use, not two",
            f"{_UNQUALIFIED} or identifier.where(({_INS}) and (use = 'official' or use = 'temp')).count() <= 1",
        ),
    ),
    rules=[
        rule("extension:identityReliability", "how reliable the identity is", card="1..*"),
        rule(
            "extension:identityReliability.extension:identityStatus",
            "the status of the identity, VALI or QUAL when it is qualified",
            card="1..1",
        ),
        rule("extension:birthPlace", "the place of birth, a trait of the INS", card="1..1"),
        rule(
            "extension:birthPlace.value[x].extension:inseeCode",
            "the INSEE code of the place of birth",
            card="1..1",
            types=("Extension",),
            like=(INSEE_CODE,),
        ),
        rule("identifier", "the INS among them", card="1.."),
        *(row for name in INS_ROOTS for row in _ins(name)),
        rule(
            "gender",
            "the sex of the birth certificate, a trait of the INS",
            card="1..1",
            required=f"{FR_CORE}/ValueSet/fr-core-vs-patient-gender-INS",
        ),
        rule("birthDate", "the date of birth, a trait of the INS", card="1..1", must=True),
        rule("name:officialName", "the name at birth, a trait of the INS", card="1..1"),
        rule(
            "name:officialName.extension:birth-list-given-name",
            "all given names at birth, a trait of the INS",
            card="1..1",
        ),
    ],
)

_STRUCTURE = profile(
    ORGANIZATION,
    "Organization",
    title="FR Core Organization",
    french="Structure française : identifiants nationaux (idNatSt, FINESS, SIREN, SIRET), secteur et catégorie.",
    english="A French organization: national identifiers (idNatSt, FINESS, SIREN, SIRET), sector and category.",
    version=VERSION,
    rules=[
        rule("identifier", "the identifiers of the structure", slicing=told_by("system"), must=True),
        rule("identifier.system", "the register of the identifier", card="1.."),
        rule("identifier.value", "the identifier", card="1.."),
        *identifier(
            "idNatSt",
            "the national identifier of the structure",
            card="0..1",
            system="urn:oid:1.2.250.1.71.4.2.2",
            type=concept(IDENTIFIER_TYPE, "IDNST"),
            needs=("type", "value"),
            form=looks_like(
                "idnst-1",
                "A national identifier of a structure is 0 and an ADELI rank, 1 and a FINESS, 2 and a SIREN, "
                "3 and a SIRET, or 4 and an RPPS rank",
                "^(0[0-9A-Z]{11}|1[0-9A-Z]{9}|2[0-9]{9}|3[0-9]{14}|4[0-9A-Z]+)$",
            ),
        ),
        *identifier(
            "finess",
            "the FINESS number",
            system="https://finess.esante.gouv.fr",
            form=looks_like("finess-1", "A FINESS number has nine characters", "^[0-9][0-9A-Z][0-9]{7}$"),
            constraints=(
                invariant(
                    "finess-2",
                    f"The type of a FINESS number is FINEG or FINEJ of {IDENTIFIER_TYPE}",
                    f"type.coding.where(system = '{IDENTIFIER_TYPE}' and (code = 'FINEG' or code = 'FINEJ')).exists()",
                ),
            ),
            needs=("value",),
        ),
        *identifier(
            "sirene",
            "the SIREN or SIRET number",
            system="https://sirene.fr",
            form=looks_like("sirene-1", "A SIREN has 9 digits, a SIRET 14", "^([0-9]{9}|[0-9]{14})$"),
            constraints=(
                invariant(
                    "sirene-2",
                    f"The type of the identifier is SIREN or SIRET of {IDENTIFIER_TYPE}",
                    f"type.coding.where(system = '{IDENTIFIER_TYPE}' and (code = 'SIREN' or code = 'SIRET')).exists()",
                ),
            ),
        ),
        *identifier(
            "adeliRang",
            "the ADELI number and rank of the practice",
            system="https://adelirang.esante.gouv.fr",
            type=concept(IDENTIFIER_TYPE, "INTRN"),
        ),
        *identifier(
            "rppsRang",
            "the RPPS number and rank of the practice",
            system="https://rppsrang.esante.gouv.fr",
            type=concept(IDENTIFIER_TYPE, "INTRN"),
        ),
        rule("type", "what kind of structure it is", must=True),
        rule("name", "the name of the structure", must=True),
        rule("address", types=("Address",), like=(ADDRESS,)),
        rule("partOf", to=(ORGANIZATION,)),
    ],
)

_PRACTITIONER = profile(
    PRACTITIONER,
    "Practitioner",
    title="FR Core Practitioner",
    french="Professionnel en France : identifiant national (idNatPs), numéro RPPS, nom d'exercice, qualifications.",
    english="A professional in France: national identifier (idNatPs), RPPS number, name in practice, qualifications.",
    version=VERSION,
    rules=[
        rule("identifier", "the identifiers of the professional", slicing=told_by("system"), must=True),
        *identifier(
            "idNatPs",
            "the national identifier of the professional",
            card="0..1",
            system="urn:oid:1.2.250.1.71.4.2.1",
            type=concept(IDENTIFIER_TYPE, "IDNPS"),
            needs=("type", "value"),
            form=looks_like(
                "idnps-1",
                "A national identifier of a person is 0 and an ADELI, 8 and an RPPS of 11 digits, "
                "or 1, 3, 4, 5 or 6 and the number of a structure and of a person in it",
                "^(0[0-9A-Z]{9}|8[0-9]{11}|[13456][0-9A-Z]+(/.+)?)$",
            ),
        ),
        *identifier(
            "rpps",
            "the RPPS number",
            system="https://rpps.esante.gouv.fr",
            type=concept(IDENTIFIER_TYPE, "RPPS"),
            needs=("type", "value"),
            form=looks_like("rpps-1", "An RPPS number has 11 digits", "^[0-9]{11}$"),
        ),
        rule("name", "the name in practice", must=True),
        rule("address", types=("Address",), like=(ADDRESS,)),
        rule("qualification", "profession, diplomas and skills", must=True),
    ],
)

_RELATED_PERSON = profile(
    RELATED_PERSON,
    "RelatedPerson",
    title="FR Core RelatedPerson",
    french="Personne de l'entourage : représentant légal, aidant, personne de confiance, personne à prévenir.",
    english="A person near the patient: legal representative, caregiver, trusted person, emergency contact.",
    version=VERSION,
    rules=[
        rule("identifier", "the identifier of the person", card="1..1", must=True),
        rule("patient", "whose relation the person is", must=True, to=(PATIENT,)),
        rule("relationship", "the relation and the role", must=True),
        rule("address", types=("Address",), like=(ADDRESS,)),
    ],
)

_APPOINTMENT = profile(
    APPOINTMENT,
    "Appointment",
    title="FR Core Appointment",
    french="Rendez-vous : spécialité, créneau, participants et opérateur qui l'a saisi.",
    english="An appointment: specialty, slot, participants and the operator who entered it.",
    version=VERSION,
    rules=[
        rule("specialty", "the specialty", must=True, required=SPECIALTY_VALUES),
        rule("slot", to=(SLOT,)),
        rule("participant", slicing=told_by("type", kind="pattern"), must=True),
        rule(
            "participant.actor",
            "who or what takes part",
            to=(
                PATIENT,
                PRACTITIONER,
                RELATED_PERSON,
                ORGANIZATION,
                f"{HL7}/PractitionerRole",
                f"{HL7}/HealthcareService",
                f"{HL7}/Location",
                f"{HL7}/Device",
            ),
        ),
        rule("participant:appointmentOperator", "who entered, changed or cancelled the appointment"),
        rule(
            "participant:appointmentOperator.type",
            card="1..",
            patternCodeableConcept=concept(f"{TERMINOLOGY}/v3-ParticipationType", "ENT"),
        ),
        rule(
            "participant:appointmentOperator.actor",
            "a person or a structure",
            to=(ORGANIZATION, PRACTITIONER, PATIENT, RELATED_PERSON),
        ),
    ],
)

_SLOT = profile(
    SLOT,
    "Slot",
    title="FR Core Slot",
    french="Créneau d'un agenda.",
    english="A slot of a schedule.",
    version=VERSION,
    rules=[
        rule("serviceCategory", "the category of the service", card="..1"),
        rule("specialty", "the specialty", required=SPECIALTY_VALUES),
        rule("schedule", "the schedule that the slot is of", must=True, to=(SCHEDULE,)),
        rule("status", must=True),
    ],
)

_SCHEDULE = profile(
    SCHEDULE,
    "Schedule",
    title="FR Core Schedule",
    french="Vacation : période d'un agenda pendant laquelle des créneaux peuvent être ouverts.",
    english="A schedule: the time of an agenda in which slots may be opened.",
    version=VERSION,
    rules=[
        rule("serviceCategory", "the category of the service", card="..1"),
        rule("serviceType", "the service, which an extension carries with its duration", card="..0"),
        rule("specialty", "the specialty", required=SPECIALTY_VALUES),
        rule(
            "actor",
            "whose schedule it is",
            must=True,
            to=(
                f"{HL7}/Device",
                f"{HL7}/PractitionerRole",
                f"{HL7}/HealthcareService",
                f"{HL7}/Location",
                RELATED_PERSON,
                PATIENT,
                PRACTITIONER,
            ),
        ),
    ],
)

_CIS = "https://smt.esante.gouv.fr/terminologie-bdpm"

_IMMUNIZATION = profile(
    IMMUNIZATION,
    "Immunization",
    title="FR Core Immunization",
    french="Vaccination, ou raison pour laquelle un vaccin n'a pas été fait.",
    english="A vaccination, or why a vaccine was not given.",
    version=VERSION,
    rules=[
        rule("vaccineCode", "the product", must=True),
        rule("vaccineCode.coding", slicing=told_by("system"), card="1.."),
        rule("vaccineCode.coding:cis", "the product by its CIS code", card="1..1", must=True),
        rule("vaccineCode.coding:cis.system", card="1..", fixedUri=_CIS),
        rule(
            "vaccineCode.coding:cis.code",
            "the CIS code",
            card="1..",
            constraints=(invariant("cis-1", "A CIS code has 8 digits", "matches('^[0-9]{8}$')"),),
        ),
        rule("patient", "who was vaccinated", must=True, to=(PATIENT,)),
        rule("occurrence[x]", "the date of the vaccination", must=True, types=("dateTime",)),
        rule(
            "site",
            "where on the body",
            required=VACCINATION_SITE,
        ),
        rule(
            "route",
            "how it was given",
            required=VACCINATION_ROUTE,
        ),
        rule(
            "protocolApplied.series",
            "INITIMMUNIZ, BOOSTER or IMMUNIZ",
            constraints=(
                invariant(
                    "series-1",
                    "The series is INITIMMUNIZ (first series), BOOSTER or IMMUNIZ",
                    "$this = 'INITIMMUNIZ' or $this = 'BOOSTER' or $this = 'IMMUNIZ'",
                ),
            ),
        ),
        rule("protocolApplied.doseNumber[x]", "the rank of the dose", must=True),
    ],
)

_ALLERGY = profile(
    ALLERGY,
    "AllergyIntolerance",
    title="FR Core AllergyIntolerance",
    french="Allergie, hypersensibilité non allergique, intolérance ou idiosyncrasie.",
    english="An allergy, non-allergic hypersensitivity, intolerance or idiosyncrasy.",
    version=VERSION,
    rules=[
        rule("clinicalStatus", must=True),
        rule("verificationStatus", must=True),
        rule("code", "what the person reacts to, or that nothing is known", card="1..1", must=True),
        rule("patient", "whose allergy it is", must=True, to=(PATIENT,)),
        rule("onset[x]:onsetPeriod.start", "when it began", card="1.."),
        rule("reaction.note", "the comment", card="..1"),
    ],
)

_CONSENT = profile(
    CONSENT,
    "Consent",
    title="FR Core Consent",
    french="Choix d'une personne : ce qu'elle autorise ou refuse, à qui, pour quoi et jusqu'à quand.",
    english="A choice of a person: what is permitted or denied, to whom, what for and until when.",
    version=VERSION,
    rules=[
        rule("patient", "whose choice it is", must=True, to=(PATIENT,)),
        rule(
            "performer",
            "who agrees or refuses",
            must=True,
            to=(ORGANIZATION, PATIENT, PRACTITIONER, RELATED_PERSON, f"{HL7}/PractitionerRole"),
        ),
        rule("provision", must=True),
    ],
)

PROFILES = [
    *_EXTENSIONS,
    _PATIENT,
    _PATIENT_INS,
    _STRUCTURE,
    _PRACTITIONER,
    _RELATED_PERSON,
    _APPOINTMENT,
    _SLOT,
    _SCHEDULE,
    _IMMUNIZATION,
    _ALLERGY,
    _CONSENT,
]
