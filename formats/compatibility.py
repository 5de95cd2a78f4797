"""Whether one signature can stand in for another: for those who call a model, and for those who route to it.

*Backward* compatible: whoever called the older version can call the newer one unchanged, and understands its answers.
*Forward* compatible: whoever calls the newer one can be answered by the older one. Neither: the change is *breaking*.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .signature import Input, Output, Signature

Kind = Literal["unchanged", "backward", "forward", "breaking"]
# Bits of whole numbers that a float holds as NumPy counts them when it widens.
_FLOAT_ROOM = {"FP16": 8, "FP32": 16, "FP64": 64}


@dataclass(frozen=True, slots=True)
class Compatibility:
    """What a change means; ``reasons`` say what stops callers of the older version, one sentence each."""

    kind: Kind
    reasons: tuple[str, ...] = ()

    @property
    def keeps_callers(self) -> bool:
        return self.kind in ("unchanged", "backward")


def judge(before: Signature, after: Signature) -> Compatibility:
    """Compare the contracts of two versions."""
    reasons = tuple(_breaks(before, after))
    back = tuple(_breaks(after, before))
    if not reasons:
        return Compatibility("backward" if back else "unchanged")
    return Compatibility("breaking" if back else "forward", reasons)


def _breaks(old: Signature, new: Signature) -> Iterator[str]:
    """What a caller of ``old`` meets at ``new``."""
    given = {item.name: item for item in old.inputs}
    taken = {item.name: item for item in new.inputs}
    for name in sorted(given.keys() - taken.keys()):
        yield f"The input {name} is no longer taken."
    for name in sorted(taken.keys() - given.keys()):
        yield f"The input {name} is needed and was not."
    for name in sorted(given.keys() & taken.keys()):
        yield from _input_breaks(given[name], taken[name])
    known = {item.name: item for item in new.outputs}
    for output in old.outputs:
        if output.name not in known:
            yield f"The output {output.name} is gone."
        else:
            yield from _output_breaks(output, known[output.name])


def _input_breaks(old: Input, new: Input) -> Iterator[str]:
    what = f"The input {old.name}"
    if not widens(old.datatype, new.datatype):
        yield f"{what} was {old.datatype} and is {new.datatype}."
    if old.shape != new.shape:
        yield f"{what} had the shape {list(old.shape)} and has {list(new.shape)}."
    if old.content_type != new.content_type:
        yield f"{what} was {old.content_type or 'text'} and is {new.content_type or 'text'}."
    elif (old.zone is None) != (new.zone is None):
        kinds = ["times without a zone" if item.zone is None else "times with a zone" for item in (old, new)]
        yield f"{what} was of {kinds[0]} and is of {kinds[1]}."
    if old.nullable and not new.nullable:
        yield f"{what} could be empty and cannot any more."
    if new.categories is not None and (gone := _without(old.categories or (), new.categories)):
        yield f"{what} no longer knows {gone}."
    if old.columns is not None and old.columns != new.columns:
        yield f"{what} has other columns, or in another order."


def _output_breaks(old: Output, new: Output) -> Iterator[str]:
    what = f"The output {old.name}"
    if (old.datatype, old.shape) != (new.datatype, new.shape):
        yield f"{what} was {old.datatype} {list(old.shape)} and is {new.datatype} {list(new.shape)}."
    if old.labels is not None and old.labels != new.labels:
        yield f"{what} has other labels, or in another order."


def widens(old: str, new: str) -> bool:
    """Whether every value of the datatype ``old`` is taken, unchanged, where ``new`` is expected."""
    if old == new:
        return True
    if old in ("BOOL", "BYTES") or new in ("BOOL", "BYTES"):
        return False
    bits, room = int(old.lstrip("UINTFP")), int(new.lstrip("UINTFP"))
    if new.startswith("FP"):
        return bits <= (room if old.startswith("FP") else _FLOAT_ROOM[new])
    if old.startswith("FP") or (old.startswith("INT") and new.startswith("UINT")):
        return False
    return bits < room if old.startswith("UINT") and new.startswith("INT") else bits <= room


def _without(values: tuple[object, ...], others: tuple[object, ...]) -> str:
    gone = [str(value) for value in values if value not in others]
    return ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
