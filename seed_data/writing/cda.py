"""CDA R2 documents: a medical summary with a structured body, and a letter whose body is its PDF.

CI-SIS "Structuration minimale": the header's order and its national identifiers.
"""

import base64
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from .directory import SPECIALTIES, professional, professional_name, structure
from .identity import french, ins, instant, stable_oid
from .tables import rows, rows_of

_LOINC_OID = "2.16.840.1.113883.6.1"
_SPECIALTY_OID = "1.2.250.1.213.1.1.4.5"
_PERSON_OID, _STRUCTURE_OID = "1.2.250.1.71.4.2.1", "1.2.250.1.71.4.2.2"
_INS_OID = "1.2.250.1.213.1.4.10"
_XDS_SD = "1.3.6.1.4.1.19376.1.2.20"
_MEDICAL_DOCUMENT = "1.3.6.1.4.1.19376.1.5.3.1.1.1"


def wrapped_pdf(row: dict[str, str], sheet: dict, unique_id: str, letter: bytes) -> bytes:
    """A level-1 document: the header, and the PDF in base64."""
    encoded = base64.b64encode(letter).decode()
    body = f'<nonXMLBody><text mediaType="application/pdf" representation="B64">{encoded}</text></nonXMLBody>'
    return _clinical_document(row, sheet, unique_id, _XDS_SD, body)


def summary(row: dict[str, str], sheet: dict, unique_id: str) -> bytes:
    """A level-3 document: illnesses, allergies, treatments and vaccinations, as text and as coded entries."""
    sections = (_problems(row), _allergies(row), _treatments(row), _vaccinations(row))
    body = "".join(f"<component>{section}</component>" for section in sections)
    return _clinical_document(row, sheet, unique_id, _MEDICAL_DOCUMENT, f"<structuredBody>{body}</structuredBody>")


def _clinical_document(row: dict[str, str], sheet: dict, unique_id: str, template: str, body: str) -> bytes:
    kind = next(line for line in rows("document_types") if line["code"] == sheet["type"])
    at = _timestamp(sheet["date"])
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">',
        '<realmCode code="FR"/>',
        '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>',
        '<templateId root="2.16.840.1.113883.2.8.2.1"/>',
        '<templateId root="1.2.250.1.213.1.1.1.1"/>',
        f'<templateId root="{template}"/>',
        f'<id root="{unique_id}"/>',
        _code("code", kind["code"], kind["label"], _LOINC_OID, name="LOINC"),
        f"<title>{escape(sheet['title'])}</title>",
        f'<effectiveTime value="{at}"/>',
        '<confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>',
        '<languageCode code="fr-FR"/>',
        f'<setId root="{stable_oid("set", row["id"], sheet["id"])}"/>',
        '<versionNumber value="1"/>',
        _record_target(row),
        f'<author><time value="{at}"/>{_assigned_author(sheet)}</author>',
        _custodian(sheet),
        _legal_authenticator(sheet, at),
        _documentation_of(sheet, at),
        _component_of(sheet, at),
        f"<component>{body}</component>",
        "</ClinicalDocument>",
    ]
    return ("\n".join(parts) + "\n").encode()


def _timestamp(day: str, hour: str = "12:00") -> str:
    at = instant(day, hour)
    return f"{at[:4]}{at[5:7]}{at[8:10]}{at[11:13]}{at[14:16]}00{at[19:22]}{at[23:]}"


def _code(tag: str, code: str, label: str, system: str, *, name: str = "") -> str:
    named = f' codeSystemName="{name}"' if name else ""
    return f'<{tag} code="{code}" displayName={quoteattr(label)} codeSystem="{system}"{named}/>'


def _address(place: dict[str, str]) -> str:
    street = f"<streetAddressLine>{escape(place['line'])}</streetAddressLine>"
    postal, city = place["postal"], escape(place["city"])
    return f"<addr>{street}<postalCode>{postal}</postalCode><city>{city}</city><country>FRANCE</country></addr>"


