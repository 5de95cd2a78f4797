"""Hostile files of the formats that are data: crafted skops nodes, archives that readers see differently, ONNX, trees.

None of them runs code by itself; what each would do is said beside it.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import StringStringEntryProto, TensorProto, helper, numpy_helper

Made = Iterator[tuple[str, str, bytes, set[str]]]
"""Name, format, bytes, and the codes one of which must be given."""

_UNSAFE, _UNKNOWN, _MALFORMED, _TRAILING = {"unsafe-construct"}, {"unknown-name"}, {"malformed"}, {"trailing-bytes"}


def node(kind: str, label: str, **rest: Any) -> dict[str, Any]:
    module, _, name = label.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": kind, **rest}


def value(item: Any) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", content=json.dumps(item), is_json=True)


def table(**entries: Any) -> dict[str, Any]:
    keys = [node("TypeNode", "builtins.str") for _ in entries]
    return node("DictNode", "builtins.dict", content=entries, key_types=node("ListNode", "builtins.list", content=keys))


def row(*items: Any, kind: str = "TupleNode") -> dict[str, Any]:
    return node(kind, "builtins.tuple" if kind == "TupleNode" else "builtins.list", content=list(items))


def skops(schema: Any, *, protocol: int = 2, members: dict[str, bytes] | None = None, method: int = 0) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in (members or {}).items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
        text = (
            schema
            if isinstance(schema, str)
            else json.dumps({**schema, "protocol": protocol, "_skops_version": "0.16.0"})
        )
        archive.writestr(zipfile.ZipInfo("schema.json"), text, method)
    return sink.getvalue()


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=allow_pickle)
    return sink.getvalue()


RIDGE = node("ObjectNode", "sklearn.linear_model._ridge.Ridge", content=table(alpha=value(1.0)))
ARRAY = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy")


def holding(item: Any) -> dict[str, Any]:
    return node("ObjectNode", "sklearn.linear_model._ridge.Ridge", content=table(alpha=item))


def skops_nodes() -> Made:
    generator = {"bit_generator": value("seed"), "state": value(1)}
    for name, schema, codes in (
        ("function", holding(node("FunctionNode", "os.system")), _UNKNOWN),
        ("type", holding(node("TypeNode", "builtins.eval")), _UNKNOWN),
        ("object", node("ObjectNode", "subprocess.Popen", content=table()), _UNKNOWN),
        ("dotted", holding(node("TypeNode", "sklearn.datasets._base.os")), _UNKNOWN),
        ("main", node("ObjectNode", "__main__.Cleaner", content=table()), {"main-name"}),
        ("method", holding(node("MethodNode", "sklearn.linear_model._ridge.Ridge", content={"obj": RIDGE, "func": "predict"})), _UNSAFE),
        ("operator", holding(node("OperatorFuncNode", "operator.methodcaller", attrs=row(value("system")))), _UNSAFE),
        ("partial", holding(node("PartialNode", "functools.partial", content={})), _UNSAFE),
        ("constructor", holding(node("ConstructorFromReduceNode", "pathlib.Path", content=row(value("/etc")))), _UNSAFE),
        ("unknown-kind", holding(node("EvalNode", "builtins.str", content="1")), _UNSAFE),
        ("cached-kind", holding({"__loader__": "CachedNode", "__id__": 1}), _MALFORMED),
        ("function-instance", node("ObjectNode", "sklearn.metrics._ranking.roc_auc_score", content=table()), _UNSAFE),
        ("tree-of-another-class", holding(node("TreeNode", "os.system", __reduce__={"args": row()}, content=table())), _UNSAFE),
        ("loss-of-another-class", holding(node("LossNode", "sklearn.pipeline.Pipeline", __reduce__={"args": row()}, content=table())), _UNSAFE),
        ("loss-unlisted", holding(node("LossNode", "os.system", __reduce__={"args": row(value("true"))}, content=table())), _UNKNOWN),
        ("list-of-another-class", holding(node("ListNode", "subprocess.Popen", content=[value("true")])), _UNSAFE),
        ("tuple-of-another-class", holding(node("TupleNode", "sklearn.pipeline.Pipeline", content=[])), _UNSAFE),
        ("dict-of-another-class", holding({**table(), "__class__": "Popen", "__module__": "subprocess"}), _UNKNOWN),
        ("array-into-a-function", holding({**ARRAY, "__class__": "fromfile"}), _UNSAFE),
        ("array-into-a-class", holding({**ARRAY, "__class__": "Popen", "__module__": "subprocess"}), _UNSAFE),
        ("random-attribute", holding(node("RandomGeneratorNode", "numpy.random._generator.Generator", content={
            "bit_generator": table(**generator), "seed_seq": table()})), _UNSAFE),
        ("dunder-attribute", node("ObjectNode", "sklearn.linear_model._ridge.Ridge", content=table(__class__=value(1))), _UNSAFE),
        ("bytes", holding(node("BytesNode", "builtins.bytes", file="a.bin")), _UNSAFE),
        ("archive-in-the-archive", holding(node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix", content="a.npz", type="scipy")), _UNSAFE),
        ("no-class", holding({"__loader__": "JsonNode", "content": "1"}), _MALFORMED),
        ("slice-of-text", holding(node("SliceNode", "builtins.slice", content={"start": "x"})), _MALFORMED),
    ):  # fmt: skip
        yield (
            f"skops-{name}",
            "skops",
            skops(schema, members={"a.npy": npy(np.zeros(1))} if "array-into" in name else None),
            codes,
        )
    deep = value(1)
    for _ in range(300):
        deep = row(deep)
    yield "skops-deep", "skops", skops(holding(deep)), _MALFORMED
    yield "skops-said-twice", "skops", skops('{"__class__": "Ridge", "__class__": "x", "protocol": 2}'), _UNSAFE
    yield "skops-utf-16", "skops", skops(json.dumps(RIDGE).encode("utf-16").decode("latin-1")), _MALFORMED
    yield "skops-not-json", "skops", skops("{'a': 1}"), _MALFORMED
    yield "skops-old-protocol", "skops", skops(RIDGE, protocol=0), _MALFORMED
    yield "skops-recursion", "skops", skops("[" * 100_000), _MALFORMED


def skops_arrays() -> Made:
    objects = npy(np.array([{}], dtype=object), allow_pickle=True)
    lies = npy(np.zeros(4)).replace(b"(4,)", b"(9,)")
    for name, data, codes in (
        ("objects", objects, _UNSAFE),
        ("header-lies", lies, _UNSAFE),
        ("header-is-code", npy(np.zeros(1)).replace(b"'<f8'", b"exit()"), _UNSAFE),
        ("trailing", npy(np.zeros(4)) + b"PK", _UNSAFE),
        ("not-an-array", b"\x80\x04N.", _UNSAFE),
        ("is-an-archive", skops(RIDGE), _UNSAFE),
    ):
        yield f"skops-array-{name}", "skops", skops(holding(ARRAY), members={"a.npy": data}), codes
    yield "skops-array-missing", "skops", skops(holding(ARRAY)), {"truncated"}
    yield "skops-array-elsewhere", "skops", skops(holding({**ARRAY, "file": "../a.npy"})), {"truncated"}
    yield "skops-member-unused", "skops", skops(RIDGE, members={"b.pkl": b"\x80\x04N."}), _TRAILING


def zip_tricks() -> Made:
    whole = skops(holding(ARRAY), members={"a.npy": npy(np.zeros(4))})
    for name, data, codes in (
        ("prefix", b"#!/bin/sh\n" + whole, {"format-mismatch", "unsafe-construct"}),
        ("trailing", whole + b"x", _TRAILING),
        ("comment", _with_comment(whole), _TRAILING),
        ("no-directory", whole[:-60], _TRAILING | {"truncated"}),
        ("bad-checksum", _changed(whole, b"PK\x01\x02", 16, b"\0\0\0\0"), _UNSAFE),
        ("other-local-name", whole.replace(b"a.npy", b"b.npy", 1), _UNSAFE),
        ("encrypted-flag", _changed(whole, b"PK\x01\x02", 8, b"\x01\0"), _UNSAFE),
        ("other-method", _changed(whole, b"PK\x01\x02", 10, b"\x0e\0"), _UNSAFE),
        ("local-flags", _changed(whole, b"PK\x03\x04", 6, b"\x08\0"), _UNSAFE),
        ("offset-moved", _changed(whole, b"PK\x01\x02", 42, b"\x01\0\0\0"), _UNSAFE),
        ("damaged-data", whole.replace(b"NUMPY", b"NUMPX", 1), _UNSAFE),
        ("twice", _twice(), _UNSAFE),
        ("folder", skops(RIDGE, members={"a/b.npy": b""}), _UNSAFE),
        ("escaping", skops(RIDGE, members={"..": b""}), _UNSAFE),
        ("empty", b"PK\x05\x06" + b"\0" * 18, {"format-mismatch"}),
        ("other-archive", skops_without_schema(), {"format-mismatch"}),
        ("bomb", skops(RIDGE, members={"a.npy": b"\0" * (20 << 20)}, method=8), {"bomb"}),
        ("lying-size", _changed(skops(RIDGE, members={"a.npy": b"\0" * 5000}, method=8), b"PK\x01\x02", 24, b"\1\0\0\0"), _UNSAFE),
    ):  # fmt: skip
        yield f"zip-{name}", "skops", data, codes


def skops_without_schema() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x04N.")
    return sink.getvalue()


def _with_comment(data: bytes) -> bytes:
    return data[:-2] + b"\x04\0abcd"


def _changed(data: bytes, mark: bytes, place: int, new: bytes) -> bytes:
    at = data.index(mark) + place
    return data[:at] + new + data[at + len(new) :]


def _twice() -> bytes:
    members = {"a.npy": npy(np.zeros(4)), "b.npy": npy(np.zeros(4))}
    return skops(holding(ARRAY), members=members).replace(b"b.npy", b"a.npy")


def graph(*, nodes: Any = None, initializers: Any = (), domain: str = "", inputs: Any = None) -> Any:
    given = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    made = helper.make_graph(
        nodes or [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        given,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        initializer=list(initializers),
    )
    opsets = [helper.make_opsetid("", 20), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def onnx() -> Made:
    outside = numpy_helper.from_array(np.zeros((2, 2), np.float32), "w")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.append(StringStringEntryProto(key="location", value="../../etc/passwd"))
    listed = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    listed.external_data.append(StringStringEntryProto(key="location", value="weights"))
    inside = helper.make_node(
        "If", ["c"], ["y"], then_branch=graph(initializers=[outside]).graph, else_branch=graph().graph
    )
    constant = helper.make_node("Constant", [], ["y"], value=outside)
    foreign = helper.make_node("Evil", ["x"], ["y"], domain="com.evil")
    deep = graph().graph
    for _ in range(20):
        deep = graph(nodes=[helper.make_node("Loop", ["c"], ["y"], body=deep)]).graph
    functions = graph()
    functions.functions.append(
        helper.make_function(
            "ours", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [helper.make_opsetid("", 20)]
        )
    )
    training = graph()
    training.training_info.add()
    good = graph().SerializeToString()
    for name, data, codes in (
        ("external-data", graph(initializers=[outside]).SerializeToString(), _UNSAFE),
        ("external-data-without-its-flag", graph(initializers=[listed]).SerializeToString(), _UNSAFE),
        ("external-data-in-a-branch", graph(nodes=[inside]).SerializeToString(), _UNSAFE),
        ("external-data-in-a-constant", graph(nodes=[constant]).SerializeToString(), _UNSAFE),
        ("unknown-domain", graph(nodes=[foreign]).SerializeToString(), _UNKNOWN),
        ("unknown-domain-declared", graph(domain="ai.onnx.contrib").SerializeToString(), _UNKNOWN),
        ("deep", helper.make_model(deep, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString(), _UNSAFE),
        ("functions", functions.SerializeToString(), _UNSAFE),
        ("training", training.SerializeToString(), _UNSAFE),
        ("trailing", good + b"\x80\x04N.", _MALFORMED | _TRAILING),
        ("hidden-field", good + b"\xfa\x3f\x04abcd", _TRAILING),
        ("cut", good[:-3], _MALFORMED),
        ("endless-number", good + b"\xff" * 20, _MALFORMED),
        ("no-graph", b"\x08\x0a", _MALFORMED),
        ("group", good + b"\x3b\x3c", _MALFORMED),
        ("is-a-pickle", b"\x80\x04N.", {"format-mismatch"}),
        ("is-an-archive", skops(RIDGE), {"format-mismatch"}),
        ("is-empty", b"", {"truncated"}),
    ):  # fmt: skip
        yield f"onnx-{name}", "onnx", data, codes


LIGHTGBM = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] [0:1]
tree_sizes=300

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
split_gain=1 1
threshold=0.5 0.5
decision_type=2 2
left_child=-1 -2
right_child=1 -3
leaf_value=1 2 3
leaf_weight=1 1 1
leaf_count=1 1 1
internal_value=0 0
internal_weight=1 1
internal_count=3 2
is_linear=0
shrinkage=1


end of trees

feature_importances:
a=1

parameters:
[boosting: gbdt]
end of parameters

pandas_categorical:null
"""


