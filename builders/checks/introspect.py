"""Check step 3: the model is loaded in the sandbox with its own libraries, and says what it is.

The same program that serves the model runs it here. What it prints passed through a process that loaded a foreign file: it is
text to be judged, of bounded size and fixed shape.
"""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.checks import predict, report
from builders.checks.report import Refused
from builders.checks.sample import Sample
from builders.checks.unpickle import printable
from builders.sandbox import FILES, SITE, Caps, Libraries, Sandbox, SandboxResult
from formats import canonical
from formats.shapes import Node, ShapeError
from formats.signature import Signature

PROGRAM = (
    "runner.py",
    "model_error.py",
    "own_code.py",
    "tensors.py",
    "natives.py",
    "estimators.py",
    "introspection.py",
    "frame_loop.py",
    "notices.py",
)
_FAILED = 3  # exit code of the program when it explains itself
_LONGEST = 1000  # characters of a message from the sandbox
_FACTS = (
    "class",
    "classes",
    "params",
    "n_features",
    "labels",
    "libraries",
    "columns",
    "signature",
    "warnings",
    "notices",
)


@dataclass(frozen=True)
class Model:
    """What is to be run: the file, how it is read, and the only names it may import (of the scan's facts).

    ``own_code``: wheels whose names are among them, as :func:`builders.checks.own_code.at_load` tells them.
    """

    path: Path
    format: str
    globals: Sequence[str]
    own_code: Sequence[Mapping[str, Any]] = ()

    def allow(self) -> bytes:
        """The `allow.json` that the runner obeys."""
        return allow_document(self.globals, self.own_code)


@dataclass(frozen=True)
class Introspected:
    """The two reports, and what the model takes and answered when both passed. ``predict`` is None when nothing answered."""

    report: dict[str, Any]
    predict: dict[str, Any] | None = None
    signature: Signature | None = None


def introspect(
    model: Model, sample: Sample, *, program: Path, sandbox: Sandbox, libraries: Libraries, caps: Caps | None = None
) -> Introspected:
    """Load the model in ``sandbox`` and let it answer ``sample``.

    :param program: the folder that holds the files of `PROGRAM`.
    :raises EngineError: the container engine is gone; worth trying again later. There is no report then.
    """
    if sample.findings:
        return Introspected(report.failed("introspect", sample.findings))
    caps = caps or Caps()
    name = f"model.{model.format}"
    files: dict[str, bytes | Path] = {part: program / part for part in PROGRAM}
    files |= {name: model.path, "allow.json": model.allow(), "sample.jsonl": sample.data}
    arguments = ["-I", "-S", "-B", f"{FILES}/runner.py", "introspect", "--site", SITE, "--model", f"{FILES}/{name}"]
    arguments += ["--format", model.format, "--allow", f"{FILES}/allow.json", "--sample", f"{FILES}/sample.jsonl"]
    ended = sandbox.run(arguments, files=files, libraries=libraries, caps=caps)
    try:
        said = _answer(ended, caps)
        facts, signature = _facts(said)
    except Refused as refused:
        return Introspected(report.failed("introspect", [refused.finding], isolation=sandbox.isolation))
    passed = report.passed("introspect", _summary(facts), facts, isolation=sandbox.isolation)
    answered = predict.judge(said.get("answers"), signature, len(sample.rows), sandbox.isolation)
    return Introspected(passed, answered, signature if answered["outcome"] == "passed" else None)


def allow_document(names: Sequence[str], own_code: Sequence[Mapping[str, Any]]) -> bytes:
    """What the runner may import for a model file, in the sandbox and in an image."""
    return canonical.dumps({"globals": sorted(names), **({"own_code": list(own_code)} if own_code else {})})


def _answer(ended: SandboxResult, caps: Caps) -> dict[str, Any]:
    """The JSON object the program printed, when it ended well.

    :raises Refused: it did not; with its own explanation when it has one.
    """
    check_end(ended, caps)
    try:
        said = canonical.loads(ended.stdout)
    except canonical.CanonicalError:
        said = None
    if ended.exit_code == _FAILED and isinstance(said, dict) and isinstance(said.get("error"), dict):
        error = said["error"]
        if "MemoryError" in str(error.get("message")):
            raise _out_of_memory(caps)
        raise Refused(_code(error.get("code")), _text(error.get("message")), _text(error.get("hint")))
    if ended.exit_code != 0:
        raise Refused(
            "sandbox-crashed",
            f"The model's process ended with status {ended.exit_code}. Its last words: {last_words(ended.stderr)}",
            "Load the file and call predict in a fresh interpreter with the versions of the lock; what fails there fails here.",
        )
    if not isinstance(said, dict):
        raise _odd("it is not one JSON object")
    return said


