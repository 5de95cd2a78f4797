"""What this Python is: interpreter, platform, installed distributions. The server makes the lock from it."""

import importlib.metadata
import json
import platform
import re
import sys
from functools import cache
from typing import Any

# Import names whose distribution is called differently, for those that are not installed where we look.
_RENAMED = {
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "cv2": "opencv-python",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
}


def describe() -> dict[str, Any]:
    """``{"python", "implementation", "platform", "distributions": {name: version}}`` of the running interpreter."""
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": f"{sys.platform}-{platform.machine().lower()}",
        "distributions": installed(),
    }


@cache
def installed() -> dict[str, str]:
    """Version of each installed distribution by its normalised name."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and normalise(name) not in found:  # the first on sys.path is the one that is imported
            found[normalise(name)] = distribution.version
    return dict(sorted(found.items()))


@cache
def owners() -> dict[str, tuple[str, ...]]:
    """Normalised names of the installed distributions that provide each top-level import name."""
    return {
        name: tuple(sorted({normalise(owner) for owner in distributions}))
        for name, distributions in importlib.metadata.packages_distributions().items()
    }


def distribution_of(import_name: str) -> str:
    """The distribution that provides ``import_name`` here, or the likely one."""
    providers = owners().get(import_name)
    return providers[0] if providers else normalise(_RENAMED.get(import_name, import_name))


def is_local(distribution: str) -> bool:
    """Whether it was installed from a folder, a file or a repository: then no index has the wheel."""
    try:
        text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return False
    if not text:
        return False
    try:
        return "url" in json.loads(text)
    except ValueError:
        return False


def normalise(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def minor(version: str) -> str:
    """`3.11` of `3.11.7`."""
    return ".".join(version.split(".")[:2])