def lightgbm() -> Made:
    for name, old, new, codes in (
        ("child-outside", "right_child=1 -3", "right_child=1 -900", _MALFORMED),
        ("child-far", "right_child=1 -3", "right_child=90000 -3", _MALFORMED),
        ("loop", "left_child=-1 -2", "left_child=-1 0", _MALFORMED),
        ("child-twice", "left_child=-1 -2", "left_child=-1 -3", _MALFORMED),
        ("feature-outside", "split_feature=0 1", "split_feature=0 7", _MALFORMED),
        ("feature-negative", "split_feature=0 1", "split_feature=0 -7", _MALFORMED),
        ("too-few-leaves", "leaf_value=1 2 3", "leaf_value=1 2", _MALFORMED),
        ("many-leaves", "num_leaves=3", "num_leaves=2000000000", _MALFORMED),
        ("no-children", "left_child=-1 -2\n", "", _MALFORMED),
        ("category-outside", "decision_type=2 2", "decision_type=1 2", _MALFORMED),
        ("text-for-a-number", "threshold=0.5 0.5", "threshold=0.5 $(id)", _MALFORMED),
        ("linear", "is_linear=0", "is_linear=1", _MALFORMED),
        ("unknown-key", "shrinkage=1", "shrinkage=1\nload=/etc/passwd", _MALFORMED),
        ("unknown-head", "label_index=0", "label_index=0\ninclude=/etc/passwd", _MALFORMED),
        ("names-missing", "feature_names=a b", "feature_names=a", _MALFORMED),
        ("more-trees", "tree_sizes=300", "tree_sizes=300 300", _MALFORMED),
        ("trailing", "pandas_categorical:null\n", "pandas_categorical:null\n\x80\x04N.", _TRAILING),
        ("categories-not-json", "pandas_categorical:null", "pandas_categorical:{", _MALFORMED),
        ("no-end", "end of trees\n", "", _MALFORMED),
    ):
        assert old in LIGHTGBM, old
        yield f"lightgbm-{name}", "lightgbm", LIGHTGBM.replace(old, new).encode("utf-8", "surrogateescape"), codes
    sizes = LIGHTGBM.partition("tree_sizes=")[2].partition("\n")[0]
    yield (
        "lightgbm-other-sizes",
        "lightgbm",
        LIGHTGBM.replace(sizes, sizes.replace(sizes[0], "9", 1)).encode(),
        _MALFORMED,
    )
    yield "lightgbm-cut", "lightgbm", LIGHTGBM[:250].encode(), _MALFORMED | {"truncated"}
    yield "lightgbm-not-text", "lightgbm", b"tree\n\xff\xfe", _MALFORMED
    yield "lightgbm-is-a-pickle", "lightgbm", b"\x80\x04N.", {"format-mismatch"}
    yield "lightgbm-is-json", "lightgbm", b"{}", {"format-mismatch"}


