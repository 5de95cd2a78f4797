"""Peers' own environments: what a requirements file pins, installed by pip into ``var/bench/serving``, once."""

import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

from bench.figures import NotMeasured
from bench.serving.servers import HOME

FOLDER = Path(__file__).with_name("peers")
INSTALL_SECONDS = 1_800


def ensure(name: str, say: Callable[[str], None]) -> Path:
    """The folder with the programs of a peer's environment.

    :raises NotMeasured: pip could not install it; with its last words.
    """
    wanted = (FOLDER / f"{name}.txt").read_text()
    place = HOME / "environments" / name
    stamp = place / "requirements.txt"
    if not stamp.is_file() or stamp.read_text() != wanted:
        say(f"installing {name} (once)")
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True, symlinks=True)
        _install(place, FOLDER / f"{name}.txt", name)
        stamp.write_text(wanted)
    return place / "bin"


def version(name: str, package: str) -> str:
    """The version that the file pins."""
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if line.startswith(f"{package}=="):
            return line.partition("==")[2].split()[0]
    raise LookupError(f"{package} is not in {name}.txt")


def describe() -> str:
    """Versions of all that is compared, in a few words."""
    fastapi = f"FastAPI {version('fastapi', 'fastapi')} on uvicorn {version('fastapi', 'uvicorn')}"
    found = [f"MLServer {version('mlserver', 'mlserver')}", f"BentoML {version('bentoml', 'bentoml')}"]
    found += [f"MLflow {version('mlflow', 'mlflow')}", fastapi]
    return ", ".join([*found, f"scikit-learn {version('fastapi', 'scikit-learn')} in all"])


def _install(place: Path, requirements: Path, name: str) -> None:
    command: list[str | Path] = [
        place / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    try:
        done = subprocess.run(
            [*command, "--no-deps", "-r", requirements],
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"{name} was not installed within {INSTALL_SECONDS} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotMeasured(f"{name} could not be installed: {'; '.join(errors)[-300:] or done.stderr[-300:]}")
