"""What a pickle may do with a listed name: restore an empty instance, call it with plain values, set an instance's state."""

from collections.abc import Callable, Iterator
from typing import Any

from builders.checks import arrays, values
from builders.checks.names import AllowList
from builders.checks.report import Refused
from builders.checks.stream import SAVE_AGAIN
from builders.checks.values import ArrayHeader, Global, Made, Table

_INSIDE = 4096  # values looked at inside the arguments of one call


def restore(allowed: AllowList, cls: Any, args: Any) -> Made:
    """NEWOBJ: an instance made by ``__new__``, which runs no constructor when ``args`` is empty."""
    if type(cls) is not Global:
        raise _refuse(f"The pickle makes an instance of {values.describe(cls)}, which is not a plain name")
    if args != ():
        return call(allowed, cls, args)
    if allowed.knows(cls.label) and not allowed.may_be_new(cls.label):
        raise _refuse(f"The pickle makes an instance of {cls.dotted}, which may only be referred to")
    return Made(cls)


def call(allowed: AllowList, callee: Any, args: Any, kwargs: Table | None = None) -> Made:
    """REDUCE, or NEWOBJ with arguments. A name that is not listed was already noted, so its call is let pass.

    :raises Refused: not a plain name, a name that may not be called, or arguments it is never pickled with.
    """
    if type(callee) is not Global:
        raise _refuse(f"The pickle calls {values.describe(callee)}, which is not a plain name")
    if type(args) is not tuple:
        raise _refuse(f"The pickle calls {callee.dotted} with {values.describe(args)} for arguments")
    if not allowed.knows(callee.label):
        return Made(callee)
    if not allowed.may_be_called(callee.label):
        raise _refuse(f"The pickle calls {callee.dotted}, which may only be restored or referred to")
    if callee.label == "numpy:dtype":
        return Made(callee, dtype=arrays.make_dtype(args))
    if callee.label == "copyreg:_reconstructor":
        return _reconstruct(allowed, args)
    rule = _RULES.get(callee.label)
    if rule is not None and not rule(args):
        raise _refuse(f"The pickle calls {callee.dotted} with arguments that it is never pickled with")
    for item in _inside((*args, *(kwargs.entries.values() if kwargs else ()))):
        # An array header handed to a function that returns its argument would be read as an array behind this machine's back.
        if type(item) is ArrayHeader or (type(item) is Global and not allowed.may_take(callee.label, item.label)):
            raise _refuse(f"The pickle calls {callee.dotted} and hands it {values.describe(item)}")
    if kwargs is not None and not kwargs.whole:
        raise _refuse(f"The pickle calls {callee.dotted} with too many keyword arguments")
    return Made(callee)


def check_state(target: Made, state: Any) -> None:
    """BUILD: refuse a state that could change what ``target`` is instead of what it holds.

    The second half of a pair goes through setattr, where `__class__` turns the instance into one of another class; joblib then
    reads an array where this machine reads opcodes.
    """
    if target.dtype is not None:
        arrays.check_dtype_state(target.dtype, state)
        return
    parts = state if type(state) is tuple and len(state) == 2 else (state,)
    for part in parts:
        if type(part) is Table and part.special:
            raise _refuse(f"The state of {target.made_by.dotted} sets the attribute {part.special}")
        if type(part) is Made and part.filled:
            raise _refuse(f"The state of {target.made_by.dotted} is not a plain dict")
    if len(parts) == 2 and type(parts[1]) is Table and not parts[1].whole:
        raise _refuse(f"The state of {target.made_by.dotted} has keys that are not text")


def _reconstruct(allowed: AllowList, args: tuple[Any, ...]) -> Made:
    """`copyreg._reconstructor(cls, base, state)`: how protocols 0 and 1 restore an empty instance."""
    if len(args) == 3 and type(args[0]) is Global and type(args[1]) is Global:
        cls, base, state = args
        plain = base.label == "builtins:object" and state is None
        dictionary = base.label == "builtins:dict" and type(state) is Table
        named_tuple = base.label == "builtins:tuple" and values.is_tuple(state) and allowed.may_be_called(cls.label)
        if (plain or dictionary or named_tuple) and (allowed.may_be_new(cls.label) or not allowed.knows(cls.label)):
            return Made(cls, filled=dictionary or named_tuple)
    raise _refuse("The pickle restores an instance in a way that picklers never use")


def _inside(items: tuple[Any, ...]) -> Iterator[Any]:
    pending = list(items)
    seen = 0
    while pending:
        item = pending.pop()
        seen += 1
        if seen > _INSIDE:
            raise _refuse("The pickle calls a name with arguments that are nested without end")
        yield item
        if type(item) is tuple:
            pending += item
        elif type(item) is Table:
            pending += item.entries.values()


# Callables whose arguments decide what is opened, imported, called or allocated.
_RULES: dict[str, Callable[[tuple[Any, ...]], bool]] = {
    # The encoding is a name that Python imports a module for.
    "_codecs:encode": lambda args: len(args) == 2 and _is_text(args[0]) and args[1] == "latin1",
    "builtins:bytearray": lambda args: (
        args == () or (len(args) == 1 and values.is_bytes(args[0])) or (_is_text(args[0]) and args[1:] == ("latin-1",))
    ),
    "builtins:bytes": lambda args: args == (),
    "builtins:set": lambda args: len(args) == 1 and args[0] is values.LIST,
    "builtins:frozenset": lambda args: len(args) == 1 and args[0] is values.LIST,
    "collections:OrderedDict": lambda args: args == (),
    "collections:defaultdict": lambda args: len(args) <= 1,
    "numpy.ma.core:_mareconstruct": lambda args: len(args) == 4 and args[2] == (0,),
}
for _constructor in ("__generator_ctor", "__randomstate_ctor"):
    # The second argument is called.
    _RULES[f"numpy.random._pickle:{_constructor}"] = lambda args: len(args) <= 1 or type(args[1]) is Global

for _multiarray in ("numpy._core.multiarray", "numpy.core.multiarray"):
    _RULES[f"{_multiarray}:_reconstruct"] = lambda args: len(args) == 3 and args[1] == (0,) and values.is_bytes(args[2])
    # With an object dtype this function returns its second argument as it is.
    _RULES[f"{_multiarray}:scalar"] = lambda args: (
        len(args) == 2 and _is_plain_dtype(args[0]) and values.is_bytes(args[1])
    )


def _is_plain_dtype(value: Any) -> bool:
    return type(value) is Made and value.dtype is not None and not value.dtype.objects


def _is_text(value: Any) -> bool:
    return type(value) is str or value is values.TEXT


def _refuse(message: str) -> Refused:
    return Refused("unsafe-construct", message + ".", SAVE_AGAIN)
