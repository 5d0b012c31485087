"""The page `/demo/outbox`, in the demonstration only: what would have left by e-mail or text message, for anybody."""

from __future__ import annotations

from datetime import tzinfo

from flask import Blueprint, Response

from fhir_server.accounts.outbox import Outbox
from fhir_server.web.moments import moment
from fhir_server.web.pages import language, page, strict


def blueprint(outbox: Outbox, *, zone: tzinfo) -> Blueprint:
    """The page, to be registered at `/demo`."""
    pages = strict(Blueprint("demo_outbox", __name__))

    @pages.get("/outbox")
    def show() -> Response:
        """The latest messages, newest first."""
        spoken = language()
        return page(
            "demo-outbox",
            messages=[
                {
                    "channel": message.channel,
                    "to": message.to,
                    "subject": message.subject,
                    "text": message.text,
                    "at": message.created_at.isoformat(),
                    "said": moment(message.created_at, spoken, zone),
                }
                for message in outbox.latest()
            ],
        )

    return pages
