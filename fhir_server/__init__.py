"""A FHIR R4 health record server where the patient decides who sees what."""

__version__ = "0.1.0"
