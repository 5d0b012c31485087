"""PDSm, sharing of documents: https://interop.esante.gouv.fr/ig/fhir/pdsm

What IHE's MHD asks of a DocumentReference is part of the comprehensive profile here: its parent is of MHD.
"""

from __future__ import annotations

from . import annuaire, fr_core
from .shorthand import HL7, LOINC, ans, extension, extension_slice, invariant, nos, profile, rule, told_by

VERSION = "3.1.1"
COMPREHENSIVE = ans("pdsm", "pdsm-comprehensive-document-reference")
SIMPLIFIED = ans("pdsm", "pdsm-simplified-publish")
IS_ARCHIVED = ans("pdsm", "pdsm-ext-is-archived")

_PATIENT = (fr_core.PATIENT,)
_VALIDATORS = (annuaire.PRACTITIONER, annuaire.PRACTITIONER_ROLE, annuaire.ORGANIZATION)
_ASTM = nos("TRE_A12-NomenclatureASTM")
_URN = nos("TRE_A10-NomenclatureURN")


def _of(key: str, what: str, systems: tuple[str, ...]) -> tuple[dict, ...]:
    """The nomenclatures that the codes of a concept may be taken from."""
    tests = " or ".join(f"system = '{system}'" for system in systems)
    named = ", ".join(systems)
    return (invariant(key, f"A code of {what} is taken from one of {named}", f"coding.all({tests})"),)


_SHA1 = invariant(
    "sha1-1",
    "The hash of a document is its SHA-1, 20 bytes in base64",
    "matches('^[A-Za-z0-9+/]{27}=$')",
)
_TYPE = _of(
    "constr-bind-type",
    "the type",
    (nos("TRE_A05-TypeDocComplementaireCISIS"), LOINC, nos("TRE_A04-Loinc"), _ASTM),
)
_CATEGORY = _of("constr-bind-category", "the class", (nos("TRE_A03-ClasseDocument"), _URN, "urn:ietf:rfc:3986"))
_FACILITY = _of(
    "constr-bind-ProducteurDoc",
    "the facility",
    (nos("TRE_A00-ProducteurDocNonPS"), nos("TRE_R02-SecteurActivite")),
)
_FORMAT = (
    invariant(
        "constr-bind-format",
        "A format is taken from TRE_A06, the format codes of IHE, DICOM or TRE_A10",
        " or ".join(
            f"system = '{system}'"
            for system in (
                nos("TRE_A06-FormatCodeComplementaire"),
                nos("TRE_A11-IheFormatCode"),
                "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                nos("TRE_A09-DICOMuidRegistry"),
                "urn:oid:1.2.840.10008.2.6.1",
                _URN,
                "urn:ietf:rfc:3986",
            )
        ),
    ),
)
_REPLACED = invariant(
    "constr-cdr-rempl",
    "A document replaces one other at most",
    "relatesTo.where(code = 'replaces').count() <= 1",
)


def _rows(*, authors: tuple[str, ...]) -> list[dict]:
    """What both profiles ask."""
    return [
        rule("extension", slicing=told_by("url")),
        extension_slice("isArchived", IS_ARCHIVED, "whether the document is archived"),
        rule("masterIdentifier", "the identifier of the document in the whole world", must=True),
        rule("identifier", "the identifier of the record of the document", must=True),
        rule("type", "the type of the document (JDV_J07)", must=True, constraints=_TYPE),
        rule("category", "the class of the document (JDV_J06)", must=True, constraints=_CATEGORY),
        rule("date", "when the record was made", card="1..", must=True),
        rule("author", "who wrote the document", card="1..", must=True, to=authors),
        rule("authenticator", "who answers for the content", must=True, to=_VALIDATORS),
        rule("custodian", "who keeps the document", card="1..", must=True, to=(annuaire.ORGANIZATION,)),
        rule("description", "the comment on the document", must=True),
        rule(
            "securityLabel",
            "the confidentiality and visibility of the document",
            must=True,
            extensible=nos("JDV_J08-XdsConfidentialityCode-CISIS"),
        ),
        rule("content", must=True),
        rule("content.attachment.hash", "the SHA-1 of the document", constraints=(_SHA1,)),
        rule("content.attachment.title", "the title of the document", card="1.."),
        rule("content.format", "the technical format", constraints=_FORMAT),
        rule("context.facilityType", "the sector of activity (JDV_J02)", constraints=_FACILITY),
        rule("context.practiceSetting", "the setting of the act (JDV_J04)"),
        rule("context.sourcePatientInfo", "the holder of the record", to=_PATIENT),
    ]


PROFILES = [
    extension(
        IS_ARCHIVED,
        on=("DocumentReference", "List"),
        title="PDSm archived",
        french="Distingue les fiches archivées des fiches actives.",
        english="Tells archived records from active ones.",
        version=VERSION,
        value=rule("", "whether it is archived", types=("boolean",)),
    ),
    profile(
        COMPREHENSIVE,
        "DocumentReference",
        title="PDSm Comprehensive DocumentReference",
        french="Fiche complète d'un document, qui est lui-même dans une ressource Binary (ITI-65).",
        english="The full record of a document, which is itself in a Binary (ITI-65).",
        version=VERSION,
        constraints=(_REPLACED,),
        rules=[
            rule("contained", "the author and who answers for the content", card="1..", must=True),
            *_rows(
                authors=(annuaire.PRACTITIONER, annuaire.PRACTITIONER_ROLE, f"{HL7}/Device", fr_core.PATIENT),
            ),
            rule("status", must=True),
            rule("subject", "whose document it is", must=True, to=_PATIENT),
            rule("relatesTo", "the document that this one replaces or completes", must=True),
            rule("content.attachment.contentType", "the media type of the document", card="1.."),
            rule("content.attachment.url", "the Binary, or where the document is fetched"),
            rule("content.attachment.size", "the size of the document in bytes", card="1.."),
            rule("content.attachment.hash", "the SHA-1 of the document", card="1.."),
            rule("context", must=True),
            rule("context.period", "when the act took place", card="1.."),
            rule("context.period.start", "when the act began", card="1.."),
        ],
    ),
    profile(
        SIMPLIFIED,
        "DocumentReference",
        title="PDSm Simplified Publish",
        french="Fiche d'un document qu'elle contient elle-même, en base64 (ITI-105).",
        english="The record of a document that it holds itself, in base64 (ITI-105).",
        version=VERSION,
        constraints=(_REPLACED,),
        rules=[
            rule("modifierExtension", card="0..0"),
            *_rows(
                authors=(
                    annuaire.PRACTITIONER,
                    annuaire.PRACTITIONER_ROLE,
                    annuaire.ORGANIZATION,
                    f"{HL7}/Device",
                    fr_core.PATIENT,
                    fr_core.RELATED_PERSON,
                ),
            ),
            rule("status", "a document is published as current", card="1..1", must=True, fixedCode="current"),
            rule("subject", "whose document it is", card="1..1", must=True, to=_PATIENT),
            rule("content.attachment.contentType", "the media type of the document", card="1..1"),
            rule("content.attachment.data", "the document, in base64", card="1..1"),
            rule("content.attachment.url", "the document is in `data`", card="0..0"),
            rule("context.event", "the act", card="..1"),
        ],
    ),
]
