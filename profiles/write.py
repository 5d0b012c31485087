"""Writes profiles/*.json from the tables in writing/.

    python profiles/write.py

A profile is one file, named by the last part of its address.  Run again after a table has changed, and commit both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
sys.path.insert(0, str(HOME))

from writing import agenda, annuaire, care, documents, fr_core, international, measures, record  # noqa: E402

TABLES = (international, fr_core, annuaire, documents, measures, agenda, care, record)


def made() -> dict[str, dict]:
    """Every profile of the tables, by the name of its file."""
    return {one["id"]: one for table in TABLES for one in table.PROFILES}


def main() -> None:
    """Every profile that the tables know, and none that they do not."""
    profiles = made()
    for file in HOME.glob("*.json"):
        if file.stem not in profiles:
            file.unlink()
    for id, one in profiles.items():
        (HOME / f"{id}.json").write_text(json.dumps(one, ensure_ascii=False, indent=2) + "\n")
    print(f"{len(profiles)} profiles in {HOME}")


if __name__ == "__main__":
    main()
