"""Check step 4: the answers of the model on its sample rows, as the release will have to repeat them."""

from typing import Any

from builders.checks import report
from builders.checks.report import Finding, Isolation
from formats import canonical
from formats.shapes import Node, ShapeError
from formats.signature import Signature


def judge(answers: Any, signature: Signature, rows: int, isolation: Isolation) -> dict[str, Any]:
    """Write the report of the answers that came out of the sandbox.

    :param answers: method -> one answer per row: a scalar, or a list of them for an output of two axes.
    :returns: a report; its facts are ``rows``, ``answers`` and ``answers_digest`` (of the answers' canonical JSON).
    """
    try:
        _check(Node(answers, "answers"), signature, rows)
        digest = canonical.digest(answers)
    except (ShapeError, canonical.CanonicalError) as error:
        finding = Finding(
            "bad-answer",
            f"The model's answers to the sample cannot be kept: {str(error)[:500]}.",
            "An answer is a number, text, or true or false for every row, or a list of them. Call predict on the sample and look.",
        )
        return report.failed("predict", [finding], isolation=isolation)
    methods = ", ".join(answers)
    summary = f"The model answered {rows} sample row{'' if rows == 1 else 's'} with {methods}."
    facts = {"rows": rows, "answers_digest": digest, "answers": answers}
    return report.passed("predict", summary, facts, isolation=isolation)


def _check(answers: Node, signature: Signature, rows: int) -> None:
    """:raises ShapeError: an answer that is not of the shape the signature gives."""
    shapes = {output.name: output.shape for output in signature.outputs}
    for name, node in answers.fields(tuple(shapes)).items():
        for row in node.items(least=rows, most=rows):
            if len(shapes[name]) == 1:
                _scalar(row)
                continue
            width = shapes[name][1]
            for value in row.items(least=width, most=width):
                _scalar(value)


def _scalar(node: Node) -> None:
    # A score may be missing: NaN and infinity have no JSON form and come as null.
    if node.value is not None:
        node.scalar()
