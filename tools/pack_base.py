"""Pack a root file system as the base image: one deterministic layer in an OCI archive. Called by tools/base-image.

Prints the image digest. When a container engine answers, the image is loaded into it as well.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

from builders import base as bases
from builders import engine, image, tarball
from builders.containers import EngineUnavailable
from builders.layers import LayerStore

SETTINGS = {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
    "Cmd": ["python3"],
    "User": "10001:10001",
    "WorkingDir": "/",
    "Labels": {"countersign.kind": "base"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the file system to pack")
    parser.add_argument("archive", type=Path, help="where the OCI archive goes; replaced whole or not at all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.archive.parent, prefix=".packing.") as scratch:
        store = LayerStore(Path(scratch, "layers"))
        layer = store.add(tarball.from_folder(options.root))
        base = image.assemble("linux", image.go_architecture(platform.machine()), SETTINGS, [layer])
        written = Path(scratch, "base.oci.tar")
        with written.open("wb") as sink:
            image.write_archive(base, store, sink)
            sink.flush()
            os.fsync(sink.fileno())
        written.replace(options.archive)
        print(base.image_digest)
        print(f"{options.archive}: {layer.size / 1e6:.0f} MB", file=sys.stderr)
        print(load(base, store), file=sys.stderr)
    return 0


def load(base: image.Image, store: LayerStore) -> str:
    """Load the base where an engine answers; say what was done."""
    try:
        found = engine.connect()
    except EngineUnavailable as error:
        return f"not loaded into an engine: {error}"
    image_id = found.load(base, store)
    name = bases.name_in_engine(base)
    found.tag(image_id, name)
    found.close()
    return f"loaded into the engine as {name}"


if __name__ == "__main__":
    sys.exit(main())
