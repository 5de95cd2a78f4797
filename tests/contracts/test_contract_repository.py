"""Nothing in the repository is tied to one machine, one company's index, or unfinished work."""

import re
import subprocess

import pytest

from tests.contracts.codes import ROOT

DOT = r"\."
INDEXES = "|".join(
    [f"pypi{DOT}org", f"python{'hosted'}{DOT}org", f"{'ana'}conda{DOT}(?:org|com)", f"{'test'}{DOT}pypi"]
)
REGISTRIES = "|".join(f"{host}{DOT}io/" for host in ("docker", "quay", "ghcr", "gcr"))
MACHINE = r"(?<![\w.\-])/(?:root|work|home/\w+|Users/\w+)/"
UNFINISHED = f"\\b(?:{'TO'}DO|{'FIX'}ME|{'X'}XX)\\b"
LARGE = 2_000_000
"""Bytes; nothing larger belongs into a repository."""


def tracked():
    """Every file that is, or would be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def lines(pattern):
    """Every line of a text file that matches."""
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:8000]:
            for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
                if re.search(pattern, line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        pytest.param("COUNTERSIGN_INDEX_URL is where an index is named", INDEXES, id="index"),
        pytest.param("images are named by settings, never by host", REGISTRIES, id="registry"),
        pytest.param("paths are relative to the repository or made by the test", MACHINE, id="machine-path"),
        pytest.param("finish it or leave it out", UNFINISHED, id="unfinished"),
    ],
)
def test_no_line_names(what, pattern):
    assert lines(pattern) == [], what


def test_no_file_is_too_large():
    assert [path.name for path in tracked() if path.stat().st_size > LARGE] == []


def test_no_key_or_database_is_committed():
    kinds = {".pem", ".key", ".db", ".sqlite", ".pyc", ".log"}
    assert [path.relative_to(ROOT).as_posix() for path in tracked() if path.suffix in kinds] == []
    assert lines("-----BEGIN " + "(?:[A-Z]+ )?PRIVATE KEY") == []


def test_links_between_the_documents_lead_somewhere():
    link = re.compile(r"\]\((?!https?:|mailto:|#|/)([^)#\s]+)")
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked()
        if path.suffix == ".md"
        for target in link.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []
