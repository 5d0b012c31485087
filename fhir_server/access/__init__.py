"""Who may do what, and why.  Pure functions over plain values; every decision is `decide`."""

from fhir_server.access.actor import Actor
from fhir_server.access.decision import Decision, decide

__all__ = ["Actor", "Decision", "decide"]
