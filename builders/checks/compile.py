"""Check step 5: the model is turned into forms that need neither its library nor pickle, in the sandbox, with its own libraries.

Not compiling is no failure: the version is then served by its own library, and the report says why in plain words. What comes
out of the sandbox was written by a process that loaded a foreign file: its head is judged here, its bytes by the step after.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders import resolver
from builders.checks import report, requirements
from builders.checks.introspect import Model, check_end, last_words
from builders.checks.report import Finding, Isolation, Refused
from builders.checks.sample import Sample
from builders.checks.unpickle import printable
from builders.sandbox import FILES, SITE, TOOLS, Caps, Libraries, Sandbox, SandboxResult
from formats import canonical, digest
from formats.artifacts import File
from formats.lock import Lock
from formats.manifest import ENGINES
from formats.shapes import Node, ShapeError
from formats.signature import Signature

TOOLS_WANTED = ("onnx", "onnxruntime", "skl2onnx")
CAPS = Caps(seconds=300, output=512 << 20)

OWN_CODE = (
    "It brings code of its own, which runs in a hardened process of its own and nowhere else.",
    "Nothing to do: the version is served by its own libraries.",
)
"""Message and hint of a version that is not compiled because nothing here vouches for what its code does."""
_NOTHING_TO_DO = "Nothing to do: the version is served by its own library."
_HEAD = struct.Struct("<IQ")
_LONGEST_HEAD = 4 << 20
_FILE_NAME = r"[a-z0-9_]{1,40}\.(json|npy|onnx)"


@dataclass(frozen=True)
class Candidate:
    """A form that the program made: its engine and its files' bytes by name."""

    engine: str
    files: Mapping[str, bytes]

    def listed(self) -> tuple[File, ...]:
        """Its files as the release and the image name them."""
        return tuple(File(path, digest.of_bytes(data), len(data)) for path, data in sorted(self.files.items()))


@dataclass(frozen=True)
class Compiled:
    """The report; by preference the candidates; and the rows to compare them on, frames that only the sandbox reads.

    ``reason``: why there are none.
    """

    report: dict[str, Any]
    candidates: tuple[Candidate, ...] = ()
    rows: Mapping[str, bytes] = field(default_factory=dict)
    reason: Finding | None = None


def programs(checkout: Path) -> dict[str, Path]:
    """What runs in the sandbox: the programs of `builders/compile/` and the serving code they use, by place."""
    folders = ("builders/compile", "serving/forms")
    loading = ("__init__", "runner", "model_error", "tensors", "natives", "estimators", "introspection")
    alone = ("builders/__init__.py", *(f"serving/{name}.py" for name in loading))
    found = [*(path for folder in folders for path in (checkout / folder).glob("*.py")), *map(checkout.joinpath, alone)]
    return {path.relative_to(checkout).as_posix(): path for path in sorted(found)}


def resolve_tools(lock: Lock, pinned: str, index: resolver.Index) -> Lock:
    """The wheels the compile tools need beside those of ``lock``, at versions that fit them.

    :param pinned: the tools' requirements file.
    :raises Unresolvable: there is no set of versions that fits.
    :raises IndexUnreachable: worth trying again later.
    """
    pins = requirements.parse(pinned, lock.target).pins
    tools = [pins[name] for name in TOOLS_WANTED]
    mine = {wheel.name: frozenset({wheel.sha256}) for wheel in lock.wheels}
    wanted = [*(f"{wheel.name}=={wheel.version}" for wheel in lock.wheels), *map(str, tools)]
    hashes = mine | {pin.name: pin.hashes for pin in tools if pin.name not in mine}
    found = resolver.resolve(wanted, lock.target, index=index, hashes=hashes)
    return Lock(lock.target, tuple(wheel for wheel in found.wheels if wheel.name not in mine))


