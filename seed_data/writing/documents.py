"""The documents of the record: a DocumentReference and its Binary, from letters, drawings and CDA.

PDSm: a sheet carries type, class, author, custodian, labels, period and setting; the content is fetched by its url.
"""

import base64
import hashlib

from . import cda, pdf, terms
from .directory import (
    SECTORS,
    organization_reference,
    practitioner_reference,
    professional,
    professional_name,
    role_reference,
    structure,
)
from .identity import french, ins, instant, shown, stable_oid
from .people import patient_reference
from .tables import FILES, document, rows
from .terms import coding, concept, reference, without_empty

_LABELS = {
    "MASQUE_PS": "Masqué aux professionnels de santé",
    "INVISIBLE_PATIENT": "Non visible par le patient",
    "INVISIBLE_REPRESENTANTS_LEGAUX": "Non visible par les représentants légaux du patient",
}
_SETTINGS = {
    "AMBULATOIRE": "Ambulatoire",
    "ETABLISSEMENT": "Etablissement de santé",
    "DEPISTAGE": "Dépistage",
    "ESSMS": "Etablissement ou service social ou médico-social",
    "AMO": "Organisme d'assurance maladie obligatoire",
}
_FORMATS = {
    "cda-structured": ("urn:ihe:pcc:xds-ms:2007", "XDS Medical Summaries"),
    "cda-pdf": ("urn:ihe:iti:xds-sd:pdf:2008", "PDF embedded in CDA per XDS-SD profile"),
}
_PLAIN = ("urn:ihe:iti:xds:2017:mimeTypeSufficient", "mimeType Sufficient")
_CONTENT_TYPES = {
    "pdf": "application/pdf",
    "jpeg": "image/jpeg",
    "text": "text/plain",
    "cda-structured": "text/xml",
    "cda-pdf": "text/xml",
}


def documents(row: dict[str, str]) -> list[dict]:
    """Each document of a person, its Binary before its DocumentReference."""
    sheets = [sheet for sheet in document("documents") if sheet["person"] == row["id"]]
    return [resource for sheet in sheets for resource in _document(row, sheet)]


def _document(row: dict[str, str], sheet: dict) -> list[dict]:
    identifier, content = f"{row['id']}-{sheet['id']}", _content(row, sheet)
    binary = {
        "resourceType": "Binary",
        "id": identifier,
        "contentType": _CONTENT_TYPES[sheet["kind"]],
        "securityContext": reference(f"Patient/{row['id']}"),
        "data": base64.b64encode(content).decode(),
    }
    kind = next(line for line in rows("document_types") if line["code"] == sheet["type"])
    at = instant(sheet["date"], sheet.get("time", "12:00"))
    replaced = sheet.get("replaces")
    attachment = {
        "contentType": binary["contentType"],
        "language": "fr-FR",
        "url": f"Binary/{identifier}",
        "size": len(content),
        "hash": base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode(),
        "title": sheet["title"],
        "creation": at,
    }
    archived = {
        "url": "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived",
        "valueBoolean": True,
    }
    entry = {
        "resourceType": "DocumentReference",
        "id": identifier,
        "extension": [archived] if sheet.get("archived") else [],
        "masterIdentifier": {"system": terms.URI, "value": f"urn:oid:{_unique_id(row, sheet)}"},
        "identifier": [{"system": f"{terms.OWN}/document", "value": identifier}],
        "status": sheet.get("status", "current"),
        "docStatus": "final",
        "type": concept(coding(_type_system(kind), kind["code"], kind["label"])),
        "category": [concept(coding(terms.DOCUMENT_CLASS, kind["class"], kind["class_label"]))],
        "subject": patient_reference(row),
        "date": at,
        "author": [_author(row, sheet)],
        "authenticator": practitioner_reference(sheet["author"]) if _by_professional(sheet) else None,
        "custodian": organization_reference(sheet["custodian"]),
        "relatesTo": [_replaces(row, replaced)] if replaced else [],
        "description": sheet["title"],
        "securityLabel": [
            concept(coding(terms.CONFIDENTIALITY, "N", "normal"), text="Normal"),
            *(concept(coding(terms.VISIBILITY, label, _LABELS[label])) for label in sheet.get("labels", [])),
        ],
        "content": [
            {
                "attachment": attachment,
                "format": coding(terms.FORMAT_CODE, *_FORMATS.get(sheet["kind"], _PLAIN)),
            }
        ],
        "context": without_empty(
            {
                "encounter": [reference(f"Encounter/{row['id']}-{sheet['stay']}")] if "stay" in sheet else [],
                "period": {"start": instant(sheet.get("from", sheet["date"])), "end": instant(sheet["date"])},
                "facilityType": _facility(sheet),
                "practiceSetting": _setting(sheet),
                "sourcePatientInfo": patient_reference(row),
            }
        ),
    }
    return [binary, without_empty(entry)]


def _by_professional(sheet: dict) -> bool:
    return sheet["author"] != "patient" and not sheet["author"].startswith("RelatedPerson/")


def _type_system(kind: dict[str, str]) -> str:
    return {"LOINC": terms.LOINC, "TRE_A05": terms.DOCUMENT_TYPE}[kind["system"]]


def _unique_id(row: dict[str, str], sheet: dict) -> str:
    return stable_oid("document", row["id"], sheet["id"])


def _replaces(row: dict[str, str], replaced: str) -> dict:
    return {"code": "replaces", "target": reference(f"DocumentReference/{row['id']}-{replaced}")}


def _author(row: dict[str, str], sheet: dict) -> dict:
    if sheet["author"] == "patient":
        return patient_reference(row)
    return reference(sheet["author"]) if not _by_professional(sheet) else role_reference(sheet["author"])


def _facility(sheet: dict) -> dict:
    if not _by_professional(sheet):
        return concept(coding(terms.PRODUCER, "EXP_PATIENT", "Expression personnelle du patient"))
    sector = structure(sheet["custodian"])["sector"]
    return concept(coding(terms.SECTOR, sector, SECTORS[sector]))


def _setting(sheet: dict) -> dict:
    if not _by_professional(sheet):
        return concept(coding(terms.PRODUCER, "EXP_PATIENT", "Expression personnelle du patient"))
    return concept(coding(terms.PRACTICE_SETTING, sheet["setting"], _SETTINGS[sheet["setting"]]))


def _content(row: dict[str, str], sheet: dict) -> bytes:
    if sheet["kind"] == "jpeg":
        return (FILES / sheet["file"]).read_bytes()
    if sheet["kind"] == "text":
        return "\n".join([sheet["title"], "", *sheet["body"], ""]).encode()
    if sheet["kind"] == "cda-structured":
        return cda.summary(row, sheet, _unique_id(row, sheet))
    if sheet["kind"] == "cda-pdf":
        return cda.wrapped_pdf(row, sheet, _unique_id(row, sheet), _letter(row, sheet))
    return _letter(row, sheet)


def _letter(row: dict[str, str], sheet: dict) -> bytes:
    return pdf.letter(
        title=sheet["title"],
        author=professional_name(sheet["author"]) if _by_professional(sheet) else shown(row),
        created=f"{sheet['date'].replace('-', '')}120000",
        head=_head(row, sheet),
        to=[
            f"{shown(row)}",
            f"{'Née' if row['sex'] == 'female' else 'Né'} le {french(row['birth_date'])}",
            f"INS (test) : {ins(row)}",
            f"Le {french(sheet['date'])}",
        ],
        body=[*sheet["body"], "", *_signature(sheet)],
    )


def _head(row: dict[str, str], sheet: dict) -> list[str]:
    place = structure(sheet["custodian"]) if _by_professional(sheet) else row
    address = f"{place['line']}, {place['postal']} {place['city']}"
    if not _by_professional(sheet):
        return [shown(row), address]
    return [place["name"], address, f"Téléphone : {place['phone']}"]


def _signature(sheet: dict) -> list[str]:
    if not _by_professional(sheet):
        return []
    return [professional_name(sheet["author"]), f"RPPS {professional(sheet['author'])['rpps']}"]