def booster(**changes: Any) -> dict[str, Any]:
    tree = {
        "base_weights": [0.0, 1.0, 2.0], "left_children": [1, -1, -1], "right_children": [2, -1, -1], "parents": [2147483647, 0, 0],
        "split_indices": [0, 0, 0], "split_conditions": [0.5, 1.0, 2.0], "default_left": [0, 0, 0], "split_type": [0, 0, 0],
        "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [], "id": 0,
        "loss_changes": [1.0, 0.0, 0.0], "sum_hessian": [3.0, 1.0, 2.0],
        "tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": "3", "size_leaf_vector": "1"},
    }  # fmt: skip
    tree.update(changes.pop("tree", {}))
    model = {"trees": [tree], "tree_info": [0], "gbtree_model_param": {"num_trees": "1"}, **changes.pop("model", {})}
    learner = {
        "attributes": {}, "feature_names": [], "feature_types": [], "objective": {"name": "reg:squarederror"},
        "learner_model_param": {"num_feature": "2"}, "gradient_booster": {"name": "gbtree", "model": model}, **changes,
    }  # fmt: skip
    return {"learner": learner, "version": [3, 2, 0]}


def xgboost() -> Made:
    for name, document, codes in (
        ("no-learner", {}, _MALFORMED),
        ("child-outside", booster(tree={"left_children": [900000, -1, -1]}), _MALFORMED),
        ("child-negative", booster(tree={"left_children": [-9, -1, -1]}), _MALFORMED),
        ("loop", booster(tree={"left_children": [1, 0, -1], "right_children": [2, 2, -1]}), _MALFORMED),
        ("child-twice", booster(tree={"left_children": [2, -1, -1]}), _MALFORMED),
        ("child-fraction", booster(tree={"left_children": [1.5, -1, -1]}), _MALFORMED),
        ("feature-outside", booster(tree={"split_indices": [9, 0, 0]}), _MALFORMED),
        ("too-few-nodes", booster(tree={"split_conditions": [0.5]}), _MALFORMED),
        ("many-nodes", booster(tree={"tree_param": {"num_nodes": "999999999", "num_feature": "2"}}), _MALFORMED),
        (
            "category-bounds",
            booster(tree={"categories_nodes": [0], "categories_segments": [5], "categories_sizes": [9]}),
            _MALFORMED,
        ),
        ("category-unlisted", booster(tree={"split_type": [1, 0, 0]}), _MALFORMED),
        ("more-trees", booster(model={"gbtree_model_param": {"num_trees": "9"}}), _MALFORMED),
        ("other-booster", booster(gradient_booster={"name": "evil", "model": {}}), _MALFORMED),
        (
            "linear-weights",
            booster(gradient_booster={"name": "gblinear", "model": {"weights": [1.0, 2.0]}}),
            _MALFORMED,
        ),
        ("names-missing", booster(feature_names=["a"]), _MALFORMED),
        ("no-objective", booster(objective={}), _MALFORMED),
        ("hidden-member", booster(payload="x"), _TRAILING),
        ("hidden-beside", {**booster(), "config": {}}, _TRAILING),
    ):
        yield f"xgboost-{name}", "xgboost", json.dumps(document).encode(), codes
    good = json.dumps(booster())
    for name, data, codes in (
        ("trailing", good.encode() + b"\x80\x04N.", _MALFORMED),
        ("said-twice", good.replace('"id": 0', '"id": 0, "id": 1').encode(), _UNSAFE),
        ("not-a-number", good.replace("0.5", "NaN", 1).encode(), _MALFORMED),
        ("deep", b'{"learner":' + b"[" * 100_000, _MALFORMED),
        ("cut", good[:-20].encode(), _MALFORMED),
        ("utf-32", b"{\0\0\0" + good[1:].encode("utf-32-le"), _MALFORMED),
        ("ubj", b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{", _MALFORMED),
        ("is-a-pickle", b"\x80\x04N.", {"format-mismatch"}),
    ):
        yield f"xgboost-{name}", "xgboost", data, codes


PARTS: dict[Callable[[], Made], str] = {
    skops_nodes: "skops imports nothing that is not trusted; with a list taken from the file itself some would be called",
    skops_arrays: "NumPy refuses pickles in arrays, and skops passes allow_pickle=False",
    zip_tricks: "readers disagree about what the archive holds; no member is run",
    onnx: "ONNX holds no code; it would read other files, run out of memory or fail to load",
    lightgbm: "the text holds no code; LightGBM would read memory outside of the tree, loop, or fail to load",
    xgboost: "the JSON holds no code; XGBoost would read memory outside of the tree, loop, or fail to load",
}
"""What makes the files of each part, and why they cannot make a marker."""


def data_files() -> Iterator[tuple[str, str, bytes, set[str], str]]:
    """Name, format, bytes, codes, and why it is inert."""
    for part, reason in PARTS.items():
        for name, declared, data, codes in part():
            yield name, declared, data, codes, reason