def _record_target(row: dict[str, str]) -> str:
    phone = f'<telecom value="tel:{row["phone"]}" use="{"MC" if row["phone"].startswith("06") else "H"}"/>'
    first, usual = row["given"].split()[0], row["usual_family"] or row["family"]
    name = (
        f'<name><family qualifier="BR">{escape(row["family"])}</family><given>{escape(row["given"])}</given>'
        f'<given qualifier="BR">{escape(first)}</given><family qualifier="CL">{escape(usual)}</family></name>'
    )
    sex = {"male": ("M", "Masculin"), "female": ("F", "Féminin")}[row["sex"]]
    birth_place = f"<county>{row['birth_insee']}</county><city>{escape(row['birth_city'])}</city>"
    return (
        f'<recordTarget><patientRole><id extension="{ins(row)}" root="{_INS_OID}"/>{_address(row)}'
        f'{phone if row["phone"] else ""}<patient classCode="PSN">{name}'
        f"{_code('administrativeGenderCode', *sex, '2.16.840.1.113883.5.1')}"
        f'<birthTime value="{row["birth_date"].replace("-", "")}"/>'
        f"<birthplace><place><addr>{birth_place}</addr></place></birthplace>"
        "</patient></patientRole></recordTarget>"
    )


def _person_name(author: dict[str, str]) -> str:
    suffix = f"<suffix>{author['title']}</suffix>" if author["title"] else ""
    return (
        f"<name><prefix>{author['prefix']}</prefix><given>{escape(author['given'])}</given>"
        f"<family>{escape(author['family'])}</family>{suffix}</name>"
    )


def _organization(identifier: str) -> str:
    place = structure(identifier)
    return (
        f'<id root="{_STRUCTURE_OID}" extension="1{place["finess"]}"/><name>{escape(place["name"])}</name>'
        f'<telecom value="tel:{place["phone"]}" use="WP"/>{_address(place)}'
    )


def _assigned_author(sheet: dict) -> str:
    author = professional(sheet["author"])
    label = f"Médecin - {SPECIALTIES[author['specialty']]} (SM)"
    return (
        f'<assignedAuthor><id root="{_PERSON_OID}" extension="8{author["rpps"]}"/>'
        f"{_code('code', 'G15_10/' + author['specialty'], label, _SPECIALTY_OID)}"
        f'<telecom value="tel:{author["phone"]}" use="WP"/>'
        f"<assignedPerson>{_person_name(author)}</assignedPerson>"
        f"<representedOrganization>{_organization(sheet['custodian'])}</representedOrganization></assignedAuthor>"
    )


def _custodian(sheet: dict) -> str:
    organization = _organization(sheet["custodian"])
    keeper = f"<representedCustodianOrganization>{organization}</representedCustodianOrganization>"
    return f"<custodian><assignedCustodian>{keeper}</assignedCustodian></custodian>"


def _legal_authenticator(sheet: dict, at: str) -> str:
    author = professional(sheet["author"])
    return (
        f'<legalAuthenticator><time value="{at}"/><signatureCode code="S"/>'
        f'<assignedEntity><id root="{_PERSON_OID}" extension="8{author["rpps"]}"/>'
        f"<assignedPerson>{_person_name(author)}</assignedPerson></assignedEntity></legalAuthenticator>"
    )


def _documentation_of(sheet: dict, at: str) -> str:
    author, setting = professional(sheet["author"]), sheet["setting"]
    label = {"AMBULATOIRE": "Ambulatoire", "ETABLISSEMENT": "Etablissement de santé"}[setting]
    place = structure(sheet["custodian"])
    return (
        f'<documentationOf><serviceEvent><effectiveTime><low value="{at}"/></effectiveTime>'
        f'<performer typeCode="PRF"><assignedEntity><id root="{_PERSON_OID}" extension="8{author["rpps"]}"/>'
        f"<assignedPerson>{_person_name(author)}</assignedPerson><representedOrganization>"
        f'<id root="{_STRUCTURE_OID}" extension="1{place["finess"]}"/><name>{escape(place["name"])}</name>'
        f"{_code('standardIndustryClassCode', setting, label, '1.2.250.1.213.1.1.4.9')}"
        "</representedOrganization></assignedEntity></performer></serviceEvent></documentationOf>"
    )


def _component_of(sheet: dict, at: str) -> str:
    sector = structure(sheet["custodian"])["sector"]
    return (
        f'<componentOf><encompassingEncounter><effectiveTime><low value="{at}"/></effectiveTime>'
        f'<location><healthCareFacility><code code="{sector}" codeSystem="1.2.250.1.71.4.2.4"/>'
        "</healthCareFacility></location></encompassingEncounter></componentOf>"
    )


