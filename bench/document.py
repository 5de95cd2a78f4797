"""Puts what was measured into docs/benchmarks.md, between marks of each measurement."""

from pathlib import Path

from bench.figures import Result, as_markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def write(name: str, result: Result, circumstances: str) -> None:
    """Replace the part of ``name`` in the page; the other parts stay as they were measured."""
    PAGE.write_text(placed(PAGE.read_text(), name, result, circumstances))


def placed(page: str, name: str, result: Result, circumstances: str) -> str:
    """The page with the part between ``<!-- name -->`` and ``<!-- /name -->`` replaced.

    :raises ValueError: the page has no such marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no marks {begin} and {end}")
    notes = "".join(f"\n- {note}" for note in result.notes)
    body = f"{as_markdown(result.figures)}\n" + (f"\n{result.details}\n" if result.details else "")
    body += f"{notes}\n" if notes else ""
    return f"{head}{begin}\n{circumstances}.\n\n{body}{end}{tail}"
