"""The tables turned into FHIR resources: one module a part of the record, each a few plain functions."""
