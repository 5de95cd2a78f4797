"""The process that reads an untrusted wheel of own code, run by own_code.py: standard library only, limits set, no way out."""

import csv
import email.message
import io
import json
import sys

from builders.checks.archive import NESTED, Archive
from builders.checks.limits import Limits
from builders.checks.report import Finding, Refused
from builders.checks.scan_child import confine
from formats import own_code

# Modules that these import on first use, which nothing may do once the limits are set.
_USED = (csv, email.message)


def main(request: str) -> None:
    """Judge one wheel and print what it is as JSON, or `{"finding": ...}`.

    :param request: JSON with `path`, `limits`, `filename` and `reserved`.
    """
    asked = json.loads(request)
    limits = Limits(**asked["limits"])
    with io.FileIO(asked["path"]) as file:
        confine(limits, permitted=frozenset({"compile"}))  # parsing source counts as that
        try:
            wheel = own_code.judge(asked["filename"], members(file, limits), reserved=asked["reserved"])
        except (own_code.BadWheel, Refused) as error:
            sys.stdout.write(json.dumps({"finding": finding(error).to_dict()}))
            return
    told = {name: getattr(wheel, name) for name in ("packages", "requires", "requires_python", "classes", "functions")}
    files = [{**item.to_dict(), "lines": wheel.lines[item.path]} for item in wheel.files]
    sys.stdout.write(json.dumps({**told, "name": wheel.name, "version": wheel.version, "files": files}))


def members(file: io.FileIO, limits: Limits) -> dict[str, bytes]:
    """Path to content of the archive's files; entries for folders are left out.

    :raises Refused: it is not in the one plain layout, or larger than allowed.
    """
    archive = Archive(file, file.seek(0, 2), limits, NESTED)
    if len(archive.members) > 2 * own_code.MOST_FILES:
        raise Refused(
            "wheel-too-large", f"The wheel has {len(archive.members):,} members.", "Bring only what prediction needs."
        )
    listed = [member for member in archive.members.values() if member.size or not member.name.endswith("/")]
    return {member.name: archive.read(member, limits.inflated_size) for member in listed}


def finding(error: own_code.BadWheel | Refused) -> Finding:
    """What is wrong, as a sentence of a report."""
    if isinstance(error, Refused):
        return error.finding
    return Finding(error.code, f"{error}.", error.hint)
