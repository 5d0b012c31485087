"""Ctrl-C for what takes long: stop where it does no harm."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Stop(Protocol):
    """Whether to stop; a threading.Event, or one that other processes see."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


@contextmanager
def stopped_by_interrupt(stop: Stop) -> Iterator[None]:
    """Ctrl-C asks to stop after what is under way; a second one breaks it off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("\nfhir-server: stopping after what is under way.", file=sys.stderr, flush=True)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
