"""Write docs/soak.md from what pytest recorded of ``make soak``: every long test, how it ended and how long it took.

.venv/bin/python tools/soak_report.py var/soak.xml
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, parse

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import databases, machine

PAGE = ROOT / "docs" / "soak.md"
INTRODUCTION = """# The last soak

Written by `make soak`: the long forms of tests that `make test` runs shortened, and those that are too long for it.

{when}, {commit}, on {machine}: **{ended}** in {minutes:.0f} minutes.

| test | ended | seconds |
| --- | --- | ---: |
"""
ENDINGS = {"failure": "FAILED", "error": "FAILED", "skipped": "skipped"}


def main(recorded: Path) -> int:
    """Write the page; 1 when a test failed or nothing ran."""
    cases = list(parse(recorded).iter("testcase"))  # noqa: S314 - pytest wrote it, here
    rows = [f"| `{_name(case)}` | {_ending(case)} | {float(case.get('time', '0')):.1f} |" for case in cases]
    counts = {ending: sum(_ending(case) == ending for case in cases) for ending in ("passed", "FAILED", "skipped")}
    PAGE.write_text(
        INTRODUCTION.format(
            when=f"{datetime.now(UTC):%-d %B %Y}",
            commit=_commit(),
            machine=machine.describe(databases.postgres_url()),
            ended=", ".join(f"{count:,} {ending}" for ending, count in counts.items() if count) or "nothing ran",
            minutes=sum(float(case.get("time", "0")) for case in cases) / 60,
        )
        + "\n".join(rows)
        + "\n"
    )
    return int(counts["FAILED"] > 0 or not cases)


def _name(case: Element) -> str:
    """``e2e.test_faults::test_a_push_survives_a_kill[...]``; a bar would end the table's cell."""
    place = case.get("classname", "").removeprefix("tests.")
    return f"{place}::{case.get('name', '')}".replace("|", "¦")


def _ending(case: Element) -> str:
    return next((ENDINGS[child.tag] for child in case if child.tag in ENDINGS), "passed")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return f"commit `{done.stdout.strip()}`" if done.returncode == 0 else "outside of a checkout"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
