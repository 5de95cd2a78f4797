"""Tree ensembles of scikit-learn, LightGBM and XGBoost as one TreeEnsemble graph in float64.

The graph compares what the library compares: its thresholds are the library's own doubles, and where that one looks at rows in
float32, so does the form (`single`). Converters that write float32 graphs move rows across thresholds instead.
A TreeEnsemble leaf holds one number. Where a leaf holds one per class, the graph answers the leaf's row in a table.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from builders.compile.candidate import NotCompiled
from builders.compile.pipelines import is_a, name

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_LESS_OR_EQUAL, _LESS = 0, 1  # modes of the operator's nodes


@dataclass
class Tree:
    """Arrays by node. ``left`` is -1 in leaves. Rows at most (or below) the threshold, and with ``missing`` NaN, go left.

    ``values`` is [nodes, k] with the leaves' numbers; ``target`` the score they are added to when k is 1.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing: Array
    values: Array
    target: int = 0


@dataclass
class Ensemble:
    """Trees and what is done with their sum: ``start + sum / divisor``, or the score of an isolation forest."""

    trees: list[Tree]
    scores: int
    start: Array
    divisor: float = 1.0
    isolation: float | None = None
    offset: float = 0.0
    single: bool = False
    nought: float | None = None
    """Numbers so near to 0 are taken for 0."""
    less: bool = False
    shares: bool = False
    """The scores are shares of classes, with two classes the first one's."""

    def thresholds(self) -> Iterator[tuple[int, float]]:
        """Feature and threshold of every node that splits."""
        for tree in self.trees:
            for node in np.flatnonzero(tree.left >= 0):
                yield int(tree.feature[node]), float(tree.threshold[node])


def read(estimator: Any) -> Ensemble | None:
    """None when the estimator is no ensemble of trees that is known here.

    :raises NotCompiled: it is one, with an option that the graph cannot express.
    """
    for names, reader in _READERS.items():
        if is_a(estimator, *names):
            ensemble = reader(estimator)
            if not ensemble.trees:
                raise NotCompiled(f"{name(estimator)} has no trees")
            return ensemble
    return None


# ----------------------------------------------------------------------------------------------------------- scikit-learn


def _sklearn_tree(tree: Any, values: Array, *, target: int = 0, features: Array | None = None) -> Tree:
    missing = getattr(tree, "missing_go_to_left", None)  # since scikit-learn 1.3
    feature = np.maximum(tree.feature, 0)
    return Tree(
        feature=feature if features is None else features[feature],
        threshold=np.asarray(tree.threshold, dtype=np.float64),
        left=tree.children_left,
        right=tree.children_right,
        missing=np.zeros(tree.node_count, dtype=bool) if missing is None else np.asarray(missing, dtype=bool),
        values=values,
        target=target,
    )


def _forest(estimator: Any) -> Ensemble:
    members = getattr(estimator, "estimators_", [estimator])
    if estimator.n_outputs_ != 1:
        raise NotCompiled(f"{name(estimator)} answers several targets")
    count = 1
    trees = []
    for member in members:
        values = member.tree_.value[:, 0, :]
        if hasattr(estimator, "classes_"):
            values = values / values.sum(axis=1, keepdims=True)
            count = len(estimator.classes_)
            values = values[:, :1] if count == 2 else values
        trees.append(_sklearn_tree(member.tree_, values))
    shares = hasattr(estimator, "classes_")
    scores = 1 if count == 2 else count
    return Ensemble(trees, scores, np.zeros(scores), float(len(trees)), single=True, shares=shares)


def _bagging(estimator: Any) -> Ensemble:
    """Trees on drawn columns; their shares or numbers are averaged."""
    trees = []
    count = len(estimator.classes_) if hasattr(estimator, "classes_") else 1
    scores = 1 if count == 2 else count
    for member, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        if not is_a(member, "DecisionTreeClassifier", "DecisionTreeRegressor"):
            raise NotCompiled(f"{name(estimator)} of {name(member)} has no compiled form")
        if hasattr(member, "classes_") and len(member.classes_) != count:
            raise NotCompiled(f"a tree of {name(estimator)} saw not all classes")
        part = _forest(member).trees[0]
        part.feature = np.asarray(features)[part.feature]
        trees.append(part)
    return Ensemble(trees, scores, np.zeros(scores), float(len(trees)), single=True, shares=count > 1)


def _gradient_boosting(estimator: Any) -> Ensemble:
    members = estimator.estimators_
    init = estimator.init_
    if init != "zero" and not is_a(init, "DummyClassifier", "DummyRegressor"):
        raise NotCompiled(f"{name(estimator)} starts from a {name(init)}")
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))[0]  # noqa: SLF001
    trees = [
        _sklearn_tree(member.tree_, estimator.learning_rate * member.tree_.value[:, 0, :1], target=place)
        for stage in members
        for place, member in enumerate(stage)
    ]
    return Ensemble(trees, members.shape[1], np.asarray(start, dtype=np.float64), single=True)


