"""Hold each candidate against what the original answered. Runs in the sandbox, on the serving runtime's libraries.

    python -I -B builders/compile/compare.py --site DIR --candidates N --tolerance T

Candidates are the folders `0`, `1`, ... beside `answered.bin` and `refused.bin`. Prints one JSON object.
"""

import argparse
import json
import os
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Compare, with the modules of `serving/` that answer in production."""
    parser = argparse.ArgumentParser(prog="compare.py")
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--candidates", type=int, required=True)
    parser.add_argument("--tolerance", type=float, required=True)
    arguments = parser.parse_args(argv)
    own_output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    folder = Path(__file__).resolve().parents[2]
    host = [entry for entry in sys.path if Path(entry).name not in ("site-packages", "dist-packages")]
    sys.path[:] = [str(arguments.site), *host, str(folder)]
    from builders.compile import comparing  # noqa: PLC0415  # needs numpy, which is importable only now

    folders = [folder / str(place) for place in range(arguments.candidates)]
    json.dump(comparing.compare(folders, comparing.read(folder), arguments.tolerance), own_output)
    own_output.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