def compile_model(
    model: Model,
    sample: Sample,
    signature: Signature,
    *,
    programs: Mapping[str, Path],
    sandbox: Sandbox,
    libraries: Libraries,
    tools: Lock,
    caps: Caps = CAPS,
) -> Compiled:
    """Run the program on ``model``.

    :param libraries: the model's own, with the tools beside them.
    :raises EngineError: the container engine is gone; worth trying again later.
    """
    name = f"model.{model.format}"
    files: dict[str, bytes | Path] = {**programs, name: model.path, "sample.jsonl": sample.data}
    files["allow.json"] = model.allow()
    files["signature.json"] = canonical.dumps(signature.to_dict())
    # Not -I: converters order a graph by sets, and the environment, which is all ours, fixes the order of those.
    arguments = ["-s", "-P", "-B", f"{FILES}/builders/compile/program.py", "--site", SITE, "--tools", TOOLS]
    arguments += ["--model", f"{FILES}/{name}", "--format", model.format, "--allow", f"{FILES}/allow.json"]
    arguments += ["--sample", f"{FILES}/sample.jsonl", "--signature", f"{FILES}/signature.json"]
    ended = sandbox.run(arguments, files=files, libraries=libraries, caps=caps)
    facts: dict[str, Any] = {
        "tools": [f"{wheel.name}=={wheel.version}" for wheel in tools.wheels],
        "tools_lock": tools.digest,
    }
    try:
        candidates, left_out, rows = _answer(ended, caps)
    except Refused as refused:
        return without(refused, facts, isolation=sandbox.isolation)
    if not candidates:
        reasons = dict.fromkeys(item["reason"] for item in left_out)
        return without(
            Refused("no-form", f"{'; '.join(reasons) or 'Nothing here knows this model'}.", _NOTHING_TO_DO),
            facts,
            left_out=left_out,
            isolation=sandbox.isolation,
        )
    facts |= {
        "candidates": [
            {"engine": candidate.engine, "files": [file.to_dict() for file in candidate.listed()]}
            for candidate in candidates
        ],
        "left_out": left_out,
        "reason": None,
    }
    forms = " and as ".join(dict.fromkeys(WORDS[candidate.engine] for candidate in candidates))
    passed = report.passed("compile", f"The model was compiled as {forms}.", facts, isolation=sandbox.isolation)
    return Compiled(passed, candidates, rows)


def without(
    refused: Refused,
    facts: Mapping[str, Any] | None = None,
    *,
    left_out: Sequence[Mapping[str, str]] = (),
    isolation: Isolation = "none",
) -> Compiled:
    """The report of a version that no form was made of, and why."""
    reason = refused.finding
    told = {**(facts or {}), "candidates": [], "left_out": list(left_out), "reason": reason.to_dict()}
    said = f"Not compiled. {reason.message}"
    return Compiled(report.passed("compile", said, told, isolation=isolation), reason=reason)


WORDS = {"arrays": "plain arrays", "onnx": "a graph for ONNX Runtime"}
"""The engines in words."""


def _answer(ended: SandboxResult, caps: Caps) -> tuple[tuple[Candidate, ...], list[dict[str, str]], dict[str, bytes]]:
    """What the program printed, taken apart.

    :raises Refused: it did not end well, or printed something else.
    """
    check_end(ended, caps)
    if ended.exit_code != 0 or len(ended.stdout) < _HEAD.size:
        raise Refused(
            "compile-failed",
            f"The compiling process ended with status {ended.exit_code}. Its last words: {last_words(ended.stderr)}",
            _NOTHING_TO_DO,
        )
    head_size, data_size = _HEAD.unpack_from(ended.stdout)
    end = _HEAD.size + head_size
    if head_size > _LONGEST_HEAD or len(ended.stdout) != end + data_size:
        raise _odd("its lengths do not add up")
    try:
        return _parts(Node(canonical.loads(ended.stdout[_HEAD.size : end])), ended.stdout[end:])
    except (canonical.CanonicalError, ShapeError) as error:
        raise _odd(str(error)) from None


def _parts(head: Node, data: bytes) -> tuple[tuple[Candidate, ...], list[dict[str, str]], dict[str, bytes]]:
    fields = head.fields(("candidates", "left_out", "rows"))
    start = 0

    def take(node: Node) -> bytes:
        nonlocal start
        size = node.integer(most=len(data) - start)
        start += size
        return data[start - size : start]

    candidates = []
    for item in fields["candidates"].items(most=len(ENGINES)):
        members = item.fields(("engine", "files"))
        files = {}
        for file in members["files"].items(least=1, most=10):
            described = file.fields(("path", "size"))
            files[described["path"].text(_FILE_NAME, "the name of a file of a form")] = take(described["size"])
        candidates.append(Candidate(members["engine"].one_of(ENGINES), files))
    left_out = []
    for item in fields["left_out"].items(most=10):
        members = item.fields(("engine", "reason"))
        left_out.append(
            {"engine": members["engine"].one_of(ENGINES), "reason": printable(members["reason"].text(), 500)}
        )
    names = ("answered.bin", "refused.bin")
    rows = {name: take(node) for name, node in zip(names, fields["rows"].items(least=1, most=len(names)), strict=False)}
    return tuple(candidates), left_out, rows


def _odd(problem: str) -> Refused:
    return Refused(
        "compile-answer",
        f"What the compiling process printed cannot be used: {printable(problem, 500)}.",
        "Something in the model writes over the answer. Ask the operator to look at it.",
    )
