"""The wide table: a row for each model and number of connections, a column for each side."""

from collections.abc import Mapping

from bench.serving.rounds import Found


def table(cells: Mapping[str, Mapping[str, Found]]) -> str:
    """Markdown; a side that could not answer a case has an empty cell."""
    sides = list(dict.fromkeys(side for found in cells.values() for side in found))
    lines = [f"| model, connections | {' | '.join(sides)} |", f"| --- |{' ---: |' * len(sides)}"]
    for name, found in cells.items():
        values = [found[side].cell() if side in found else "" for side in sides]
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)
