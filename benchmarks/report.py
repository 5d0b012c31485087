"""The result of a run: a table for people, JSON for programs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from benchmarks.load import Figures


@dataclass(frozen=True)
class Pair:
    """One round: the server's and the ceiling's figures, taken right after one another."""

    server: Figures
    ceiling: Figures

    @property
    def ratio(self) -> float:
        """The server's rate as a share of the ceiling's."""
        return self.server.rate / self.ceiling.rate


@dataclass(frozen=True)
class Measured:
    """A row against the ceiling.  `each` is how many resources a request carries; rates are of resources."""

    name: str
    title: str
    goal: float
    each: int
    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(pair.ratio for pair in self.pairs)

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio >= self.goal

    def side(self, name: str) -> dict[str, float]:
        """Median rate of one side over the rounds, and median latencies where requests were timed one by one."""
        rounds: list[Figures] = [getattr(pair, name) for pair in self.pairs]
        rate = {"per_second": round(statistics.median(figures.rate for figures in rounds) * self.each, 1)}
        if not rounds[0].latencies:
            return rate
        return {
            **rate,
            "p50_ms": round(statistics.median(figures.percentile(0.50) for figures in rounds), 3),
            "p99_ms": round(statistics.median(figures.percentile(0.99) for figures in rounds), 3),
        }

    def cells(self) -> list[str]:
        """The row of the table."""
        ratios = [pair.ratio for pair in self.pairs]
        return [
            self.title,
            *_side_cells(self.side("server")),
            *_side_cells(self.side("ceiling")),
            f"{self.ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
            _verdict(f"≥ {self.goal}", self.met),
        ]

    def as_json(self) -> dict[str, Any]:
        """The row for programs, every round included."""
        ratios = [pair.ratio for pair in self.pairs]
        return {
            "name": self.name,
            "title": self.title,
            "server": self.side("server"),
            "ceiling": self.side("ceiling"),
            "ratio": {"median": round(self.ratio, 3), "min": round(min(ratios), 3), "max": round(max(ratios), 3)},
            "goal": {"least_ratio": self.goal, "met": self.met},
            "rounds": [
                {
                    "server_per_second": round(pair.server.rate * self.each, 1),
                    "ceiling_per_second": round(pair.ceiling.rate * self.each, 1),
                }
                for pair in self.pairs
            ],
        }


@dataclass(frozen=True)
class Plain:
    """A row without a ceiling: one figure that has to stay below its goal; `detail` is what it was computed from."""

    name: str
    title: str
    value: float
    unit: str
    limit: float
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value < self.limit

    def cells(self) -> list[str]:
        """The row of the table."""
        shown = f"{self.value:.3g}" if self.value < 100 else f"{self.value:.0f}"
        return [
            self.title,
            f"{shown}{self.unit}",
            *[""] * 6,
            _verdict(f"< {self.limit:g}{self.unit}", self.met),
        ]

    def as_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "name": self.name,
            "title": self.title,
            "value": round(self.value, 3),
            "unit": self.unit,
            "goal": {"below": self.limit, "met": self.met},
            **self.detail,
        }


@dataclass(frozen=True)
class Failed:
    """A row that gave no figure, and why."""

    name: str
    title: str
    why: str
    met: bool = False

    def cells(self) -> list[str]:
        """The row of the table."""
        return [self.title, "[bold red]FAILED[/]", *[""] * 7]

    def as_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {"name": self.name, "title": self.title, "failed": self.why}


Result = Measured | Plain | Failed


def _side_cells(side: dict[str, float]) -> list[str]:
    times = [f"{side[name]:.1f}" if name in side else "" for name in ("p50_ms", "p99_ms")]
    return [f"{side['per_second']:,.0f}".replace(",", " "), *times]


def _verdict(goal: str, met: bool) -> str:  # noqa: FBT001
    return f"[{'green' if met else 'yellow'}]{goal.strip()} {'✓' if met else '✗'}[/]"


def table(results: list[Result]) -> Table:
    """The table that the run prints at its end."""
    drawn = Table(title="Server against the bare ceiling (medians of the rounds)")
    drawn.add_column("work")
    for heading in ("server /s", "p50 ms", "p99 ms", "ceiling /s", "p50 ms", "p99 ms", "ratio (min–max)", "goal"):
        drawn.add_column(heading, justify="right")
    for result in results:
        drawn.add_row(*result.cells())
    return drawn