def _section(template: str, code: str, title: str, lines: Sequence[tuple[str, ...]], entries: list[str]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return (
        f'<section><templateId root="{template}"/><id root="{stable_oid(template, title, str(lines))}"/>'
        f"{_code('code', code, title, _LOINC_OID, name='LOINC')}<title>{escape(title)}</title>"
        f"<text><table><tbody>{cells or '<tr><td>Aucun</td></tr>'}</tbody></table></text>"
        f"{''.join(f'<entry>{entry}</entry>' for entry in entries)}</section>"
    )


def _problems(row: dict[str, str]) -> str:
    facts = [fact for fact in rows_of("conditions", row["id"]) if not fact["end"]]
    entries = [
        '<observation classCode="OBS" moodCode="EVN">'
        f'<id root="{stable_oid("problem", row["id"], fact["id"])}"/>'
        f"{_code('code', '64572001', 'Maladie', '2.16.840.1.113883.6.96', name='SNOMED CT')}"
        f'<statusCode code="completed"/><effectiveTime><low value="{fact["start"].replace("-", "")}"/></effectiveTime>'
        f'<value xsi:type="CD" code="{fact["icd10"]}" displayName={quoteattr(fact["name"])} '
        'codeSystem="2.16.840.1.113883.6.3" codeSystemName="CIM-10"/></observation>'
        for fact in facts
    ]
    lines = [(fact["name"], f"depuis {french(fact['start'])}") for fact in facts]
    return _section("1.3.6.1.4.1.19376.1.5.3.1.3.6", "11450-4", "Problèmes actifs", lines, entries)


def _allergies(row: dict[str, str]) -> str:
    facts = [fact for fact in rows_of("allergies", row["id"]) if fact["status"] == "active"]
    entries = [
        '<observation classCode="OBS" moodCode="EVN">'
        f'<id root="{stable_oid("allergy", row["id"], fact["id"])}"/>'
        f'{_code("code", "ALG", "Allergie", "2.16.840.1.113883.5.4")}<statusCode code="completed"/>'
        f'<value xsi:type="CD" nullFlavor="OTH"><originalText>{escape(fact["name"])}</originalText></value>'
        "</observation>"
        for fact in facts
    ]
    lines = [(fact["name"], fact["reaction"]) for fact in facts]
    return _section("1.3.6.1.4.1.19376.1.5.3.1.3.13", "48765-2", "Allergies et intolérances", lines, entries)


def _treatments(row: dict[str, str]) -> str:
    facts = [fact for fact in rows_of("medications", row["id"]) if not fact["end"]]
    entries = [
        '<substanceAdministration classCode="SBADM" moodCode="INT">'
        f'<id root="{stable_oid("treatment", row["id"], fact["id"])}"/><statusCode code="active"/>'
        f'<effectiveTime xsi:type="IVL_TS"><low value="{fact["start"].replace("-", "")}"/></effectiveTime>'
        f"{_product(fact['atc'], fact['name'])}</substanceAdministration>"
        for fact in facts
    ]
    lines = [(fact["name"], fact["dosage"]) for fact in facts]
    return _section("1.3.6.1.4.1.19376.1.5.3.1.3.19", "10160-0", "Traitements", lines, entries)


def _vaccinations(row: dict[str, str]) -> str:
    done = [shot for shot in rows_of("vaccinations", row["id"]) if shot["status"] == "completed"]
    facts = [(shot, next(v for v in rows("vaccines") if v["id"] == shot["vaccine"])) for shot in done]
    entries = [
        '<substanceAdministration classCode="SBADM" moodCode="EVN">'
        f'<id root="{stable_oid("vaccination", row["id"], shot["vaccine"], shot["date"])}"/>'
        f'<statusCode code="completed"/><effectiveTime value="{shot["date"].replace("-", "")}"/>'
        f"{_product(vaccine['atc'], vaccine['name'])}</substanceAdministration>"
        for shot, vaccine in facts
    ]
    lines = [
        (french(shot["date"]), vaccine["name"], professional_name(shot["by"]) if shot["by"] else "d'après le carnet")
        for shot, vaccine in facts
    ]
    return _section("1.3.6.1.4.1.19376.1.5.3.1.3.23", "11369-6", "Vaccinations", lines, entries)


def _product(atc: str, name: str) -> str:
    code = _code("code", atc, name, "2.16.840.1.113883.6.73", name="ATC")
    material = f"<manufacturedMaterial>{code}</manufacturedMaterial>"
    return f"<consumable><manufacturedProduct>{material}</manufacturedProduct></consumable>"
