"""Hostile model files, built byte by byte. The payload of those that can fire makes a folder, and does no other thing."""

import bz2
import copy
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

from tests.builders.checks.hostile_formats import data_files

HEADER = "joblib.numpy_pickle NumpyArrayWrapper"


@dataclass(frozen=True)
class Hostile:
    """One file.

    ``fires``: loaded by the loader of its format, without an allow-list, it makes the folder ``marker``. ``inert``: why it
    does not, where it does not.
    """

    name: str
    format: str
    build: Callable[[str], bytes]
    codes: frozenset[str]
    fires: bool = False
    inert: str = ""


class Evil:
    """Calls what it is given while it is unpickled."""

    def __init__(self, callee: Any, *args: Any) -> None:
        self.call = (callee, args)

    def __reduce__(self) -> Any:
        return self.call


def bomb_of(marker: str) -> Evil:
    import os

    return Evil(os.mkdir, marker)


# A small assembler.


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(dotted: str) -> bytes:
    """GLOBAL; `module qualname`."""
    module, qualname = dotted.split(" ")
    return f"c{module}\n{qualname}\n".encode()


def stack_name(dotted: str) -> bytes:
    module, qualname = dotted.split(" ")
    return text(module) + text(qualname) + b"\x93"


def call(dotted: str, *args: bytes) -> bytes:
    return name(dotted) + b"(" + b"".join(args) + b"tR"


