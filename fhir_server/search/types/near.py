"""The special parameter `near`: places within a distance of a point.  R4: location.html#search, `near`

`near` = a GeoJSON point, in an index of MongoDB's own kind.  The earth is a sphere here, as it is to that index.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.types.token import split

FIELD = "near"
#: MongoDB's radius of the earth, in kilometres.
EARTH = 6378.1
#: The distance where none is asked for.  R4: "If the distance is omitted, ... the server decides"
USUAL = 50.0
#: Kilometres in a unit of UCUM's.
UNITS = {"km": 1.0, "m": 0.001, "[mi_us]": 1.609347, "[mi_i]": 1.609344}


@dataclass(frozen=True)
class NearTest:
    """Within so many kilometres of a point."""

    latitude: float
    longitude: float
    distance: float

    def to_filter(self, field: str) -> Filter:
        return {FIELD: {"$geoWithin": {"$centerSphere": [[self.longitude, self.latitude], self.distance / EARTH]}}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        if FIELD not in entry:
            return False
        longitude, latitude = entry[FIELD]["coordinates"]
        return _distance(latitude, longitude, self.latitude, self.longitude) <= self.distance


def parse(text: str) -> NearTest:
    """
    Read `latitude|longitude[|distance[|unit]]`.  Raises ValueError.

    >>> parse("48.85|2.35|11|km")
    NearTest(latitude=48.85, longitude=2.35, distance=11.0)
    """
    parts = split(text, "|")
    if not 2 <= len(parts) <= 4:
        raise ValueError(f"`{text}` is not latitude|longitude|distance|unit")
    try:
        latitude, longitude = float(parts[0]), float(parts[1])
        distance = float(parts[2]) if len(parts) > 2 and parts[2] else USUAL
    except ValueError:
        raise ValueError(f"`{text}` is not latitude|longitude|distance|unit, the first three of them numbers") from None
    unit = parts[3] if len(parts) == 4 else "km"
    if unit not in UNITS:
        raise ValueError(f"`{unit}` is not a unit of distance here; known: {', '.join(UNITS)}")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 <= distance < math.inf):
        raise ValueError(f"`{text}` is not a point of the earth and a distance from it")
    return NearTest(latitude, longitude, distance * UNITS[unit])


def point(type: str, value: Any) -> dict[str, Any] | None:
    """The point of a Location.position; None if it is none."""
    latitude, longitude = float(value.get("latitude", 91)), float(value.get("longitude", 181))
    if abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return {"type": "Point", "coordinates": [longitude, latitude]}


def _distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Kilometres along the sphere."""
    one, other = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((other - one) / 2) ** 2
    half += math.cos(one) * math.cos(other) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    return 2 * EARTH * math.asin(min(1, math.sqrt(half)))
