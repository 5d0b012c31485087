"""StructureDefinitions made ready for use: one tree, then a JSON Schema and the invariants that no schema can say."""
