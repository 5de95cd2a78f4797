"""Entry point of an image, copied to opt/countersign/app/start.py: finds our code and its libraries, and nothing else's."""

import sys
from pathlib import Path


def prepare() -> None:
    """Import from the standard library, the serving runtime and our own code; never from the host's packages.

    Ours goes last, so no file beside it can stand in for a library; and no bytecode is written among sealed files.
    """
    sys.dont_write_bytecode = True
    app = Path(__file__).resolve().parent
    host = [entry for entry in sys.path if Path(entry).name not in ("site-packages", "dist-packages")]
    sys.path[:] = [*(entry for entry in host if Path(entry).resolve() != app), str(app.parent / "runtime"), str(app)]


if __name__ == "__main__":
    prepare()
    from serving.app import main

    sys.exit(main(sys.argv[1:]))
