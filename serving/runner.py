"""The one program that loads a model: in the sandbox when it is checked, and in production.

    python -I -S -B runner.py introspect --site DIR --model FILE --format FORMAT --allow FILE --sample FILE
    python -I -S -B runner.py serve      --site DIR --model FILE --format FORMAT --allow FILE --signature FILE --fd N

`introspect` prints one JSON object: class, parameters, signature and answers of the model on the sample. `serve` answers
frames (`tensors.pack`) on a socket until it closes. Both exit 3 with `{"error": {"code", "message", "hint"}}` when they cannot.
It runs in the model's own environment (``--site``), so it needs the standard library and numpy, and of ours only `MODULES`
beside it. One program for both uses makes what was checked and what answers later the same code.
"""

import argparse
import gc
import importlib
import json
import os
import socket
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

# One thread per model process, in the check as in production, so that sums are taken in the same order.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
FORMATS = ("joblib", "pickle", "skops", "onnx", "lightgbm", "xgboost")
PACKAGE = "countersign_runner"  # what our modules are called here: `formats/own_code.py` lets no wheel have that name
WITHOUT_LIBRARIES = ("model_error", "own_code")
OF_COMMANDS = {"introspect": ("introspection", "notices"), "serve": ("frame_loop",)}
MODULES = (*WITHOUT_LIBRARIES, "tensors", "natives", "estimators", *OF_COMMANDS["introspect"], *OF_COMMANDS["serve"])
FAILED = 3


def enter(site: Path) -> None:
    """Import from the standard library, which comes first, and ``site`` only: no library may stand in for `pickle`.

    Neither the host's packages nor our folder go on the path: a library missing in the model's lock must be missed here, and
    none of our modules may stand in for one of its own.
    """
    for variable in THREADS:
        os.environ.setdefault(variable, "1")
    host = [entry for entry in sys.path if Path(entry).name not in ("site-packages", "dist-packages")]
    sys.path[:] = [*(entry for entry in host if Path(entry).resolve() != Path(__file__).resolve().parent), str(site)]


def ours() -> ModuleType:
    """A package of our modules beside this file, with those that import no library of the model."""
    package = ModuleType(PACKAGE)
    package.__path__ = [str(Path(__file__).resolve().parent)]
    sys.modules[PACKAGE] = package
    for name in WITHOUT_LIBRARIES:
        importlib.import_module(f"{PACKAGE}.{name}")
    return package


def main(argv: list[str]) -> int:
    arguments = _arguments(argv)
    # What a model prints must not stand among what we print: from here on file 1 is file 2.
    own_output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    link = socket.socket(fileno=arguments.fd) if arguments.command == "serve" else None
    our = ours()
    try:
        enter(arguments.site)
        listed = json.loads(arguments.allow.read_bytes())
        our.own_code.check(arguments.site, listed.get("own_code", ()))
        _import_for(arguments.command, our)
        allowed = frozenset(listed["globals"])
        if link is None:
            own_output.write(json.dumps(_describe(our, arguments, allowed), allow_nan=False) + "\n")
        else:
            _serve(our, arguments, allowed, link)
    except Exception as raised:  # noqa: BLE001  # the one place where any failure becomes an answer
        error = our.model_error.told(raised)
        if link is None:
            own_output.write(json.dumps({"error": error}) + "\n")
        else:  # a frame made by hand: the codec may be what could not be loaded
            text = json.dumps({"error": error, "tensors": []}).encode()
            link.sendall(len(text).to_bytes(4, "little") + bytes(8) + text)
        return FAILED
    finally:
        own_output.flush()
    return 0


def _describe(our: ModuleType, arguments: argparse.Namespace, allowed: frozenset[str]) -> dict[str, Any]:
    sample = our.introspection.read_sample(arguments.sample)
    seen = our.notices.watch(arguments.site, arguments.model.parent)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = our.estimators.load(arguments.model, arguments.format, allowed)
        found: dict[str, Any] = our.introspection.introspect(model, sample)
    said = {our.model_error.brief(item.message) for item in caught if isinstance(item.message, Warning)}
    return found | {"notices": our.notices.of(model, arguments.model, sorted(seen)), "warnings": sorted(said)}


def _serve(our: ModuleType, arguments: argparse.Namespace, allowed: frozenset[str], link: socket.socket) -> None:
    with warnings.catch_warnings(action="ignore"):
        model = our.estimators.load(arguments.model, arguments.format, allowed)
    gc.freeze()
    our.frame_loop.serve(model, json.loads(arguments.signature.read_bytes()), link)


def _import_for(command: str, our: ModuleType) -> None:
    try:
        for name in ("estimators", *OF_COMMANDS[command]):
            importlib.import_module(f"{PACKAGE}.{name}")
    except ImportError as error:
        raise our.model_error.RunnerError(
            "load-failed",
            f"numpy cannot be imported from the model's lock: {error}",
            "Add numpy to requirements.txt.",
        ) from None


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="runner.py")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("introspect", "serve"):
        command = commands.add_parser(name)
        command.add_argument("--site", type=Path, required=True, help="folder of the model's own libraries")
        command.add_argument("--model", type=Path, required=True)
        command.add_argument("--format", choices=FORMATS, required=True)
        command.add_argument("--allow", type=Path, required=True, help="allow.json of the scan")
        if name == "introspect":
            command.add_argument("--sample", type=Path, required=True, help="records, one JSON object per line")
        else:
            command.add_argument("--signature", type=Path, required=True)
            command.add_argument("--fd", type=int, required=True, help="inherited socket to the server")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
