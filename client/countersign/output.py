"""What a command prints: data to standard output in one of five forms, everything else to standard error."""

import csv
import io
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from countersign.formats import digest as digests

# Everything but tab and newline: text from a server must not move the cursor or recolour a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table and of CSV: its title, and the value of an item."""

    title: str
    value: Callable[[Mapping[str, Any]], Any]


def column(title: str, key: str | None = None) -> Column:
    """A column that shows the member ``key``, by default the title in lower case."""
    member = key or title.lower().replace(" ", "_")
    return Column(title, lambda item: item.get(member))


class Output:
    """Prints in the form ``style``: table, json, jsonl, csv or name."""

    def __init__(self, style: str, *, quiet: bool = False, colour: bool | None = None) -> None:
        self.style = style
        self.quiet = quiet
        self._colour = colour

    def items(self, items: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, name: str, empty: str) -> None:
        """A list. ``name`` is the member that `-o name` prints; ``empty`` is said when there is nothing."""
        if self.style == "jsonl":
            for item in items:
                self.data(json.dumps(item, ensure_ascii=False))
            return
        if self.style == "name":
            for item in items:
                self.data(str(item.get(name, "")))
            return
        listed = list(items)
        if self.style == "json":
            self.data(json.dumps(listed, indent=2, ensure_ascii=False))
        elif self.style == "csv":
            self._csv(listed, columns)
        elif listed:
            self._table(listed, columns)
        else:
            self.note(empty)

    def item(self, item: Mapping[str, Any], fields: Sequence[tuple[str, Any]], *, name: str) -> None:
        """One thing. ``fields`` are the lines of the table form, those without a value left out."""
        if self.style == "json":
            self.data(json.dumps(item, indent=2, ensure_ascii=False))
        elif self.style == "jsonl":
            self.data(json.dumps(item, ensure_ascii=False))
        elif self.style == "name":
            self.data(str(item.get(name, "")))
        elif self.style == "csv":
            self._csv([dict(fields)], [column(title, title) for title, _ in fields])
        else:
            # Digests whole: here there is room, and somebody will copy them.
            shown = [(title, cell(value, whole=True)) for title, value in fields if value not in (None, "", [], (), {})]
            width = max((len(title) for title, _ in shown), default=0)
            for title, text in shown:
                first, *rest = text.splitlines() or [""]
                click.echo(f"{click.style(title.ljust(width), dim=True)}  {first}", color=self._colour)
                for line in rest:
                    click.echo(f"{' ' * width}  {line}", color=self._colour)

    def data(self, text: str) -> None:
        """A line of data, as it is."""
        click.echo(text)

    def text(self, text: str) -> None:
        """Text written by others; on a terminal without its control characters."""
        click.echo(plain(text) if sys.stdout.isatty() else text, nl=False)

    def note(self, text: str) -> None:
        """Something to know, that is not data."""
        if not self.quiet:
            click.echo(plain(text), err=True, color=self._colour)

    def warn(self, text: str) -> None:
        """Something to know even when quiet."""
        click.echo(f"{click.style('warning:', fg='yellow')} {plain(text)}", err=True, color=self._colour)

    def _csv(self, items: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\r\n")
        writer.writerow([column.title for column in columns])
        writer.writerows([_csv_cell(column.value(item)) for column in columns] for item in items)
        click.echo(buffer.getvalue(), nl=False)

    def _table(self, items: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
        rows = [[cell(column.value(item)) for column in columns] for item in items]
        if sys.stdout.isatty():
            from countersign import terminal  # noqa: PLC0415 - rich costs start-up time and is for terminals only

            terminal.print_table([column.title for column in columns], rows, colour=self._colour)
            return
        widths = [max(map(len, values)) for values in zip([column.title for column in columns], *rows, strict=True)]
        for row in itertools.chain([[column.title for column in columns]], rows):
            line = "  ".join(text.replace("\n", " ").ljust(width) for text, width in zip(row, widths, strict=True))
            click.echo(line.rstrip())


def cell(value: Any, *, whole: bool = False) -> str:
    """A value as people read it: lists with commas, yes and no, digests short unless ``whole``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={cell(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cell(inner) for inner in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = plain(str(value))
    try:
        return text if whole else digests.short(text)
    except ValueError:
        return text


def plain(text: str) -> str:
    """``text`` without characters that would control a terminal."""
    return _CONTROL.sub("", text)


def size(count: int) -> str:
    """Bytes for people: `1.5 MiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the last unit returns")


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    # A spreadsheet would run a cell that begins like a formula.
    return "'" + text if text.startswith(_FORMULA) else text
