"""Write the demonstration record: the tables in, FHIR R4 transaction Bundles and `people.json` out.

    python seed_data/write.py [folder]

The same tables give the same bytes, on every machine.  R4: http.html#transaction
"""

import json
import sys
from pathlib import Path

from writing import agenda, directory, documents, logins, measures, messaging, people, sections, vaccinations
from writing.tables import rows

HERE = Path(__file__).parent


def record(row: dict[str, str]) -> list[dict]:
    """Every resource of one person; a person whose space never opened has an identity and choices, no more."""
    core = [people.patient(row), *people.related_people(row), people.care_team(row), *people.consents(row)]
    if row["space"] in ("opposed", "not-activated"):
        return core
    return [
        *core,
        people.coverage(row),
        *people.advance_choices(row),
        *sections.sections(row),
        *vaccinations.immunizations(row),
        *measures.measures(row),
        *agenda.appointments(row),
        *documents.documents(row),
        *messaging.conversations(row),
    ]


def bundle(identifier: str, resources: list[dict]) -> str:
    """A transaction Bundle, one resource a line: a change of the tables reads as a change of lines."""
    entries = (
        {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}
        for resource in resources
    )
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries)
    head = json.dumps({"resourceType": "Bundle", "id": identifier, "type": "transaction"}, separators=(",", ":"))
    return f'{head[:-1]},"entry":[\n{lines}\n]}}\n'


def outputs() -> dict[str, str]:
    """The text of every file written, by its path under the folder."""
    written = {"bundles/00-directory.json": bundle("00-directory", directory.directory())}
    for row in rows("people"):
        written[f"bundles/10-{row['id']}.json"] = bundle(f"10-{row['id']}", record(row))
    entries = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in logins.logins())
    return written | {"people.json": f"[\n{entries}\n]\n"}


def main(folder: Path) -> None:
    """Write every file under the folder; a bundle of a person no longer in the tables goes."""
    written = outputs()
    (folder / "bundles").mkdir(parents=True, exist_ok=True)
    for stale in (folder / "bundles").glob("*.json"):
        if f"bundles/{stale.name}" not in written:
            stale.unlink()
    for path, text in written.items():
        (folder / path).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
