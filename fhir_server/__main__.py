"""`python -m fhir_server`, the same as `fhir-server`."""

from fhir_server.cli import main

if __name__ == "__main__":
    main()