def check_end(ended: SandboxResult, caps: Caps) -> None:
    """:raises Refused: the process was cut off: time, output, memory."""
    if ended.timed_out or ended.exit_code in _codes(signal.SIGXCPU):
        raise Refused(
            "sandbox-timeout",
            f"The model did not load and answer its sample within {caps.seconds:.0f} seconds.",
            "Send fewer sample rows, or make the model smaller; the operator can allow more time.",
        )
    if ended.flooded:
        raise Refused(
            "sandbox-flooded",
            f"The answers to the sample are more than {caps.output} bytes.",
            "Send fewer sample rows.",
        )
    if ended.out_of_memory or ended.exit_code in _codes(signal.SIGKILL):
        raise _out_of_memory(caps)


def _codes(number: signal.Signals) -> tuple[int, int]:
    """How a death by this signal is told, by a child process and by a container."""
    return -number, 128 + number


def _out_of_memory(caps: Caps) -> Refused:
    return Refused(
        "sandbox-memory",
        f"The model needs more than the {caps.memory >> 20} MiB of memory that are allowed.",
        "Make the model smaller (fewer trees, a smaller vocabulary), or ask the operator for a higher limit.",
    )


def _facts(said: Mapping[str, Any]) -> tuple[dict[str, Any], Signature]:
    """What the program said of the model, checked for shape.

    :raises Refused: anything is missing or of another kind.
    """
    node = Node(dict(said))
    try:
        members = node.members(_FACTS)
        signature = Signature.from_dict(members["signature"].value, "signature")
        members["class"].text(r"[\w.<>]{1,300}", "the name of a class")
        for name in ("classes", "columns", "warnings"):
            for item in members[name].items(most=10_000):
                item.text()
        if members["n_features"].value is not None:
            members["n_features"].integer()
        if members["labels"].value is not None:
            for item in members["labels"].items(most=100_000):
                item.scalar()
        for library in members["libraries"].members(()).values():
            library.text(r"[0-9A-Za-z.!+_-]{1,64}", "a version")
        members["params"].members(())
        for item in members["notices"].items(most=20):
            notice = item.fields(("code", "message"))
            notice["code"].text(r"[a-z-]{1,40}", "the code of a notice")
            notice["message"].text(r"[^\x00-\x1f\x7f]{1,2000}", "a line of text")
        facts = {name: members[name].value for name in _FACTS}
        canonical.dumps(facts)
    except (ShapeError, canonical.CanonicalError) as error:
        raise _odd(str(error)) from None
    return facts, signature


def _summary(facts: Mapping[str, Any]) -> str:
    name = str(facts["class"]).rpartition(".")[2]
    signature = facts["signature"]
    takes = {"text": "text", "matrix": "rows of numbers", "frame": f"{len(signature['inputs'])} named columns"}
    outputs = ", ".join(output["name"] for output in signature["outputs"])
    libraries = ", ".join(f"{library} {version}" for library, version in facts["libraries"].items())
    return (
        f"The model is a {name}; it takes {takes[signature['layout']]} and answers {outputs}. It ran with {libraries}."
    )


def _odd(problem: str) -> Refused:
    return Refused(
        "sandbox-answer",
        f"What the model's process said of it cannot be used: {printable(problem, _LONGEST)}.",
        "Something in the model writes over the answer, or the model's names are not plain text. Ask the operator to look at it.",
    )


def _code(value: Any) -> str:
    known = ("sample-mismatch", "load-refused", "load-failed", "predict-failed", "not-an-estimator")
    return value if value in known else "load-failed"


def _text(value: Any) -> str:
    """What the program said, as a sentence of ours."""
    text = printable(value, _LONGEST).strip() if isinstance(value, str) else ""
    if not text:
        return "No more is known."
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def last_words(stderr: bytes) -> str:
    """The last line a process of the sandbox said, fit for a report."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1], 200) if lines else "none"
