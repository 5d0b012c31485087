"""What the French guides take from HL7: vital signs, the place of birth, the device of a person."""

from __future__ import annotations

from .shorthand import HL7, TERMINOLOGY, concept, extension, invariant, profile, rule, told_by

VITAL_SIGNS = f"{HL7}/vitalsigns"
BIRTH_PLACE = f"{HL7}/patient-birthPlace"
PHD_DEVICE = "http://hl7.org/fhir/uv/phd/StructureDefinition/PhdDevice"

PROFILES = [
    profile(
        VITAL_SIGNS,
        "Observation",
        title="Vital signs",
        french="Signes vitaux de FHIR R4, dont dérivent les mesures.",
        english="Vital signs of FHIR R4, from which the measures are derived.",
        version="4.0.1",
        constraints=(
            invariant(
                "vs-2",
                "A vital sign has a value or says why there is none, unless it has components or members",
                "component.exists() or hasMember.exists() or value.exists() or dataAbsentReason.exists()",
            ),
        ),
        rules=[
            rule("category", slicing=told_by("$this", kind="pattern"), card="1.."),
            rule(
                "category:VSCat",
                "the category vital-signs",
                card="1..1",
                must=True,
                patternCodeableConcept=concept(f"{TERMINOLOGY}/observation-category", "vital-signs"),
            ),
            rule("code", "what was measured", must=True),
            rule("subject", "whose measure it is", card="1..1", must=True, to=(f"{HL7}/Patient",)),
            rule("effective[x]", "when it was measured", card="1..1", must=True, types=("dateTime", "Period")),
            rule(
                "effective[x]:effectiveDateTime",
                "to the day at least",
                types=("dateTime",),
                constraints=(
                    invariant(
                        "vs-1", "The time of a vital sign is precise to the day", "$this.toString().length() >= 8"
                    ),
                ),
            ),
            rule("value[x]", must=True),
            rule("dataAbsentReason", must=True),
            rule(
                "component",
                must=True,
                constraints=(
                    invariant(
                        "vs-3",
                        "A component has a value or says why there is none",
                        "value.exists() or dataAbsentReason.exists()",
                    ),
                ),
            ),
        ],
    ),
    extension(
        BIRTH_PLACE,
        on=("Patient",),
        title="Place of birth",
        french="Lieu de naissance de la personne.",
        english="Where the person was born.",
        version="4.0.1",
        value=rule("", "the address of the place of birth", types=("Address",)),
    ),
    profile(
        PHD_DEVICE,
        "Device",
        title="Personal health device",
        french="Dispositif de santé personnel d'où vient une mesure (IEEE 11073-20601) : ce que ce serveur en vérifie.",
        english="The personal health device that a measure comes from (IEEE 11073-20601), as checked here.",
        version="1.0.0",
        rules=[
            rule(
                "identifier",
                "the system id of the device",
                card="1..",
                must=True,
                constraints=(
                    invariant(
                        "phd-1",
                        "A system id is an EUI-64: eight pairs of hexadecimal digits with `-` between them",
                        "system.empty() or system != 'urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680'"
                        " or value.matches('^[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){7}$')",
                    ),
                ),
            ),
            rule("identifier.system", "the register of the identifier", card="1.."),
            rule("identifier.value", "the identifier", card="1.."),
            rule(
                "type",
                "MDC_MOC_VMS_MDS_SIMP, what every such device is",
                card="1..",
                must=True,
                patternCodeableConcept=concept("urn:iso:std:iso:11073:10101", "65573"),
            ),
            rule("patient", "whose device it is", to=(f"{HL7}/Patient",)),
        ],
    ),
]
