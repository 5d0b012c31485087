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


def main() -> None:
    """Every profile that the tables know, and none that they do not."""
    made = {one["id"]: one for table in TABLES for one in table.PROFILES}
    for file in HOME.glob("*.json"):
        if file.stem not in made:
            file.unlink()
    for id, one in made.items():
        (HOME / f"{id}.json").write_text(json.dumps(one, ensure_ascii=False, indent=2) + "\n")
    print(f"{len(made)} profiles in {HOME}")


if __name__ == "__main__":
    main()
