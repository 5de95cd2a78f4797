"""What a clean scan does not say of a model: what it may read or call, whose data it may hold. For the people who decide.

Loaded by the runner from its folder when a model is checked; standard library only. A value that looks personal is never
repeated whole.
"""

import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MOST = 200_000  # words looked at
_SHOWN = 5
# Attributes in which fitted estimators keep rows of the training as they were.
_KEPT_ROWS = ("_fit_X", "support_vectors_", "X_train_", "X_fit_", "X_")
_KEPT_WORDS = ("vocabulary_", "categories_", "classes_", "feature_names_in_", "stop_words_")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_MAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}")
_PHONE = re.compile(r"(?:\+|00)[1-9][0-9 ()/.-]{6,18}[0-9]|0[1-9][0-9]{1,4}[ /-][0-9 -]{4,12}[0-9]")
_NUMBER = re.compile(r"[A-Z]{0,3}-?[0-9]{7,16}")
_TEXT_RUN = re.compile(rb"[\x20-\x7e]{6,400}")


def of(model: Any, path: Path, seen: Iterable[str]) -> list[dict[str, str]]:
    """Each as ``code`` and ``message``, one per code, sorted.

    :param path: the model's file, whose bytes are looked through where the model is not made of Python objects.
    :param seen: what the watch saw, see `watch`.
    """
    told: dict[str, list[str]] = {}
    words: list[str] = []
    for place, part in _parts(model):
        for code, what in (*_parameters(part), *_rows(part)):
            told.setdefault(code, []).append(f"{what}{f' (at {place})' if place else ''}")
        words += _words(part)
    if not hasattr(model, "get_params"):
        words += [match.decode() for match in _TEXT_RUN.findall(path.read_bytes())]
        personal = _personal(words, numbers=False)
    else:
        personal = _personal(words, numbers=True)
    if personal:
        told["personal-data"] = personal
    for event in seen:
        told.setdefault("network-use" if event.startswith("socket.") else "file-use", []).append(event)
    return [
        {"code": code, "message": f"{_SAYS[code]} {'; '.join(items[:_SHOWN])}{_more(items)}."}
        for code, items in sorted(told.items())
    ]


_SAYS = {
    "reads-path": "It reads files whose paths come with the rows:",
    "cache-folder": "It keeps a cache in a folder, which is a store of pickles:",
    "names-callable": "It calls functions that its parameters name:",
    "training-rows": "It keeps rows of its training data as they were:",
    "personal-data": "It holds values that look like personal data:",
    "file-use": "In the sandbox it used files or started programs:",
    "network-use": "In the sandbox it tried to use the network:",
}


def _more(items: list[str]) -> str:
    return f"; {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""


# --- What it is made of ----------------------------------------------------------------------------------------------------


def _parts(model: Any) -> Iterator[tuple[str, Any]]:
    """Every fitted object inside, with the way to it through attributes, steps and transformers."""
    pending: list[tuple[str, Any]] = [("", model)]
    seen: set[int] = set()
    while pending:
        place, part = pending.pop()
        if id(part) in seen or len(seen) > MOST:
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple):
            items: list[Any] = [*part][:10_000]
            named = len(items) in (2, 3) and isinstance(items[0], str)
            step = f"{place} > {items[0]}".removeprefix(" > ") if named else place
            pending += [(step, item) for item in items if _holds_more(item)]
        elif isinstance(part, dict):
            pending += [(place, item) for item in part.values() if _holds_more(item)]
        elif hasattr(part, "get_params") and not isinstance(part, type):
            yield place, part
            pending += [(place, item) for item in vars(part).values() if _holds_more(item)]
        elif getattr(getattr(part, "dtype", None), "kind", "") == "O":
            pending += [(place, item) for item in part.ravel()[:10_000].tolist() if _holds_more(item)]


def _holds_more(item: Any) -> bool:
    kind = getattr(getattr(item, "dtype", None), "kind", "")
    return isinstance(item, list | tuple | dict) or hasattr(item, "get_params") or kind == "O"


