"""`python -m builders run BUNDLE`: run the current image of a bundle, in a container or as a process, until stopped.

`python -m builders archive DIGEST FILE` writes an image to a file instead.
"""

import json
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from builders import smoke
from builders.image import Image as Assembled
from builders.image import write_archive
from builders.plan import GRPC_PORT, REST_PORT
from builders.platform import Platform
from builders.tarball import Layer
from formats.manifest import HOST_BASE
from registry.db import Database
from registry.errors import NotFound
from registry.orm.image import Bundle, Image


def run(database: Database, platform: Platform, bundle: str, summary: Path | None) -> None:
    """Start the image, say where it listens (and write that to ``summary``), and wait for SIGTERM or Ctrl-C."""
    with database.read() as session:
        query = select(Image).join(Bundle, Bundle.current_image_id == Image.id).where(Bundle.full_name == bundle)
        found = session.scalars(query).one_or_none()
        if found is None:
            raise NotFound(f"bundle {bundle} has no image yet", hint="It is baked when its versions are approved.")
        _require_bytes(found)
        image = assembled(found)
        digest, isolation = found.digest, found.isolation
    with _started(platform, image, isolation) as address:
        said = {"bundle": bundle, "image_digest": digest, "isolation": isolation, **address}
        if summary:
            partial = summary.with_suffix(".new")
            partial.write_text(json.dumps(said))
            partial.replace(summary)
        print(json.dumps(said), flush=True)  # noqa: T201 - the command's output
        _wait_for_signal()


def assembled(found: Image) -> Assembled:
    """The image of a row: its config as recorded, and its layers by digest."""
    return Assembled(found.config.encode(), tuple(Layer(layer["diff_id"], layer["size"]) for layer in found.layers))


def _require_bytes(found: Image) -> None:
    if found.freed_at is not None:
        raise NotFound(
            f"the layers of {found.digest} were freed on {found.freed_at:%-d %B %Y}",
            hint=f"Bring them back: countersign rebuild {found.digest}",
        )


def archive(database: Database, platform: Platform, digest: str, path: Path) -> None:
    """Write the OCI archive of a released image, whole or not at all; engines load it, OCI tools read it."""
    with database.read() as session:
        found = session.scalars(select(Image).where(Image.digest == digest)).one_or_none()
    if found is None:
        raise NotFound(f"there is no image {digest}", hint="The portal lists images under Images.")
    _require_bytes(found)
    partial = path.with_name(f"{path.name}.new")
    with partial.open("wb") as sink:
        written = write_archive(assembled(found), platform.layers, sink, loadable=found.base != HOST_BASE)
    partial.replace(path)
    print(f"{path}: {written.size / 1e6:.0f} MB, {written.diff_id}")  # noqa: T201 - the command's output


@contextmanager
def _started(platform: Platform, image: Assembled, isolation: str) -> Iterator[dict[str, str]]:
    name = f"run-{secrets.token_hex(6)}"  # not a job: a starting worker leaves it alone
    if isolation == "process":
        with smoke.running(image.layers, platform, platform.scratch_root() / name) as address:
            yield address
        return
    if platform.engine is None:
        raise NotFound("this image needs a container engine, and none is used here", hint=platform.note)
    image_id = platform.engine.load(image, platform.layers)
    wanted = smoke.hardened(image_id, name, platform.release_key.fingerprint, ports=(REST_PORT, GRPC_PORT))
    with platform.engine.start(wanted) as container:
        ports = container.ports()
        smoke.wait_until_ready(ports[REST_PORT], container)
        yield {"rest_url": f"http://127.0.0.1:{ports[REST_PORT]}", "grpc_target": f"127.0.0.1:{ports[GRPC_PORT]}"}
        container.stop()


def _wait_for_signal() -> None:
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopped:
        time.sleep(0.2)
