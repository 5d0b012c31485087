"""Annuaire Santé, the directory of professionals and structures: https://interop.esante.gouv.fr/ig/fhir/annuaire"""

from __future__ import annotations

from . import fr_core
from .shorthand import ans, extension, extension_slice, invariant, profile, rule, told_by

VERSION = "1.1.0"
PRACTITIONER = ans("annuaire", "as-practitioner")
PRACTITIONER_ROLE = ans("annuaire", "as-practitionerrole")
ORGANIZATION = ans("annuaire", "as-organization")
MAILBOX = ans("annuaire", "as-ext-mailbox-mss-metadata")

_MAILBOX_ROWS = [
    rule(
        "telecom",
        "how to reach them",
        must=True,
        constraints=(
            invariant(
                "mss-1",
                "What is described as an MSSanté mailbox is an e-mail address of the type MSSANTE",
                f"extension('{MAILBOX}').empty() or (system = 'email' and "
                f"extension('{fr_core.EMAIL_TYPE}').value.where(code = 'MSSANTE').exists())",
            ),
        ),
    ),
    rule("telecom.extension", slicing=told_by("url")),
    extension_slice("emailType", fr_core.EMAIL_TYPE, "the kind of mailbox", at="telecom."),
    extension_slice("mailbox-mss-metadata", MAILBOX, "the MSSanté mailbox", at="telecom."),
]

PROFILES = [
    extension(
        MAILBOX,
        on=("ContactPoint",),
        title="Annuaire MSSanté mailbox",
        french="Boîte aux lettres MSSanté : type, description, liste rouge.",
        english="An MSSanté mailbox: its type, description, and whether it is unlisted.",
        version=VERSION,
        parts=(
            (
                "type",
                "0..1",
                rule(
                    "",
                    "personal, of a structure, of an application or of a practice",
                    types=("CodeableConcept",),
                    constraints=(
                        invariant(
                            "mss-2",
                            "The type of an MSSanté mailbox is PER, ORG, APP or CAB",
                            "coding.where(code = 'PER' or code = 'ORG' or code = 'APP' or code = 'CAB').exists()",
                        ),
                    ),
                ),
            ),
            ("description", "0..1", rule("", "what the mailbox is for", types=("string",))),
            ("responsible", "0..1", rule("", "who answers for it", types=("string",))),
            ("service", "0..1", rule("", "the service it is of", types=("string",))),
            ("phone", "0..1", rule("", "the telephone number of the one who answers for it", types=("string",))),
            ("listeRouge", "0..1", rule("", "whether it is unlisted", types=("boolean",))),
        ),
    ),
    profile(
        PRACTITIONER,
        "Practitioner",
        base=fr_core.PRACTITIONER,
        title="Annuaire Practitioner",
        french="Professionnel tel que l'Annuaire Santé le décrit : nom d'exercice, identifiants, qualifications.",
        english="A professional as Annuaire Santé describes them: name in practice, identifiers, qualifications.",
        version=VERSION,
        rules=[
            rule("active", "false when the professional is withdrawn", must=True),
            rule("name.family", "the family name in practice", must=True),
            rule("name.given", "the given name in practice", must=True),
            rule("name.suffix", "the title in practice", must=True),
            *_MAILBOX_ROWS,
            rule(
                "qualification.code",
                "the profession, diploma or skill",
                must=True,
                constraints=(
                    invariant(
                        "as-qualification-1",
                        "A coding of a qualification has a system and a code",
                        "coding.all(system.exists() and code.exists())",
                    ),
                ),
            ),
            rule("communication", "the languages that they speak"),
        ],
    ),
    profile(
        PRACTITIONER_ROLE,
        "PractitionerRole",
        title="Annuaire PractitionerRole",
        french="Situation d'exercice : profession, fonction, structure, boîtes aux lettres.",
        english="A situation of practice: profession, function, structure, mailboxes.",
        version=VERSION,
        rules=[
            rule("identifier", "the number of the activity in RPPS", slicing=told_by("system"), must=True),
            rule("identifier:rpps", "the number of the activity in RPPS", card="0..1"),
            rule("identifier:rpps.system", card="1..", fixedUri="https://rpps.esante.gouv.fr"),
            rule("identifier:rpps.value", "the number of the activity", card="1.."),
            rule("practitioner", "who practises", card="1..", must=True, to=(PRACTITIONER,)),
            rule("organization", "where they practise", must=True, to=(ORGANIZATION,)),
            rule(
                "code",
                "profession, kind and mode of activity, function",
                must=True,
                constraints=(
                    invariant(
                        "as-code-1",
                        "A coding of a situation of practice has a system and a code",
                        "coding.all(system.exists() and code.exists())",
                    ),
                ),
            ),
            rule("specialty", "the specialty", must=True),
            *_MAILBOX_ROWS,
        ],
    ),
    profile(
        ORGANIZATION,
        "Organization",
        base=fr_core.ORGANIZATION,
        title="Annuaire Organization",
        french="Structure telle que l'Annuaire Santé la décrit : identifiants, secteur d'activité, catégorie.",
        english="A structure as Annuaire Santé describes it: identifiers, sector of activity, category.",
        version=VERSION,
        rules=[
            rule("active", "false when the structure is withdrawn", must=True),
            rule(
                "type",
                constraints=(
                    invariant(
                        "as-type-1",
                        "A coding of the type of a structure has a system and a code",
                        "coding.all(system.exists() and code.exists())",
                    ),
                ),
            ),
            *_MAILBOX_ROWS,
            rule("partOf", "the legal entity", to=(ORGANIZATION,)),
        ],
    ),
]
