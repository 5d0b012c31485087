"""The profiles as short tables, a file for each guide; write.py turns them into StructureDefinitions."""
