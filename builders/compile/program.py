"""Compile a model into candidates, and answer the rows they will be compared on. Runs in the sandbox.

    python -s -P -B builders/compile/program.py --site DIR --tools DIR --model FILE --format F --allow FILE --sample FILE --signature FILE

Prints a frame: lengths of a JSON head and of the data (`<IQ`), the head, the data. The head lists what the data holds, in order:
the files of each candidate, then the rows to compare on. The model is loaded by `serving/estimators.py`, as when it is checked
and when its own library serves it.
"""

import argparse
import json
import os
import struct
import sys
import warnings
from pathlib import Path


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="program.py")
    for name in ("site", "tools", "model", "allow", "sample", "signature"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--format", required=True)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    """Print one frame; whatever the model or a converter prints goes to standard error."""
    arguments = _arguments(argv)
    own_output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    folder = Path(__file__).resolve().parents[2]
    sys.path.append(str(folder))
    from serving import runner  # noqa: PLC0415  # found in the folder of this run only

    runner.enter(arguments.site)
    # The model's own libraries come first: the tools were resolved so that they fit them.
    sys.path.append(str(arguments.tools))
    from builders.compile import making  # noqa: PLC0415  # needs numpy, which enter() has made importable
    from serving import estimators, introspection  # noqa: PLC0415  # likewise

    allowed = frozenset(json.loads(arguments.allow.read_bytes())["globals"])
    warnings.simplefilter("ignore")
    model = estimators.load(arguments.model, arguments.format, allowed)
    signature = json.loads(arguments.signature.read_bytes())
    head, data = making.make(model, signature, introspection.read_sample(arguments.sample))
    text = json.dumps(head).encode()
    own_output.write(struct.pack("<IQ", len(text), sum(len(part) for part in data)))
    own_output.writelines([text, *data])
    own_output.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
