"""Own code at load: the packages that an approval allows names of must be, file by file, those of the wheel it names.

Loaded by the runner before any library of the model is: standard library only.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .model_error import RunnerError


def check(site: Path, wheels: Sequence[Mapping[str, Any]]) -> None:
    """Compare the packages in ``site`` with the files of ``wheels``.

    :param wheels: `own_code` of allow.json: digest of the wheel, its packages, and the digest of each of its files.
    :raises RunnerError: load-refused: a file is missing, changed, or there is one more.
    """
    for wheel in wheels:
        files: Mapping[str, str] = wheel["files"]
        for path, digest in files.items():
            try:
                found = f"sha256:{hashlib.sha256((site / path).read_bytes()).hexdigest()}"
            except OSError:
                found = "nothing"
            if found != digest:
                raise _refusal(f"{path} is {found}, the wheel {wheel['wheel']} has {digest}")
        for package in wheel["packages"]:
            for place in [site / f"{package}.py", *(site / package).rglob("*")]:
                path = place.relative_to(site).as_posix()
                if place.is_file() and place.parent.name != "__pycache__" and path not in files:
                    raise _refusal(f"{path} is no file of the wheel {wheel['wheel']}")


def _refusal(fault: str) -> RunnerError:
    hint = "The libraries are not those of the lock that was approved. Build the image again."
    return RunnerError("load-refused", f"its own code is not the approved one: {fault}", hint)