def _hist_gradient_boosting(estimator: Any) -> Ensemble:
    trees = []
    for stage in estimator._predictors:  # noqa: SLF001
        for place, predictor in enumerate(stage):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise NotCompiled(f"{name(estimator)} splits on categories")
            leaf = nodes["is_leaf"].astype(bool)
            trees.append(
                Tree(
                    feature=nodes["feature_idx"].astype(np.int64),
                    threshold=nodes["num_threshold"].astype(np.float64),
                    left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    missing=nodes["missing_go_to_left"].astype(bool),
                    values=nodes["value"].astype(np.float64)[:, None],
                    target=place,
                )
            )
    start = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)  # noqa: SLF001
    return Ensemble(trees, len(start), start)


def _isolation_forest(estimator: Any) -> Ensemble:
    trees = []
    for member, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        tree = member.tree_
        depth = np.zeros(tree.node_count)
        for node in range(tree.node_count):  # parents come before their children
            for child in (tree.children_left[node], tree.children_right[node]):
                if child >= 0:
                    depth[child] = depth[node] + 1.0
        values = depth + _mean_depth(tree.n_node_samples)
        trees.append(_sklearn_tree(tree, values[:, None], features=np.asarray(features)))
    isolation = len(trees) * float(_mean_depth(np.array([estimator.max_samples_]))[0])
    if isolation == 0.0:
        raise NotCompiled(f"{name(estimator)} was trained on samples of one row")
    return Ensemble(trees, 1, np.zeros(1), isolation=isolation, offset=float(estimator.offset_), single=True)


def _mean_depth(rows: Array) -> Array:
    """Mean depth at which one of so many rows stands alone (Liu, Ting, Zhou 2008, equation 1)."""
    rows = np.asarray(rows, dtype=np.float64)
    safe = np.maximum(rows, 3.0)
    many = 2.0 * (np.log(safe - 1.0) + np.euler_gamma) - 2.0 * (safe - 1.0) / safe
    return np.where(rows <= 1.0, 0.0, np.where(rows <= 2.0, 1.0, many))


# ---------------------------------------------------------------------------------------------------------------- LightGBM


def _lightgbm(estimator: Any) -> Ensemble:
    dump = estimator.booster_.dump_model()
    scores = int(dump["num_tree_per_iteration"])
    trees = [_lightgbm_tree(item["tree_structure"], place % scores) for place, item in enumerate(dump["tree_info"])]
    divisor = len(trees) / scores if dump.get("average_output") else 1.0
    return Ensemble(trees, scores, np.zeros(scores), divisor, nought=float(np.float32(1e-35)))


def _lightgbm_tree(root: dict[str, Any], target: int) -> Tree:
    feature: list[int] = []
    left: list[int] = []
    right: list[int] = []
    threshold: list[float] = []
    missing: list[bool] = []
    values: list[float] = []
    pending: list[tuple[dict[str, Any], int | None, bool]] = [
        (root, None, False)
    ]  # node, parent, whether it is the parent's left child
    while pending:
        node, parent, is_left = pending.pop()
        place = len(feature)
        if parent is not None:
            (left if is_left else right)[parent] = place
        splits = "split_feature" in node
        if splits and (node["decision_type"] != "<=" or node["missing_type"] == "Zero"):
            raise NotCompiled("LightGBM splits on categories, or takes zeros for missing")
        if "leaf_coeff" in node:
            raise NotCompiled("LightGBM has linear models in its leaves")
        bound = float(node["threshold"]) if splits else 0.0
        feature.append(int(node["split_feature"]) if splits else 0)
        threshold.append(bound)
        # Where training saw no missing value, LightGBM reads NaN as 0.
        missing.append(splits and (bool(node["default_left"]) if node["missing_type"] == "NaN" else bound >= 0.0))
        values.append(0.0 if splits else float(node["leaf_value"]))
        left.append(-1)
        right.append(-1)
        if splits:
            pending += [(node["right_child"], place, False), (node["left_child"], place, True)]
    return Tree(
        np.array(feature),
        np.array(threshold),
        np.array(left),
        np.array(right),
        np.array(missing, dtype=bool),
        np.array(values)[:, None],
        target,
    )


# ----------------------------------------------------------------------------------------------------------------- XGBoost


