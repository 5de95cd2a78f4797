"""What a measurement gives: figures, each beside a limit of the same run, and the table they stand in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

COLUMNS = ("what", "measured", "limit of this run", "ratio", "target", "met", "also")


class NotMeasured(Exception):
    """Something the measurement needs is not there; the message says what."""


@dataclass(frozen=True)
class Target:
    """What a figure should be: at most ``value`` (or at least), as measured or as a ratio to its limit."""

    value: float
    at_least: bool = False
    of_ratio: bool = False


@dataclass(frozen=True)
class Figure:
    """One row. ``limit`` is what the same machine did at the same time with nothing of ours in the way."""

    name: str
    measured: float
    unit: str
    limit: float
    limit_is: str
    target: Target | None = None
    also: str = ""

    @property
    def ratio(self) -> float:
        """Measured by limit."""
        return self.measured / self.limit

    @property
    def met(self) -> bool | None:
        """Whether the target is met; ``None`` without one."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of_ratio else self.measured
        return value >= self.target.value if self.target.at_least else value <= self.target.value

    def cells(self) -> tuple[str, ...]:
        """The row, as text, in the order of ``COLUMNS``."""
        return (
            self.name,
            amount(self.measured, self.unit),
            f"{amount(self.limit, self.unit)} {self.limit_is}",
            f"{self.ratio:.2f}",
            self._said_target(),
            {True: "yes", False: "NO", None: ""}[self.met],
            self.also,
        )

    def _said_target(self) -> str:
        if self.target is None:
            return ""
        sign = "≥" if self.target.at_least else "≤"
        return f"{sign} {self.target.value:g}" + ("" if self.target.of_ratio else f" {self.unit}")


@dataclass
class Result:
    """What one measurement found."""

    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: str = ""
    """What does not fit beside one limit each: Markdown below the figures."""


@dataclass(frozen=True)
class Options:
    """How much to measure. ``say`` tells the person who waits what is going on."""

    upload_bytes: int = 1 << 30
    models: tuple[int, ...] = (1_000, 100_000)
    calls: int = 300
    repeats: int = 5
    say: Callable[[str], None] = lambda _text: None


def amount(value: float, unit: str) -> str:
    """A number with three digits that matter, and its unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def as_text(figures: Sequence[Figure]) -> str:
    """The table for a terminal."""
    rows = [COLUMNS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    right = (1, 3)
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def as_markdown(figures: Sequence[Figure]) -> str:
    """The table for a page."""
    rows = [COLUMNS, ("---", "---:", "---", "---:", "---", "---", "---"), *(figure.cells() for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
