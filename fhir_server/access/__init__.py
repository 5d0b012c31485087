"""Who may do what, and why.  Pure functions over plain values; every decision is `decide`."""

from fhir_server.access.actor import Actor
from fhir_server.access.choices import Choices
from fhir_server.access.decision import Decision, Known, decide

__all__ = ["Actor", "Choices", "Decision", "Known", "decide"]
