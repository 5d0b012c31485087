"""FHIR as such: outcomes, formats, dates, references, paths, patches, bundles.  Pure."""