def _xgboost(estimator: Any) -> Ensemble:
    booster = estimator.get_booster()
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    if learner["gradient_booster"]["name"] != "gbtree":
        raise NotCompiled(f"XGBoost's booster is {learner['gradient_booster']['name']}")
    model = learner["gradient_booster"]["model"]
    scores = max(1, int(learner["learner_model_param"]["num_class"]))
    listed, targets = model["trees"], model["tree_info"]
    best = getattr(estimator, "best_iteration", None) if booster.attr("best_iteration") is not None else None
    if best is not None:  # training went on after the best, and predict stops there
        end = int(model["iteration_indptr"][int(best) + 1])
        listed, targets = listed[:end], targets[:end]
    trees = []
    for tree, target in zip(listed, targets, strict=True):
        if any(tree.get("split_type", ())):
            raise NotCompiled("XGBoost splits on categories")
        conditions = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
        left = np.array(tree["left_children"], dtype=np.int64)
        trees.append(
            Tree(
                np.array(tree["split_indices"], dtype=np.int64),
                conditions,
                left,
                np.array(tree["right_children"], dtype=np.int64),
                np.array(tree["default_left"], dtype=bool),
                np.where(left < 0, conditions, 0.0)[:, None],
                int(target),
            )
        )
    text = str(learner["learner_model_param"]["base_score"]).strip("[]")
    base = np.array([float(value) for value in text.split(",")])
    if learner["objective"]["name"] in ("binary:logistic", "reg:logistic"):
        base = np.log(base / (1.0 - base))
    elif learner["objective"]["name"] in ("count:poisson", "reg:gamma", "reg:tweedie"):
        base = np.log(base)
    return Ensemble(trees, scores, np.broadcast_to(base, (scores,)).copy(), single=True, less=True)


_READERS = {
    ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"): _hist_gradient_boosting,
    ("GradientBoostingClassifier", "GradientBoostingRegressor"): _gradient_boosting,
    ("IsolationForest",): _isolation_forest,
    (
        "RandomForestClassifier",
        "RandomForestRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "DecisionTreeClassifier",
        "DecisionTreeRegressor",
    ): _forest,
    ("BaggingClassifier", "BaggingRegressor"): _bagging,
    ("LGBMModel",): _lightgbm,
    ("XGBModel",): _xgboost,
}


# --------------------------------------------------------------------------------------------------------------- the graph


def graph(ensemble: Ensemble, width: int) -> tuple[bytes, Array | None]:
    """The ONNX graph over ``x`` [rows, width], and the table of leaves where they hold more than a number."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415  # one of the compile tools

    tabled = ensemble.trees[0].values.shape[1] > 1
    parts: dict[str, list[Any]] = {key: [] for key in (*_NODE_KEYS, "roots", "targets", "weights")}
    table: list[Array] = []
    for place, tree in enumerate(ensemble.trees):
        _add_tree(parts, tree, place if tabled else tree.target, table if tabled else None)
    targets = len(ensemble.trees) if tabled else ensemble.scores
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function=1,  # sum
        post_transform=0,  # none
        tree_roots=parts["roots"],
        nodes_featureids=parts["feature"],
        nodes_splits=numpy_helper.from_array(np.array(parts["threshold"], dtype=np.float64)),
        nodes_modes=numpy_helper.from_array(
            np.full(len(parts["feature"]), _LESS if ensemble.less else _LESS_OR_EQUAL, dtype=np.uint8)
        ),
        nodes_missing_value_tracks_true=parts["missing"],
        nodes_truenodeids=parts["true"],
        nodes_trueleafs=parts["true_leaf"],
        nodes_falsenodeids=parts["false"],
        nodes_falseleafs=parts["false_leaf"],
        leaf_targetids=parts["targets"],
        leaf_weights=numpy_helper.from_array(np.array(parts["weights"], dtype=np.float64)),
    )
    made = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, width])],
        [helper.make_tensor_value_info("scores", TensorProto.DOUBLE, [None, targets])],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10, producer_name="countersign")
    return model.SerializeToString(deterministic=True), np.array(table) if tabled else None


_NODE_KEYS = ("feature", "threshold", "missing", "true", "true_leaf", "false", "false_leaf")


def _add_tree(parts: dict[str, list[Any]], tree: Tree, target: int, table: list[Array] | None) -> None:
    is_leaf = tree.left < 0
    first = len(parts["feature"])
    inner = {int(node): first + place for place, node in enumerate(np.flatnonzero(~is_leaf))}
    leaves = {}
    for leaf in np.flatnonzero(is_leaf):
        leaves[int(leaf)] = len(parts["targets"])
        parts["targets"].append(target)
        if table is None:
            parts["weights"].append(float(tree.values[leaf, 0]))
        else:
            parts["weights"].append(float(len(table)))
            table.append(tree.values[leaf])
    parts["roots"].append(first)
    if not inner:  # the operator wants a node: both of its ways lead to the only leaf
        inner = {0: first}
        children = [(0, 0)]
    else:
        children = [(int(tree.left[node]), int(tree.right[node])) for node in inner]
    for node, (left, right) in zip(inner, children, strict=True):
        parts["feature"].append(int(tree.feature[node]))
        parts["threshold"].append(float(tree.threshold[node]))
        parts["missing"].append(int(tree.missing[node]))
        for side, child in (("true", left), ("false", right)):
            parts[f"{side}_leaf"].append(int(is_leaf[child]))
            parts[side].append(leaves[child] if is_leaf[child] else inner[child])
