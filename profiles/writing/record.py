"""The record's own: what no guide profiles, the messages above all, and what it asks beyond a guide."""

from __future__ import annotations

from . import fr_core
from .shorthand import HL7, OWN, TERMINOLOGY, concept, extension, extension_slice, invariant, profile, rule, told_by

VERSION = "1.0.0"
MESSAGE = f"{OWN}/StructureDefinition/message"
ACCESS_CONSENT = f"{OWN}/StructureDefinition/access-consent"
VACCINATION = f"{OWN}/StructureDefinition/vaccination"
ALLERGY = f"{OWN}/StructureDefinition/allergy"
SPACE_STATUS = f"{OWN}/StructureDefinition/space-status"
APPOINTMENT_AUTHOR = f"{OWN}/StructureDefinition/appointment-author"
AGENDA_ENTRY = f"{OWN}/StructureDefinition/agenda-entry"

_KIND = f"{OWN}/CodeSystem/consent-kind"
_ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
_REASON = f"{TERMINOLOGY}/v3-ActReason"
_EMERGENCY = f"{OWN}/CodeSystem/emergency-consent"
_OF_NOTHING = f"code.coding.where(system = '{_ABSENT}').exists()"


def _kind(*codes: str) -> str:
    tests = " or ".join(f"code = '{code}'" for code in codes)
    return f"category.coding.where(system = '{_KIND}' and ({tests})).exists()"


