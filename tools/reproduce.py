"""`make reproduce`: bake a released image anew in two clean copies of this checkout that share nothing, and compare.

The copies differ in folder, user, umask, time zone, locale, clock, hash seed and pip. Each is given the sealed manifest of
the image and the contents that it names by digest: wheels, models, our own modules. Nothing else.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sqlalchemy import select

from formats import canonical, manifest
from formats.lock import Lock
from registry.db import Database
from registry.orm.image import Image
from registry.settings import Settings
from registry.store import LocalStore

FUTURE = "2031-02-28 23:59:30"
OTHER_USER = 12345
LARGEST = 16 << 20
"""Bytes of a lock, at most."""


@dataclass(frozen=True)
class Surroundings:
    """Where one copy is baked. ``user`` is a number, ``clock`` a moment for faketime; both only where that can be done."""

    folder: str
    umask: int
    environ: Mapping[str, str]
    user: int | None = None
    clock: str = ""
    notes: list[str] = field(default_factory=list)


def surroundings() -> tuple[Surroundings, Surroundings]:
    """Two that differ in all that must not matter, as far as this machine lets us."""
    plain = Surroundings("one", 0o022, {"TZ": "UTC", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"})
    odd = {"TZ": "Pacific/Kiritimati", "LANG": "tr_TR.UTF-8", "LC_ALL": "C", "PYTHONHASHSEED": "77"}
    odd |= {"PYTHONOPTIMIZE": "2", "PIP_NO_BINARY": ":all:", "SOURCE_DATE_EPOCH": "1"}
    user = OTHER_USER if _can_become(OTHER_USER) else None
    clock = FUTURE if shutil.which("faketime") else ""
    other = Surroundings("a folder elsewhere/über/two", 0o077, odd, user, clock)
    if user is None:
        other.notes.append("the same user: only root can become another, who must be able to run this Python")
    if not clock:
        other.notes.append("the same clock: faketime is not installed")
    return plain, other


def _can_become(user: int) -> bool:
    # Through a shell: what setpriv starts itself may still be found with root's rights.
    become = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "--"]
    command = [*become, "sh", "-c", 'exec "$0" -c "import cryptography, tarfile"', sys.executable]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def digests_needed(sealed: bytes, store: LocalStore) -> Iterator[str]:
    """Every content that the image of a sealed manifest is made of."""
    document, _ = manifest.open_sealed(sealed, None)
    for lock in (document.runtime.lock, *(environment.lock for environment in document.environments)):
        yield lock
        for wheel in Lock.from_dict(canonical.loads(store.read(lock, limit=LARGEST))).wheels:
            yield wheel.sha256
    yield from (file.sha256 for file in document.app.files if file.path.endswith(".py"))
    yield from (file.sha256 for model in document.models for file in model.files)


def rebuild(sealed: bytes, store: LocalStore, work: Path, where: Surroundings, settings: Mapping[str, str]) -> Any:
    """Bake the image in a copy of this checkout; what ``python -m builders rebuild`` printed.

    :param work: an empty folder that every user may enter.
    :param settings: isolation and base, as ``COUNTERSIGN_...``.
    :raises RuntimeError: it failed; the message is its last words.
    """
    home = work / where.folder
    checkout, data = home / "checkout", home / "data"
    _copy_checkout(checkout)
    kept = LocalStore(data / "store")
    for digest in set(digests_needed(sealed, store)):
        with store.open(digest) as source:
            kept.put(source, expected=digest)
    (home / "sealed.json").write_bytes(sealed)
    bin_folder = home / "bin"
    bin_folder.mkdir()
    (bin_folder / "pip").write_text("#!/bin/sh\necho 'this pip is not to be called' >&2\nexit 1\n")
    (bin_folder / "pip").chmod(0o755)
    command = [sys.executable, "-m", "builders", "rebuild", str(home / "sealed.json")]
    if where.clock:
        command = ["faketime", where.clock, *command]
    if where.user is not None:
        group = _engine_group() if settings.get("COUNTERSIGN_ISOLATION") == "container" else None
        groups = ["--groups", str(group)] if group else ["--clear-groups"]
        command = ["setpriv", "--reuid", str(where.user), "--regid", str(where.user), *groups, "--", *command]
        for path in (home, *home.rglob("*")):
            os.chown(path, where.user, where.user)
    environ = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(checkout),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COUNTERSIGN_DATA_DIR": str(data),
        **{name: value for name, value in os.environ.items() if name.startswith("DOCKER_")},
        **where.environ,
        **settings,
    }
    done = subprocess.run(
        command, cwd=home, env=environ, umask=where.umask, capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        raise RuntimeError(f"in {home}: {(done.stderr or done.stdout).strip()[-1500:]}")
    return json.loads(done.stdout[done.stdout.index("{\n") :])


def _copy_checkout(target: Path) -> None:
    """What git tracks, as it is now, and nothing that was made from it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place, follow_symlinks=False)


def _engine_group() -> int | None:
    """The group that may talk to the engine on its default socket."""
    try:
        return os.stat("/var/run/docker.sock").st_gid  # noqa: PTH116 - a socket
    except OSError:
        return None


def first_difference(left: Any, right: Any) -> str:
    """The lowest layer in which two answers differ."""
    for mine, other in zip(left["layers"], right["layers"], strict=False):
        if mine != other:
            return f"{mine['role']} {mine['path']}: {mine['diff_id']} and {other['diff_id']}"
    return "the configuration"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "var/demo", help="data folder of an installation")
    options = parser.parse_args()
    settings = Settings(data_dir=options.data)
    if not (options.data / "countersign.db").exists():
        print(f"{options.data} holds no installation: run `make demo` first, its image is baked anew", file=sys.stderr)
        return 1
    database = Database(settings.url)
    with database.read() as session:
        image = session.scalars(select(Image).order_by(Image.id.desc()).limit(1)).first()
    database.close()
    if image is None:
        print(f"no image was baked in {options.data}: run `make demo` first", file=sys.stderr)
        return 1
    store, sealed = LocalStore(settings.store_dir), canonical.dumps(image.sealed)
    base = options.data / "base/base.oci.tar"
    wanted = {"COUNTERSIGN_ISOLATION": image.isolation}
    if image.isolation == "container":
        wanted["COUNTERSIGN_BASE_IMAGE"] = os.environ.get("COUNTERSIGN_BASE_IMAGE") or str(base)
    print(f"released   {image.digest} ({image.isolation}, {image.size / 1e6:.0f} MB)", flush=True)
    answers = []
    with tempfile.TemporaryDirectory(prefix="countersign-reproduce-") as work:
        Path(work).chmod(0o755)
        for where in surroundings():
            answers.append(rebuild(sealed, store, Path(work), where, wanted))
            said = ", ".join(f"{name}={value}" for name, value in where.environ.items())
            print(f"rebuilt    {answers[-1]['image_digest']}", flush=True)
            print(f"           in {where.folder!r}, user {where.user or os.getuid()}, umask {where.umask:03o}, {said}")
            print("".join(f"           {note}\n" for note in where.notes), end="", flush=True)
    if {answer["image_digest"] for answer in answers} == {image.digest}:
        print("equal, byte for byte")
        return 0
    released = {"layers": [{key: layer[key] for key in ("role", "path", "diff_id")} for layer in image.layers]}
    wrong = next(answer for answer in answers if answer["image_digest"] != image.digest)
    print(f"NOT EQUAL: {first_difference(released, wrong)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
