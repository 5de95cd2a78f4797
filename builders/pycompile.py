"""Compile the modules of a folder and write them to stdout as a tar: ``python3 -c <this file> ROOT FINAL``.

Standard library only: it runs in the Python that will import the modules, which may be in a container. Nothing of the
folder is executed, and nothing is written to it. FINAL is the folder's place in the image, for tracebacks.
"""

import importlib.util
import os
import py_compile
import sys
import tarfile
import tempfile
from pathlib import Path


def main(root: Path, final: Path) -> None:
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as sink, tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch, "module.pyc")
        for folder, folders, files in os.walk(root):
            folders.sort()  # what was compiled before decides which constants marshal shares: the order is part of the result
            for source in sorted(Path(folder, name) for name in files if name.endswith(".py")):
                path = source.relative_to(root)
                try:
                    py_compile.compile(
                        str(source),
                        str(compiled),
                        str(final / path),
                        doraise=True,
                        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                    )
                except py_compile.PyCompileError:
                    continue  # templates and modules for other versions: installers leave them uncompiled too
                sink.add(compiled, importlib.util.cache_from_source(str(path)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