PROFILES = [
    extension(
        SPACE_STATUS,
        on=("Patient",),
        title="Space status",
        french="État de l'espace de la personne : ouvert, opposé, fermé…",
        english="The state of the person's space: open, opposed, closed…",
        version=VERSION,
        parts=(
            ("status", "1..1", rule("", "the state of the space", types=("code",))),
            ("since", "0..1", rule("", "since when", types=("date",))),
        ),
    ),
    extension(
        APPOINTMENT_AUTHOR,
        on=("Appointment",),
        title="Appointment author",
        french="Auteur du rendez-vous : la personne (PATIENT) ou un éditeur (EDITOR_SOLUTION).",
        english="Who entered the appointment: the person (PATIENT) or a booking platform (EDITOR_SOLUTION).",
        version=VERSION,
        value=rule(
            "",
            "PATIENT or EDITOR_SOLUTION",
            types=("code",),
            constraints=(
                invariant(
                    "agenda-1",
                    "The author of an appointment is PATIENT or EDITOR_SOLUTION",
                    "$this = 'PATIENT' or $this = 'EDITOR_SOLUTION'",
                ),
            ),
        ),
    ),
    profile(
        AGENDA_ENTRY,
        "Appointment",
        base=fr_core.APPOINTMENT,
        title="Agenda entry",
        french="Rendez-vous de l'agenda de la personne, saisi par elle ou par un éditeur.",
        english="An appointment in the person's agenda, entered by them or by a booking platform.",
        version=VERSION,
        constraints=(
            invariant(
                "agenda-2",
                "The person takes part in every appointment of their agenda",
                "participant.actor.where(reference.matches('(^|/)Patient/') or type = 'Patient').exists()",
            ),
        ),
        rules=[
            rule("extension", slicing=told_by("url")),
            extension_slice("author", APPOINTMENT_AUTHOR, "who entered the appointment", card="1..1"),
            rule("description", "the title, of 100 characters at most", maxLength=100),
            rule("comment", "the note, of 1000 characters at most", maxLength=1000),
            rule("start", "when it begins", card="1..", must=True),
        ],
    ),
    profile(
        MESSAGE,
        "Communication",
        title="Message",
        french="Message entre un professionnel et la personne : un professionnel ouvre, l'objet `[FIN]` clôt.",
        english="A message between a professional and the person: a professional opens, `[FIN]` as its topic closes.",
        version=VERSION,
        constraints=(
            invariant(
                "message-1",
                "A conversation is opened by a professional or a structure; what the person sends is an answer",
                "sender.reference.where(matches('(^|/)(Patient|RelatedPerson)/')).empty() or inResponseTo.exists()",
            ),
            invariant(
                "message-2",
                "The person, or who represents them, is the sender of a message or one of those who receive it",
                "subject.reference.empty() or subject.reference in (sender.reference | recipient.reference)"
                " or (sender.reference | recipient.reference).where(matches('(^|/)RelatedPerson/')).exists()",
            ),
        ),
        rules=[
            rule("identifier", "the conversation", card="1..1", must=True),
            rule("identifier.system", "the register of conversations", card="1.."),
            rule("identifier.value", "the conversation", card="1.."),
            rule("inResponseTo", "the message that is answered", must=True, to=(f"{HL7}/Communication",)),
            rule("subject", "whose record the message is in", card="1..1", must=True, to=(fr_core.PATIENT,)),
            rule("topic", "the subject line, `[FIN]` in the message that closes", card="1..", must=True),
            rule("topic.text", "the subject line", card="1.."),
            rule("sent", "when it was sent", must=True),
            rule(
                "recipient",
                "to whom",
                card="1..",
                must=True,
                to=(
                    fr_core.PATIENT,
                    fr_core.RELATED_PERSON,
                    fr_core.PRACTITIONER,
                    f"{HL7}/PractitionerRole",
                    fr_core.ORGANIZATION,
                ),
            ),
            rule(
                "sender",
                "from whom",
                card="1..",
                must=True,
                to=(
                    fr_core.PATIENT,
                    fr_core.RELATED_PERSON,
                    fr_core.PRACTITIONER,
                    f"{HL7}/PractitionerRole",
                    fr_core.ORGANIZATION,
                ),
            ),
            rule("payload", "the text, and the documents that go with it", card="1..", must=True),
            rule("payload.content[x]:contentReference", "a document", to=(f"{HL7}/DocumentReference", f"{HL7}/Binary")),
        ],
    ),
    profile(
        ACCESS_CONSENT,
        "Consent",
        base=fr_core.CONSENT,
        title="Access consent",
        french="Choix du titulaire sur l'accès à son espace : autorisation, blocage, urgence, aidant, ouverture.",
        english="A choice of the holder on access to their space: permit, block, emergency, caregiver, opening.",
        version=VERSION,
        constraints=(
            invariant(
                "consent-1",
                "A permit or a block (access, administrator, caregiver) names whom it is about",
                f"{_kind('access', 'administrator', 'caregiver')}.not() or provision.actor.exists()",
            ),
            invariant(
                "consent-2",
                "A choice for emergencies (BTG, ETREAT, MASKED) has its kind as purpose",
                f"{_kind('BTG', 'ETREAT', 'MASKED')}.not() or provision.purpose.where((system = '{_REASON}' or "
                f"system = '{_EMERGENCY}') and code in %resource.category.coding.where(system = '{_KIND}').code)"
                ".exists()",
            ),
        ),
        rules=[
            rule(
                "scope",
                "patient-privacy",
                patternCodeableConcept=concept(f"{TERMINOLOGY}/consentscope", "patient-privacy"),
            ),
            rule("category", slicing=told_by("coding.system", rules="open"), must=True),
            rule("category:kind", "the kind of choice", card="1..1", must=True),
            rule("category:kind.coding", card="1..1"),
            rule("category:kind.coding.system", card="1..", fixedUri=_KIND),
            rule(
                "category:kind.coding.code",
                "access, administrator, caregiver, space, BTG, ETREAT, MASKED or new-documents",
                card="1..",
                constraints=(
                    invariant(
                        "consent-3",
                        "The kind of a choice is access, administrator, caregiver, space, BTG, ETREAT, MASKED "
                        "or new-documents",
                        "$this in ('access' | 'administrator' | 'caregiver' | 'space' | 'BTG' | 'ETREAT' | 'MASKED' "
                        "| 'new-documents')",
                    ),
                ),
            ),
            rule("patient", "whose space it is about", card="1..1"),
            rule("dateTime", "when the choice was made", card="1..1", must=True),
            rule("performer", "who chose", card="1.."),
            rule("provision", "what is chosen", card="1..1"),
            rule("provision.type", "permit or deny", card="1..1", must=True),
            rule("provision.period", "from when, and until when", card="1..1", must=True),
            rule("provision.period.start", "from when", card="1..1"),
            rule("provision.actor", "whom it is about", must=True),
            rule(
                "provision.actor.reference",
                "whom it is about",
                to=(
                    fr_core.PRACTITIONER,
                    f"{HL7}/PractitionerRole",
                    fr_core.ORGANIZATION,
                    f"{HL7}/CareTeam",
                    fr_core.RELATED_PERSON,
                    fr_core.PATIENT,
                    f"{HL7}/Group",
                ),
            ),
            rule("provision.provision", "a choice has no exceptions: it is one more choice", card="0..0"),
        ],
    ),
    profile(
        VACCINATION,
        "Immunization",
        title="Vaccination",
        french="Vaccination du profil médical, saisie par la personne ou par un professionnel.",
        english="A vaccination of the medical profile, entered by the person or by a professional.",
        version=VERSION,
        rules=[
            rule("vaccineCode", "the vaccine", must=True, extensible=f"{OWN}/ValueSet/vaccine-code"),
            rule("patient", "who was vaccinated", must=True, to=(fr_core.PATIENT,)),
            rule("occurrence[x]", "the date of the vaccination", must=True, types=("dateTime",)),
            rule("lotNumber", "the lot, of 100 characters at most", must=True, maxLength=100),
            rule("site", "where on the body", required=fr_core.VACCINATION_SITE),
            rule("route", "how it was given", required=fr_core.VACCINATION_ROUTE),
            rule("note.text", "the comment, of 3000 characters at most", maxLength=3000),
            rule("protocolApplied.targetDisease", "the disease", extensible=f"{OWN}/ValueSet/vaccination-disease"),
        ],
    ),
    profile(
        ALLERGY,
        "AllergyIntolerance",
        base=fr_core.ALLERGY,
        title="Allergy",
        french="Allergie du profil médical, ou déclaration qu'aucune n'est connue.",
        english="An allergy of the medical profile, or the statement that none is known.",
        version=VERSION,
        constraints=(
            invariant(
                "allergy-1",
                "Who has no known allergy has neither reactions nor a criticality",
                f"{_OF_NOTHING}.not() or (reaction.empty() and criticality.empty())",
            ),
        ),
        rules=[
            rule(
                "code",
                "the agent, or that none is known",
                constraints=(
                    invariant(
                        "allergy-2",
                        "Of the absence codes there are no-known-allergies, no-known-medication-allergies, "
                        "no-known-environmental-allergies, no-known-food-allergies and no-allergy-info",
                        f"coding.where(system = '{_ABSENT}').all(code in ('no-known-allergies' | "
                        "'no-known-medication-allergies' | 'no-known-environmental-allergies' | "
                        "'no-known-food-allergies' | 'no-allergy-info'))",
                    ),
                    invariant(
                        "allergy-3",
                        "The name of an allergy has 50 characters at most",
                        "text.empty() or text.length() <= 50",
                    ),
                ),
            ),
            rule("recordedDate", "when it was recorded", must=True),
        ],
    ),
]
