"""Check step 6: is what will run what was validated? Each candidate is held against the original, row by row, in the sandbox.

It runs on the serving runtime's libraries with serving's own code: what is compared here is what answers in production. The
first candidate that is equal is the compiled form that the release binds. Nothing in the report depends on time or chance:
candidates come in a fixed order, and differences are told as the power of ten that bounds them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.checks import report
from builders.checks.compile import WORDS, Candidate, Compiled
from builders.checks.introspect import check_end, last_words
from builders.checks.report import Finding, Isolation, Refused
from builders.checks.unpickle import printable
from builders.sandbox import FILES, SITE, Caps, Libraries, Sandbox, SandboxResult
from formats import canonical, manifest
from formats.artifacts import File
from formats.shapes import Node, ShapeError

TOLERANCE = 1e-6
CAPS = Caps(seconds=300)
_NOTHING_TO_DO = "Nothing to do: the version is served by its own library."


def measure(
    compiled: Compiled,
    *,
    programs: Mapping[str, Path],
    sandbox: Sandbox,
    runtime: Libraries,
    runtime_lock: str,
    keep: Callable[[bytes], object],
    caps: Caps = CAPS,
) -> dict[str, Any]:
    """Compare ``compiled``'s candidates with the original, and keep the files of the one that will run.

    :param runtime_lock: digest of the serving runtime's lock.
    :param keep: takes each file of the chosen form into the store.
    :returns: a report; its facts hold ``compiled``, None when the model's own library will serve it.
    :raises EngineError: the container engine is gone; worth trying again later.
    """
    facts: dict[str, Any] = {"tolerance": TOLERANCE, "runtime": runtime_lock, "rows": None, "candidates": []}
    if compiled.reason is not None:
        return _library(facts, compiled.reason, "none", said=compiled.report["summary"])
    files: dict[str, bytes | Path] = {**programs, **compiled.rows}
    for place, candidate in enumerate(compiled.candidates):
        files |= {f"{place}/{path}": data for path, data in candidate.files.items()}
    arguments = ["-I", "-B", f"{FILES}/builders/compile/compare.py", "--site", SITE]
    arguments += ["--candidates", str(len(compiled.candidates)), "--tolerance", str(TOLERANCE)]
    ended = sandbox.run(arguments, files=files, libraries=runtime, caps=caps)
    try:
        facts |= _answer(ended, compiled.candidates, caps)
    except Refused as refused:
        return _library(facts, refused.finding, sandbox.isolation)
    chosen = next((place for place, item in enumerate(facts["candidates"]) if item["equal"]), None)
    if chosen is None:
        problems = "; ".join(dict.fromkeys(problem for item in facts["candidates"] for problem in item["problems"]))
        said = f"The compiled form does not answer as the original does: {problems}."
        return _library(facts, Finding("not-equal", said, _NOTHING_TO_DO), sandbox.isolation)
    candidate = compiled.candidates[chosen]
    for data in candidate.files.values():
        keep(data)
    facts |= {"compiled": _described(candidate), "reason": None}
    return report.passed("parity", _summary(candidate, facts, chosen), facts, isolation=sandbox.isolation)


def _described(candidate: Candidate) -> dict[str, Any]:
    listed = [File(f"{manifest.COMPILED}/{file.path}", file.sha256, file.size) for file in candidate.listed()]
    return {
        "engine": candidate.engine,
        "digest": manifest.compiled_digest(listed),
        "files": [file.to_dict() for file in listed],
    }


def _library(facts: dict[str, Any], reason: Finding, isolation: Isolation, *, said: str = "") -> dict[str, Any]:
    """The report of a version that its own library serves, and why."""
    told = {**facts, "compiled": None, "reason": reason.to_dict()}
    summary = f"{said or reason.message} It is served by its own library, in a process of its own."
    return report.passed("parity", summary, told, isolation=isolation)


def _summary(candidate: Candidate, facts: Mapping[str, Any], chosen: int) -> str:
    rows, found = facts["rows"], facts["candidates"][chosen]
    count = rows["sample"] + rows["edge"]
    labels = f" All {count} labels are equal." if found["labels"] else ""
    largest = found["largest_difference"]
    scores = (
        "scores are equal to the last bit"
        if largest == 0
        else f"the largest difference of a score is below {largest:.0e}"
    )
    return (
        f"What runs was compared with what was pushed on {count} rows, {rows['edge']} of them edge cases.{labels} "
        f"Tolerance {facts['tolerance']:.0e}: {scores}. It runs as {WORDS[candidate.engine]}, without its library and without pickle."
    )


def _answer(ended: SandboxResult, candidates: Sequence[Candidate], caps: Caps) -> dict[str, Any]:
    """``rows`` and ``candidates`` of the facts, from what the program printed.

    :raises Refused: it did not end well, or printed something else.
    """
    check_end(ended, caps)
    if ended.exit_code != 0:
        raise Refused(
            "parity-failed",
            f"The comparison ended with status {ended.exit_code}. Its last words: {last_words(ended.stderr)}",
            _NOTHING_TO_DO,
        )
    try:
        fields = Node(canonical.loads(ended.stdout)).fields(("rows", "candidates"))
        counted = fields["rows"].fields(("sample", "edge", "refused"))
        rows = {name: node.integer() for name, node in counted.items()}
        listed = fields["candidates"].items(least=len(candidates), most=len(candidates))
        found = [_one(item, candidate) for item, candidate in zip(listed, candidates, strict=True)]
    except (canonical.CanonicalError, ShapeError) as error:
        raise Refused(
            "parity-answer",
            f"What the comparison printed cannot be used: {printable(str(error), 500)}.",
            "Ask the operator to look at it.",
        ) from None
    return {"rows": rows, "candidates": found}


def _one(node: Node, candidate: Candidate) -> dict[str, Any]:
    fields = node.fields(("equal", "labels", "largest", "problems"))
    labels = None
    if fields["labels"].value is not None:
        labels = {name: item.integer() for name, item in fields["labels"].fields(("equal", "of")).items()}
    largest = fields["largest"].value
    if largest is not None and not (isinstance(largest, int | float) and largest >= 0):
        raise fields["largest"].expected("a number, or null where a difference is infinite")
    return {
        "engine": candidate.engine,
        "equal": fields["equal"].boolean(),
        "labels": labels,
        "largest_difference": None if largest is None else bound(float(largest)),
        "problems": [printable(item.text(), 300) for item in fields["problems"].items(most=10)],
    }


def bound(difference: float) -> float:
    """The smallest power of ten above ``difference``, 0 for none: the same on machines whose last bits differ."""
    return 0.0 if difference == 0 else float(f"1e{math.floor(math.log10(difference)) + 1}")
