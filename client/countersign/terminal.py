"""Tables and progress bars for terminals, by rich. Imported only where there is a terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from countersign.progress import FINAL, OnProgress, Progress

# The word stays, colour only helps to find it.
_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, colour: bool | None) -> None:
    """A table without frame, wrapped to the terminal's width. Cells are text, never markup."""
    console = Console(no_color=colour is False, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, title in enumerate(titles):
        # The first names its row and will be copied: others are wrapped before it is.
        whole = place == 0 and max(len(row[0]) for row in rows) <= console.width
        table.add_column(title, overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(table)


@contextmanager
def bars(*, colour: bool | None) -> Iterator[OnProgress]:
    """One bar per file on standard error, with bytes, speed and time left, while the block runs."""
    tasks: dict[str, TaskID] = {}
    shown = Bars(
        TextColumn("{task.fields[state]}"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, no_color=colour is False),
    )

    def show(progress: Progress) -> None:
        if progress.path not in tasks:
            tasks[progress.path] = shown.add_task(progress.path, total=max(progress.total, 1), state=progress.state)
        done = max(progress.total, 1) if progress.state in FINAL else progress.done
        shown.update(tasks[progress.path], completed=done, state=progress.state)

    with shown:
        yield show