def whole(*parts: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + b"".join(parts) + b"."


def mkdir(marker: str) -> bytes:
    return call("os mkdir", text(marker))


def dumped(value: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    joblib.dump(value, sink, **options)
    return sink.getvalue()


@cache
def model() -> LogisticRegression:
    return LogisticRegression().fit(np.arange(8.0).reshape(4, 2), [0, 1, 0, 1])


DTYPE_F8 = (
    call("numpy dtype", text("f8"), b"\x89", b"\x88")
    + b"(K\x03"
    + text("<")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)


def array_header(
    *, dtype: bytes = DTYPE_F8, shape: bytes = b"K\x01\x85", alignment: bytes | None = b"K\x10", made: bytes = b""
) -> bytes:
    """joblib's header object with its state, up to the BUILD after which raw array bytes follow."""
    state = {
        "subclass": name("numpy ndarray"),
        "shape": shape,
        "order": text("C"),
        "dtype": dtype,
        "allow_mmap": b"\x89",
    }
    if alignment is not None:
        state["numpy_array_alignment_bytes"] = alignment
    items = b"".join(text(key) + value for key, value in state.items())
    return (made or name(HEADER) + b")\x81") + b"}(" + items + b"ub"


RAW = b"\x01\xff" + b"\0" * 8
OBJECT_DTYPE = call("numpy dtype", text("O8"), b"\x89", b"\x88")

_UNKNOWN = frozenset({"unknown-name"})
_UNSAFE = frozenset({"unsafe-construct"})
_MALFORMED = frozenset({"malformed"})
_FORMAT = frozenset({"format-mismatch"})


@dataclass
class Corpus:
    files: list[Hostile] = field(default_factory=list)
    because: str = ""

    def add(
        self,
        label: str,
        build: Callable[[str], bytes],
        codes: frozenset[str],
        *,
        declared: str = "pickle",
        fires: bool = False,
    ) -> None:
        self.files.append(Hostile(label, declared, build, codes, fires, "" if fires else self.because))

    def fires(
        self, label: str, build: Callable[[str], bytes], codes: frozenset[str] = _UNKNOWN, *, declared: str = "pickle"
    ) -> None:
        self.add(label, build, codes, declared=declared, fires=True)


def corpus() -> list[Hostile]:
    files = Corpus()
    for part, files.because in _PARTS.items():
        part(files)
    for label, declared, data, codes, reason in data_files():
        files.files.append(Hostile(label, declared, lambda _, d=data: d, frozenset(codes), inert=reason))
    labels = [file.name for file in files.files]
    assert len(labels) == len(set(labels))
    return files.files


def _every_protocol(files: Corpus) -> None:
    for protocol in range(6):
        files.fires(f"protocol-{protocol}", lambda m, p=protocol: pickle.dumps(bomb_of(m), protocol=p))
        files.fires(
            f"beside-a-model-protocol-{protocol}",
            lambda m, p=protocol: pickle.dumps({"model": model(), "extra": bomb_of(m)}, protocol=p),
        )


def _joblib(files: Corpus) -> None:
    for method in ("zlib", "gzip", "bz2", "lzma", "xz"):
        files.fires(f"joblib-{method}", lambda m, c=method: dumped(bomb_of(m), compress=(c, 3)), declared="joblib")
    files.add(
        "joblib-lz4",
        lambda m: dumped(bomb_of(m), compress=("lz4", 3)),
        frozenset({"unsupported-compression"}),
        declared="joblib",
        fires=True,
    )
    files.fires("joblib-plain", lambda m: dumped(bomb_of(m)), declared="joblib")
    files.fires("joblib-arrays-first", lambda m: dumped([np.arange(100.0), model(), bomb_of(m)]), declared="joblib")
    files.fires(
        "joblib-arrays-first-zlib",
        lambda m: dumped([np.arange(100.0), model(), bomb_of(m)], compress=3),
        declared="joblib",
    )
    files.fires("joblib-protocol-2", lambda m: dumped([np.arange(4), bomb_of(m)], protocol=2), declared="joblib")


def _object_arrays(files: Corpus) -> None:
    def nested(marker: str) -> Any:
        return np.array([1, bomb_of(marker), "x"], dtype=object)

    for compress in (0, 3):
        files.fires(f"object-array-{compress}", lambda m, c=compress: dumped(nested(m), compress=c), declared="joblib")
    files.fires(
        "object-array-2d-fortran",
        lambda m: dumped(np.asfortranarray(nested(m).reshape(1, 3).repeat(2, 0))),
        declared="joblib",
    )
    files.fires("object-array-in-a-list", lambda m: dumped([np.arange(3), [nested(m)]]), declared="joblib")

    def inside_model(marker: str) -> bytes:
        hidden = copy.copy(model())
        hidden.feature_names_in_ = nested(marker)
        return dumped(hidden)

    files.fires("object-array-in-a-model", inside_model, declared="joblib")
    header = array_header(dtype=OBJECT_DTYPE)
    files.fires("object-array-by-hand", lambda m: whole(header, whole(mkdir(m))), declared="joblib")
    files.add(
        "object-array-with-raw-array", lambda _: whole(header, whole(array_header(), RAW)), _UNSAFE, declared="joblib"
    )
    files.fires(
        "object-array-not-finished",
        lambda m: whole(header, whole(b"(", mkdir(m), b"K\x01")),
        _UNKNOWN | _UNSAFE,
        declared="joblib",
    )


def _memo(files: Corpus) -> None:
    files.fires(
        "memo-index-set-twice",
        lambda m: whole(
            text("collections"),
            b"q\x00",
            text("os"),
            b"q\x00",
            b"0" * 2,
            b"h\x00",
            text("mkdir"),
            b"\x93",
            text(m),
            b"\x85R",
        ),
        _UNSAFE,
    )
    files.fires(
        "memo-far-index",
        lambda m: whole(
            text("os"), b"r\x00\x00\x01\x00", b"0", b"j\x00\x00\x01\x00", text("mkdir"), b"\x93", text(m), b"\x85R"
        ),
        _UNSAFE,
    )
    files.fires(
        "memo-put-and-memoize",
        lambda m: whole(
            text("numpy"), b"\x94", text("os"), b"q\x05", b"00h\x05", text("mkdir"), b"\x93", text(m), b"\x85R"
        ),
        _UNSAFE,
    )
    files.fires("memo-name-kept", lambda m: whole(name("os mkdir"), b"\x94", b"0", b"h\x00", text(m), b"\x85R"))
    files.fires("memo-text-index", lambda m: whole(text("os"), b"p0\n0g0\n", text("mkdir"), b"\x93", text(m), b"\x85R"))
    files.fires("dup", lambda m: whole(name("os mkdir"), b"2", b"0", text(m), b"\x85R"))
    files.add("memo-bomb", lambda _: whole(b"N", b"r\xff\xff\xff\x7f"), _UNSAFE)
    files.add("memo-missing", lambda _: whole(b"h\x07"), _MALFORMED)


def _callables(files: Corpus) -> None:
    code = "import os; os.mkdir({!r})"
    files.fires("exec", lambda m: whole(call("builtins exec", text(code.format(m)))))
    files.fires("eval", lambda m: whole(call("builtins eval", text(f"__import__('os').mkdir({m!r})"))))
    files.fires("import-then-getattr", lambda m: whole(
        name("builtins getattr"), b"(", call("builtins __import__", text("os")), text("mkdir"), b"tR", text(m), b"\x85R",
    ), _UNKNOWN | _UNSAFE)  # fmt: skip
    files.fires(
        "resolve-name",
        lambda m: whole(call("pkgutil resolve_name", text("os:mkdir")), text(m), b"\x85R"),
        _UNKNOWN | _UNSAFE,
    )
    files.fires("methodcaller", lambda m: whole(
        call("operator methodcaller", text("mkdir"), text(m)), call("importlib import_module", text("os")), b"\x85R",
    ), _UNKNOWN | _UNSAFE)  # fmt: skip
    files.fires(
        "partial", lambda m: whole(call("functools partial", name("os mkdir"), text(m)), b")R"), _UNKNOWN | _UNSAFE
    )
    files.fires(
        "map",
        lambda m: whole(call("builtins list", call("builtins map", name("os mkdir"), b"]" + text(m) + b"a"))),
        _UNKNOWN | _UNSAFE,
    )
    files.fires(
        "filter-in-a-set",
        lambda m: whole(call("builtins frozenset", call("builtins filter", name("os mkdir"), b"]" + text(m) + b"a"))),
        _UNKNOWN | _UNSAFE,
    )
    files.fires("timeit", lambda m: whole(call("timeit timeit", text("pass"), text(code.format(m)), b"N", b"K\x01")))
    files.fires("cprofile", lambda m: whole(call("cProfile run", text(code.format(m)))))
    files.fires(
        "runstring", lambda m: whole(call("numpy.testing._private.utils runstring", text(code.format(m)), b"}"))
    )
    files.fires("subprocess", lambda m: whole(call("subprocess call", b"](" + text("mkdir") + text(m) + b"e")))
    files.fires("posix", lambda m: whole(call("posix mkdir", text(m))))
    files.fires("shell", lambda m: whole(call("os system", text(f"mkdir {m}"))))
    files.fires("spawn", lambda m: whole(call("os spawnlp", b"K\x00", text("mkdir"), text("mkdir"), text(m))))
    files.fires("path", lambda m: whole(call("pathlib Path.mkdir", call("pathlib Path", text(m))), protocol=4))
    files.fires(
        "pathlib-class",
        lambda m: whole(stack_name("pathlib Path.mkdir"), b"(", call("pathlib PosixPath", text(m)), b"tR"),
    )
    files.fires("code-object-runner", lambda m: whole(
        stack_name("code InteractiveInterpreter.runcode"), b"(", call("code InteractiveInterpreter"),
        call("builtins compile", text(code.format(m)), text("x"), text("exec")), b"tR",
    ), _UNKNOWN | _UNSAFE)  # fmt: skip
    files.fires("fixture-helper", lambda m: whole(call("shutil copytree", text("/proc/self/fdinfo"), text(m))))
    for label, dotted in (
        ("popen", "os popen"), ("pip", "pip main"), ("ctypes", "ctypes CDLL"), ("pty", "pty spawn"), ("logging", "logging.config _resolve"),
        ("io-open", "_io open"), ("codecs-open", "codecs open"), ("uuid", "uuid _get_command_stdout"), ("webbrowser", "webbrowser open"),
        ("interpreters", "_xxsubinterpreters run_string"), ("marshal", "marshal loads"), ("nested-pickle", "pickle loads"),
        ("joblib-load", "joblib.numpy_pickle load"), ("numpy-load", "numpy load"), ("numpy-fromfile", "numpy fromfile"),
        ("f2py", "numpy.f2py compile"), ("ctypeslib", "numpy.ctypeslib load_library"), ("load-files", "sklearn.datasets._base load_files"),
        ("fetch", "sklearn.datasets._openml fetch_openml"), ("func-wrapper", "sklearn.utils.parallel _FuncWrapper"),
        ("memory", "joblib.memory Memory"), ("namedtuple", "collections namedtuple"), ("type", "builtins type"),
        ("scipy-stats", "scipy.stats._distn_infrastructure rv_continuous"), ("read-pickle", "pandas.io.pickle read_pickle"),
        ("lightgbm-file", "lightgbm.basic Dataset"), ("torch", "torch._utils _rebuild_tensor_v2"),
    ):  # fmt: skip
        files.add(f"call-{label}", lambda m, d=dotted: whole(call(d, text(m))), _UNKNOWN | {"lambda"})


def _many_names(files: Corpus) -> None:
    names = b"".join(name(f"sklearn.pipeline Name{number}") + b"0" for number in range(3000))
    files.add("three-thousand-names", lambda _: whole(names, b"N"), frozenset({"unknown-name", "too-large"}))


def _names_in_disguise(files: Corpus) -> None:
    files.fires("dotted", lambda m: whole(stack_name("joblib.numpy_pickle os.mkdir"), text(m), b"\x85R"))
    files.fires("dotted-stdlib", lambda m: whole(stack_name("shutil os.mkdir"), text(m), b"\x85R"))
    files.add(
        "dotted-of-listed", lambda _: whole(stack_name("sklearn.base BaseEstimator.get_params.__globals__")), _UNKNOWN
    )
    files.fires(
        "python2-builtins",
        lambda m: whole(call("__builtin__ eval", text(f"__import__('os').mkdir({m!r})")), protocol=2),
    )
    files.fires("python2-commands", lambda m: whole(call("commands getoutput", text(f"mkdir {m}")), protocol=2))
    files.fires("no-protocol", lambda m: (f"cos\nmkdir\n(V{m}\ntR.").encode())
    files.add(
        "module-with-colon",
        lambda _: whole(stack_name("sklearn.linear_model._logistic:LogisticRegression x")),
        _UNKNOWN,
    )
    files.add("empty-name", lambda _: whole(text(""), text(""), b"\x93"), _UNKNOWN)
    files.add("name-of-bytes", lambda _: whole(b"C\x02os", text("mkdir"), b"\x93"), _UNSAFE)
    files.add("name-of-number", lambda _: whole(b"K\x01", text("mkdir"), b"\x93"), _UNSAFE)
    files.add("wide-letters", lambda _: whole(stack_name("builtins ｅｖａｌ")), _UNKNOWN)
    files.add("control-characters", lambda _: whole(stack_name("o\x1b[2Js mk\u202edir")), _UNKNOWN)
    files.add("surrogate", lambda _: whole(b"X\x03\x00\x00\x00\xed\xa0\x80", text("x"), b"\x93"), _UNKNOWN)


def _old_opcodes(files: Corpus) -> None:
    files.fires("inst", lambda m: (f"(V{m}\nios\nmkdir\n.").encode(), _UNKNOWN | _UNSAFE)
    files.fires("obj", lambda m: whole(b"(", name("os mkdir"), text(m), b"o"), _UNKNOWN | _UNSAFE)
    files.add("obj-listed", lambda _: whole(b"(", name("sklearn.pipeline Pipeline"), b"o"), _UNSAFE)
    files.add("inst-listed", lambda _: b"(isklearn.pipeline\nPipeline\n.", _UNSAFE)
    for code in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"):
        files.add(f"extension-{code[0]:x}", lambda _, c=code: whole(c), _UNSAFE)
    files.add("persistent-id", lambda _: b"Pevil\n.", _MALFORMED | _FORMAT | _UNSAFE)
    files.add("persistent-id-later", lambda _: whole(b"Pevil\n"), _UNSAFE)
    files.add("persistent-id-binary", lambda _: whole(text("evil"), b"Q"), _UNSAFE)
    files.add("out-of-band-buffer", lambda _: whole(b"\x97", protocol=5), _UNSAFE)
    files.add("read-only-buffer", lambda _: whole(b"C\x01x\x98", protocol=5), _UNSAFE)
    files.add("python2-text", lambda _: whole(b"S'x'\n"), _UNSAFE)
    files.add("unknown-opcode", lambda _: whole(b"\xff"), _MALFORMED)
    files.add("unknown-protocol", lambda _: whole(b"N", protocol=9), _MALFORMED)
    files.add("protocol-in-mid-stream", lambda m: whole(b"N0\x80\x02", mkdir(m)), _UNSAFE, fires=True)


def _not_plain_names(files: Corpus) -> None:
    listed = name("sklearn.linear_model._logistic LogisticRegression") + b")\x81"
    files.add("call-an-instance", lambda _: whole(listed, b")R"), _UNSAFE)
    files.add("call-text", lambda _: whole(text("os.mkdir"), text("x"), b"\x85R"), _UNSAFE)
    files.add("call-a-number", lambda _: whole(b"K\x01)R"), _UNSAFE)
    files.add("call-with-a-list", lambda _: whole(name("numpy dtype"), b"]R"), _UNSAFE)
    files.add("instance-of-an-instance", lambda _: whole(listed, b")\x81"), _UNSAFE)
    files.add(
        "state-on-a-class",
        lambda _: whole(
            name("sklearn.linear_model._logistic LogisticRegression"), b"}", text("predict"), name("numpy exp"), b"sb"
        ),
        _UNSAFE,
    )
    files.add("state-on-a-function", lambda _: whole(name("numpy exp"), b"}", text("x"), b"Nsb"), _UNSAFE)
    files.add("state-on-a-dict", lambda _: whole(b"}}b"), _UNSAFE)
    files.add("state-on-a-list", lambda _: whole(b"]}b"), _UNSAFE)
    files.add("items-in-a-class", lambda _: whole(name("sklearn.pipeline Pipeline"), text("a"), b"Ns"), _UNSAFE)
    files.add("append-to-an-instance", lambda _: whole(listed, b"Na"), _UNSAFE)
    files.add("append-to-a-dict", lambda _: whole(b"}Na"), _UNSAFE)
    files.add("add-to-a-list", lambda _: whole(b"](N\x90"), _UNSAFE)
    files.add("class-by-slot-state", lambda _: whole(
        listed, b"N}", text("__class__"), name("sklearn.pipeline Pipeline"), b"s\x86b",
    ), _UNSAFE)  # fmt: skip
    files.add(
        "class-by-state",
        lambda _: whole(listed, b"}", text("__class__"), name("sklearn.pipeline Pipeline"), b"sb"),
        _UNSAFE,
    )
    files.add("state-in-a-filled-instance", lambda _: whole(
        listed, b"N", call("collections OrderedDict"), text("__class__"), name("sklearn.pipeline Pipeline"), b"s\x86b",
    ), _UNSAFE)  # fmt: skip


def _listed_names(files: Corpus) -> None:
    """Names that are on the list, used as no pickler uses them."""
    for label, build in (
        ("estimator-called", call("sklearn.feature_extraction.text CountVectorizer", text("/etc/passwd"))),
        ("estimator-new-with-arguments", name("sklearn.pipeline Pipeline") + b"N\x85\x81"),
        ("booster-called", call("lightgbm.basic Booster", b"N", b"N", text("/etc/passwd"))),
        ("xgboost-called", call("xgboost.core Booster", b"N", b")", text("/etc/passwd"))),
        ("memmap-called", call("numpy memmap", text("/etc/passwd"))),
        ("memmap-new", name("numpy memmap") + text("/etc/passwd") + b"\x85\x81"),
        ("ndarray-called", call("numpy ndarray", b"J\xff\xff\xff\x7f\x85")),
        ("function-called", call("numpy exp", b"K\x01")),
        ("score-function-called", call("sklearn.metrics._ranking roc_auc_score", b"]", b"]")),
        ("codec-imports", call("_codecs encode", text("x"), text("evil.module"))),
        ("codec-bomb", call("_codecs encode", text("x"), text("zlib_codec"))),
        ("bytearray-bomb", call("builtins bytearray", b"J\xff\xff\xff\x7f")),
        ("reconstruct-bomb", call("numpy._core.multiarray _reconstruct", name("numpy ndarray"), b"J\xff\xff\xff\x7f\x85", b"C\x01b")),
        ("reconstruct-other-class", call("numpy._core.multiarray _reconstruct", name("sklearn.pipeline Pipeline"), b"K\x00\x85", b"C\x01b")),
        ("scalar-returns-its-argument", call("numpy._core.multiarray scalar", OBJECT_DTYPE, text("x"))),
        ("copyreg-with-state", call("copyreg _reconstructor", name("sklearn.pipeline Pipeline"), name("builtins object"), text("x"))),
        ("copyreg-tuple-as-attributes",
            name("sklearn.calibration _CalibratedClassifier") + b")\x81" + call(
                "copyreg _reconstructor", name("sklearn.impute._iterative _ImputerTriplet"), name("builtins tuple"),
                b"}}" + text("__class__") + name("sklearn.pipeline Pipeline") + b"s\x86") + b"b"),
        ("copyreg-other-base", call("copyreg _reconstructor", name("sklearn.pipeline Pipeline"), name("builtins int"), b"K\x01")),
        ("generator-calls-its-argument", call("numpy.random._pickle __generator_ctor", text("x"), name("numpy exp"))),
        ("generator-calls-an-instance", call(
            "numpy.random._pickle __generator_ctor", text("x"), name("sklearn.metrics._scorer _Scorer") + b")\x81")),
        ("defaultdict-of-estimators", call("collections defaultdict", name("sklearn.pipeline Pipeline"))),
        ("ordered-dict-of-pairs", call("collections OrderedDict", b"](" + text("__class__") + name("sklearn.pipeline Pipeline") + b"\x86e")),
        ("tree-of-another-class", call("sklearn.neighbors._kd_tree newObj", name("sklearn.pipeline Pipeline"))),
        ("names-in-a-nested-tuple", call("sklearn.tree._tree Tree", b"K\x01", name("numpy exp") + b"\x85\x85", b"K\x01")),
    ):  # fmt: skip
        files.add(f"listed-{label}", lambda _, b=build: whole(b), _UNSAFE)
    files.add(
        "listed-keyword-arguments",
        lambda _: whole(name("sklearn.tree._tree Tree"), b")}", text("x"), name("numpy exp"), b"s\x92"),
        _UNSAFE,
    )


def _two_in_one(files: Corpus) -> None:
    trailing = frozenset({"trailing-bytes"})
    good = pickle.dumps(model())
    files.add("second-pickle", lambda m: good + whole(mkdir(m)), trailing)
    files.add("one-byte-more", lambda _: good + b"\n", trailing)
    files.add("second-pickle-joblib", lambda m: dumped(model()) + dumped(bomb_of(m)), trailing, declared="joblib")
    files.add(
        "stop-inside-a-frame",
        lambda m: b"\x80\x04\x95" + struct.pack("<Q", 40) + b"N." + whole(mkdir(m)).ljust(38, b"."),
        trailing,
    )
    for label, compress in (
        ("zlib", zlib.compress),
        ("gzip", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
    ):
        files.add(
            f"second-{label}-stream", lambda m, c=compress: c(good) + c(whole(mkdir(m))), trailing, declared="joblib"
        )
        files.add(
            f"after-the-{label}-stream", lambda m, c=compress: c(good) + whole(mkdir(m)), trailing, declared="joblib"
        )
        # joblib goes on with the second stream where the first one stops in the middle of the pickle.
        files.add(
            f"pickle-over-two-{label}-streams",
            lambda m, c=compress: c(good[:60]) + c(good[60:]),
            trailing | {"truncated"},
            declared="joblib",
        )
    files.add("values-left", lambda m: whole(b"K\x01", mkdir(m)), _UNKNOWN | _UNSAFE, fires=True)
    files.add("marks-left", lambda _: whole(b"(N"), _UNSAFE)


def _cut_off(files: Corpus) -> None:
    good, arrays = pickle.dumps(model()), dumped(model())
    cut = frozenset({"truncated"})
    for part in range(1, 8):
        files.add(f"cut-pickle-{part}", lambda _, p=part: good[: len(good) * p // 8], cut)
        files.add(f"cut-joblib-{part}", lambda _, p=part: arrays[: len(arrays) * p // 8], cut, declared="joblib")
    for method in ("zlib", "gzip", "bz2", "lzma", "xz"):
        files.add(
            f"cut-{method}",
            lambda _, c=method: dumped(model(), compress=(c, 3))[:-20],
            cut | _MALFORMED,
            declared="joblib",
        )
    files.add("empty", lambda _: b"", cut)
    files.add("protocol-only", lambda _: b"\x80\x04", cut)
    files.add("missing-end", lambda _: good[:-1], cut)
    files.add("damaged-zlib", lambda _: dumped(model(), compress=3)[:30] + b"\xff" * 200, _MALFORMED, declared="joblib")
    files.add("wrong-checksum", lambda _: dumped(model(), compress=3)[:-4] + b"\0\0\0\0", _MALFORMED, declared="joblib")


def _bombs(files: Corpus) -> None:
    huge = struct.pack("<Q", 256 << 30)
    cut, bomb, large = frozenset({"truncated"}), frozenset({"bomb"}), frozenset({"too-large"})
    files.add("bytearray-256-gib", lambda _: whole(b"\x96" + huge, protocol=5), cut)
    files.add("bytes-256-gib", lambda _: whole(b"\x8e" + huge), cut)
    files.add("text-256-gib", lambda _: whole(b"\x8d" + huge), cut)
    files.add("frame-256-gib", lambda _: whole(b"\x95" + huge), _UNSAFE)
    files.add(
        "frame-in-a-frame",
        lambda _: whole(b"\x95" + struct.pack("<Q", 20), b"\x95" + struct.pack("<Q", 4), b"N" * 30),
        _UNSAFE,
    )
    files.add("long-2-gib", lambda _: whole(b"\x8b\xff\xff\xff\x7f"), _UNSAFE)
    files.add("many-operations", lambda _: whole(b"N0" * 600_000, b"N"), large)
    zeros = b"\0" * (20 << 20)
    for label, compress in (
        ("zlib", zlib.compress),
        ("gzip", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
    ):
        packed = compress(whole(b"B" + struct.pack("<I", len(zeros)), zeros))
        files.add(f"bomb-{label}", lambda _, p=packed: p, bomb | cut, declared="joblib")
    alone = bytearray(lzma.compress(b"x" * 100, format=lzma.FORMAT_ALONE))
    alone[1:5] = struct.pack("<I", 0xFFFFFFF0)  # a dictionary of 4 GiB
    files.add("bomb-lzma-dictionary", lambda _: bytes(alone), _MALFORMED | _FORMAT, declared="joblib")
    array = array_header(shape=b"\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85")
    files.add("array-of-8-tib", lambda _: whole(array, RAW), cut, declared="joblib")


def _loader_confusion(files: Corpus) -> None:
    """Files that mean one thing to joblib's loader and another to pickle's."""

    def raw_payload(marker: str) -> bytes:
        program = b"0" + mkdir(marker) + b"."
        return program.ljust(-(-len(program) // 8) * 8, b".")

    def unaligned(marker: str, alignment: bytes | None) -> bytes:
        payload = raw_payload(marker)
        return whole(array_header(alignment=alignment, shape=b"K" + bytes([len(payload) // 8]) + b"\x85"), payload)

    files.add("confusion-no-alignment", lambda m: unaligned(m, None), _UNSAFE, declared="joblib")
    files.add("confusion-no-alignment-as-pickle", lambda m: unaligned(m, None), _FORMAT, fires=True)
    files.add("confusion-alignment-none", lambda m: unaligned(m, b"N"), _UNSAFE, declared="joblib")
    files.add(
        "confusion-padding-is-an-opcode",
        lambda m: whole(array_header(), b"0" + raw_payload(m)),
        _UNSAFE,
        declared="joblib",
    )
    files.add(
        "confusion-padding-is-a-program",
        lambda m: whole(array_header(), b"\x10" + raw_payload(m).ljust(100, b"N")),
        _UNSAFE,
        declared="joblib",
    )
    files.add("joblib-declared-pickle", lambda _: dumped(model()), _FORMAT)
    files.add("joblib-zlib-declared-pickle", lambda _: dumped(model(), compress=3), _FORMAT)
    files.add("zlib-of-a-pickle-declared-pickle", lambda m: zlib.compress(whole(mkdir(m))), _FORMAT)
    files.add("header-called", lambda _: whole(call(HEADER, b"N")), _UNSAFE, declared="joblib")
    files.add("header-by-copyreg", lambda _: whole(
        array_header(made=call("copyreg _reconstructor", name(HEADER), name("builtins object"), b"N")), RAW,
    ), _UNSAFE, declared="joblib")  # fmt: skip
    files.add("header-state-twice", lambda _: whole(
        name(HEADER), b")\x81\x94", array_header(made=b"h\x00"), RAW, b"0", array_header(made=b"h\x00"), RAW,
    ), _UNSAFE, declared="joblib")  # fmt: skip
    files.add("header-by-a-function-that-returns-it", lambda _: whole(
        call("numpy._core.multiarray scalar", OBJECT_DTYPE, name(HEADER) + b")\x81"), b"}b",
    ), _UNSAFE, declared="joblib")  # fmt: skip
    files.add("header-in-slots", lambda _: whole(name(HEADER), b")\x81N}\x86b"), _UNSAFE, declared="joblib")
    files.add("header-more-keys", lambda _: whole(
        array_header(alignment=b"K\x10" + text("x") + b"N"), RAW,
    ), _UNSAFE, declared="joblib")  # fmt: skip
    files.add("header-other-class", lambda _: whole(
        array_header().replace(name("numpy ndarray"), name("sklearn.pipeline Pipeline")), RAW,
    ), _UNSAFE, declared="joblib")  # fmt: skip
    files.add("old-header", lambda _: whole(
        name("joblib.numpy_pickle_compat NDArrayWrapper"), b")\x81}(", text("filename"), text("/etc/passwd"), b"ub",
    ), _UNSAFE, declared="joblib")  # fmt: skip
    files.add(
        "old-header-new-place",
        lambda _: whole(name("joblib.numpy_pickle ZNDArrayWrapper"), b")\x81"),
        _UNSAFE,
        declared="joblib",
    )
    files.add(
        "array-inside-a-frame",
        lambda _: b"\x80\x04\x95" + struct.pack("<Q", len(array_header()) + 2) + array_header() + b"N0" + RAW + b".",
        _UNSAFE,
        declared="joblib",
    )


def _numbers(files: Corpus) -> None:
    """Numbers that one unpickler reads and another does not, before a payload."""
    for label, line in (
        ("hexadecimal", b"I0x1\n"), ("octal", b"I010\n"), ("new-octal", b"I0o7\n"), ("underscore", b"I1_0\n"), ("space", b"I 1\n"),
        ("plus", b"I+1\n"), ("long-hexadecimal", b"L0x1L\n"),
    ):  # fmt: skip
        files.fires(f"number-{label}", lambda m, b=line: whole(b, b"0", mkdir(m)), _UNSAFE)
    for label, line in (("put", b"Np00\n0"), ("get", b"Np0\n0g 0\n0")):
        files.fires(f"number-{label}", lambda m, b=line: whole(b, mkdir(m)), _UNSAFE)
    for label, line in (
        ("float-underscore", b"F1_0.5\n0"), ("float-space", b"F 1\n0"), ("float-hexadecimal", b"F0x1p3\n0"), ("empty", b"I\n0"),
        ("put-negative", b"Np-1\n0"), ("put-hexadecimal", b"Np0x0\n0"),
    ):  # fmt: skip
        files.add(f"number-{label}", lambda m, b=line: whole(b, mkdir(m)), _UNSAFE)


def _dtypes(files: Corpus) -> None:
    """Dtypes that would make NumPy read past an array, or take bytes for objects."""
    minus = b"J\xff\xff\xff\xff"

    def dtype(
        code: str, *, size: bytes = minus, flags: bytes = b"K\x00", names: bytes = b"N", fields: bytes = b"N", base: bytes = b"N",
        alignment: bytes = b"",
    ) -> bytes:  # fmt: skip
        alignment = alignment or (b"K\x01" if code[0] in "SUV" else minus)
        state = b"(K\x03" + text("|") + base + names + fields + size + alignment + flags + b"t"
        return call("numpy dtype", text(code), b"\x89", b"\x88") + state + b"b"

    field = text("a") + b"\x85"
    inner = dtype("f8")
    for label, made in (
        ("pointer-flags", dtype("f8", flags=b"K\x3f")),
        ("pointer-flag", dtype("V8", size=b"K\x08", flags=b"K\x01")),
        ("object-without-flags", dtype("O8", flags=b"K\x00")),
        ("size-changed", dtype("V8", size=b"K\x40")),
        ("text-size-changed", dtype("S5", size=b"K\xff")),
        ("text-size-negative", dtype("S5")),
        ("structure-size-negative", dtype("V8")),
        ("alignment-zero", dtype("V8", size=b"K\x08", alignment=b"K\x00")),
        ("number-size-given", dtype("f8", size=b"K\x08")),
        ("field-outside", dtype("V8", size=b"K\x08", names=field, fields=b"}" + text("a") + inner + b"K\x04\x86s")),
        ("field-negative", dtype("V8", size=b"K\x08", names=field, fields=b"}" + text("a") + inner + b"J\xf8\xff\xff\xff\x86s")),
        ("field-of-objects", dtype("V8", size=b"K\x08", names=field, fields=b"}" + text("a") + dtype("O8", flags=b"K\x3f") + b"K\x00\x86s")),
        ("field-not-named", dtype("V8", size=b"K\x08", names=field, fields=b"}" + text("b") + inner + b"K\x00\x86s")),
        ("fields-on-a-number", dtype("f8", names=field, fields=b"}" + text("a") + inner + b"K\x00\x86s")),
        ("sub-array-too-large", dtype("V8", size=b"K\x08", base=inner + b"K\x09\x85\x86")),
        ("not-copied", call("numpy dtype", text("f8"), b"\x89", b"\x89") + b"(K\x03" + text(">") + b"NNN" + minus + minus + b"K\x00tb"),
        ("of-an-expression", call("numpy dtype", text("i4,(2,3)f8"), b"\x89", b"\x88")),
        ("of-a-class", call("numpy dtype", name("sklearn.pipeline Pipeline"), b"\x89", b"\x88")),
        ("time-without-a-unit", dtype("m8")),
        ("metadata", call("numpy dtype", text("f8"), b"\x89", b"\x88") + b"(K\x04" + text("<") + b"NNN" + minus + minus + b"K\x00}tb"),
        ("short-state", call("numpy dtype", text("f8"), b"\x89", b"\x88") + b"N\x85b"),
    ):  # fmt: skip
        files.add(f"dtype-{label}", lambda _, d=made: whole(d), _UNSAFE)
        files.add(
            f"dtype-{label}-of-an-array",
            lambda _, d=made: whole(array_header(dtype=d), RAW),
            _UNSAFE,
            declared="joblib",
        )


def _other_containers(files: Corpus) -> None:
    def zipped(marker: str) -> bytes:
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("archive/data.pkl", whole(mkdir(marker)))
        return sink.getvalue()

    def npy(marker: str) -> bytes:
        sink = io.BytesIO()
        np.save(sink, np.array([bomb_of(marker)], dtype=object), allow_pickle=True)
        return sink.getvalue()

    def tarred(marker: str) -> bytes:
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as archive:
            member = tarfile.TarInfo("model.pkl")
            data = whole(mkdir(marker))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        return sink.getvalue()

    for declared in ("pickle", "joblib"):
        files.add(f"zip-declared-{declared}", zipped, _FORMAT, declared=declared)
        files.add(f"npy-declared-{declared}", npy, _FORMAT, declared=declared)
        files.add(f"tar-declared-{declared}", tarred, _FORMAT, declared=declared)
        files.add(f"json-declared-{declared}", lambda _: b'{"model": 1}', _FORMAT, declared=declared)
        files.add(
            f"program-declared-{declared}", lambda _: Path("/bin/sh").read_bytes()[:4096], _FORMAT, declared=declared
        )
    files.add(
        "old-joblib-container",
        lambda m: b"ZF0x10              " + zlib.compress(whole(mkdir(m))),
        frozenset({"unsupported-compression"}),
        declared="joblib",
    )
    files.add(
        "protocol-0-declared-joblib",
        lambda m: pickle.dumps(bomb_of(m), protocol=0),
        _FORMAT,
        declared="joblib",
        fires=True,
    )
    files.add(
        "unknown-declared-format",
        lambda _: pickle.dumps(model()),
        frozenset({"unknown-format"}),
        declared="cloudpickle",
    )


def _notebooks(files: Corpus) -> None:
    files.add("main-class", lambda _: whole(name("__main__ Cleaner"), b")\x81"), frozenset({"main-name"}))
    files.add("lambda", lambda _: whole(stack_name("features <lambda>")), frozenset({"lambda"}))
    files.add("local-function", lambda _: whole(stack_name("features make.<locals>.clean")), frozenset({"lambda"}))
    files.add(
        "cloudpickle", lambda _: whole(name("cloudpickle.cloudpickle _make_function"), b")R"), frozenset({"lambda"})
    )


_PARTS: dict[Callable[[Corpus], None], str] = {
    _every_protocol: "",
    _joblib: "",
    _object_arrays: "the loader takes the raw array for a pickle and stops",
    _memo: "it asks for memory, or for what was never stored, and stops",
    _callables: "called with a folder's name this name makes no marker; another argument would make it do harm",
    _many_names: "the names do not exist",
    _names_in_disguise: "no such module or name exists, so that the import fails",
    _old_opcodes: "the loader refuses the opcode, or it needs a registry or a callback that is not there",
    _not_plain_names: "it changes or calls an object that makes no marker",
    _listed_names: "it opens, allocates or confuses instead of making a marker",
    _two_in_one: "the loader stops before the bytes that follow; another reader would go on",
    _cut_off: "it ends before anything is called",
    _bombs: "it asks for memory or time only",
    _loader_confusion: "the loader of the declared format takes the program for the bytes of an array; the other loader runs it",
    _numbers: "this loader refuses the number; others read it and go on to the payload",
    _dtypes: "it makes NumPy misread memory instead of making a marker",
    _other_containers: "the loader of the declared format does not open such a file",
    _notebooks: "the name is not there",
}
"""What makes the files of each part, and why those that make no marker do not."""
