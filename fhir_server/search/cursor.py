"""Where a page of results ended, as an opaque text for the next link: signed, and bound to the caller and the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer

from fhir_server.fhir.outcome import BadRequest


@dataclass(frozen=True)
class Cursors:
    """Makes and reads cursors; `key` is the server's own secret, the same on every worker."""

    key: bytes

    def write(self, position: Any, caller: str, query: str) -> str:
        """The cursor that stands behind `position` in the caller's answer to the query."""
        return str(URLSafeSerializer(self.key, salt=f"{caller}\n{query}").dumps(position))

    def read(self, cursor: str, caller: str, query: str) -> Any:
        """The position.  Raises BadRequest for a cursor that is not this server's, this caller's and this query's."""
        try:
            return URLSafeSerializer(self.key, salt=f"{caller}\n{query}").loads(cursor)
        except BadSignature:
            raise BadRequest("`_cursor` is not the next link of this search as it was given to you.") from None
