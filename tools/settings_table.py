"""Writes the table of settings in docs/operations.md from registry/settings.py: `python tools/settings_table.py`."""

import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from registry.settings import PREFIX, Settings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """One row a setting: name, default, meaning."""
    rows = ["| Setting | Default | Means |", "| --- | --- | --- |"]
    for spec in fields(Settings):
        default = f"`{spec.default}`" if spec.default not in ("", 0) else "none" if spec.default == "" else "`0`"
        rows.append(f"| `{PREFIX}{spec.name.upper()}` | {default} | {spec.metadata['help']} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with the table put between its marks."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    path = ROOT / "docs" / "operations.md"
    path.write_text(page(path.read_text()))