def _parameters(part: Any) -> Iterator[tuple[str, str]]:
    name = type(part).__name__
    # Attributes, not get_params(): what was set after fitting counts.
    for key, value in sorted(vars(part).items()):
        if key == "input" and value in ("filename", "file"):
            yield "reads-path", f"{name}(input={value!r})"
        elif key == "memory" and value is not None:
            yield "cache-folder", f"{name}(memory=...)"
        elif not key.endswith("_") and callable(value) and hasattr(value, "__name__") and not isinstance(value, type):
            module = getattr(value, "__module__", None) or ("numpy" if type(value).__name__ == "ufunc" else "builtins")
            yield "names-callable", f"{name}({key}={module}.{value.__name__})"


def _rows(part: Any) -> Iterator[tuple[str, str]]:
    for key in _KEPT_ROWS:
        held = getattr(part, key, None)
        rows, *rest = getattr(held, "shape", ()) or (0,)
        if rows and len(rest) <= 1:
            yield "training-rows", f"{type(part).__name__} keeps {rows} rows"
            return


# --- Values that look personal ---------------------------------------------------------------------------------------------


def _words(part: Any) -> Iterator[str]:
    for key in _KEPT_WORDS:
        held = getattr(part, key, None)
        if held is None:
            continue
        pending = [held.keys() if isinstance(held, dict) else held]
        while pending:
            item = pending.pop()
            if isinstance(item, str):
                yield item
            elif hasattr(item, "tolist"):
                pending.append(item.tolist())
            elif isinstance(item, int) and not isinstance(item, bool):
                yield str(item)
            elif not isinstance(item, float | bytes) and hasattr(item, "__iter__"):
                pending += list(item)[:MOST]


def _personal(words: Iterable[str], *, numbers: bool) -> list[str]:
    """What kinds were met, how often, and the first of each with its middle struck out."""
    kinds: dict[str, set[str]] = {}
    for word in words:
        if kind := kind_of(word, numbers=numbers):
            kinds.setdefault(kind, set()).add(word)
    return [f"{len(found)} like {kind}, as {masked(min(found))}" for kind, found in sorted(kinds.items())]


def kind_of(word: str, *, numbers: bool) -> str | None:
    """Which kind of personal data ``word`` looks like: as a whole, or, in running text, somewhere in it."""
    plain = re.sub(r"[ -]", "", word.upper())
    if any(_is_iban(found) for found in ([plain] if numbers else _IBAN.findall(plain))):
        return "an IBAN"
    if _MAIL.fullmatch(word) or (not numbers and _MAIL.search(word)):
        return "an e-mail address"
    if numbers and _PHONE.fullmatch(word.strip()):
        return "a phone number"
    if numbers and _NUMBER.fullmatch(word.strip().upper()):
        return "a customer number"
    return None


def _is_iban(text: str) -> bool:
    """By its shape and its check digits (ISO 13616): most other words fail them."""
    return bool(_IBAN.fullmatch(text)) and int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def masked(word: str) -> str:
    """``word`` with at most its first and last two characters readable."""
    keep = 2 if len(word) >= 8 else 1
    return f"{word[:keep]}{'*' * 6}{word[-keep:]}"


# --- What it does ------------------------------------------------------------------------------------------------------------


def watch(site: Path, files: Path) -> set[str]:
    """From here on, note what Python code does with files, programs and the network; the set fills by itself.

    Python's own reading of the libraries in ``site`` and of the given ``files`` is left out. Compiled code that opens a file
    by itself is not seen.
    """
    seen: set[str] = set()
    # Where Python and its libraries lie, and what the system is asked about processors, memory and time zones.
    folders = (site, files, Path(sys.base_prefix), Path(sysconfig.get_path("stdlib")))
    own = tuple(str(folder.resolve()) for folder in folders) + tuple(entry for entry in (str(site), *sys.path) if entry)
    own = (*own, "/proc/", "/sys/", "/dev/", "/etc/", "/usr/lib", "/usr/share/", "/lib")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if len(seen) > 100:
            return
        if event == "open":
            path, _, flags = (*arguments, 0, 0)[:3]
            writes = isinstance(flags, int) and flags & 3
            if isinstance(path, str | bytes) and (writes or not str(_text(path)).startswith(own)):
                seen.add(f"{'wrote' if writes else 'read'} a file named {masked(Path(_text(path)).name)}")
        elif event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto") or event in (
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.posix_spawn",
            "os.remove",
            "os.rename",
            "os.mkdir",
        ):
            seen.add(event)

    sys.addaudithook(note)
    return seen


def _text(path: str | bytes) -> str:
    return path.decode(errors="replace") if isinstance(path, bytes) else path
