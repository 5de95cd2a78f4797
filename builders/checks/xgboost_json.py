"""XGBoost's own JSON format. XGBoost follows the indices of its trees, so that they are judged here."""

import json
from typing import Any, BinaryIO, NoReturn

from builders.checks.limits import Limits
from builders.checks.report import Refused
from builders.checks.unpickle import printable

_AGAIN = "Save the model again with booster.save_model('model.json') and push that file."
_LARGEST = 1 << 30
_LEARNER = {"attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"}
_BOOSTERS = ("gbtree", "dart", "gblinear")
_PER_NODE = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
    "split_type",
)
_TREE = {*_PER_NODE, "base_weights", "loss_changes", "sum_hessian", "leaf_weights", "id", "tree_param", "categories",
         "categories_nodes", "categories_segments", "categories_sizes"}  # fmt: skip
_NO_CHILD = -1


class Reader:
    """Reads one file; ``count`` is the number of values seen."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.count = 0
        self.has_columns = False

    def read(self, file: BinaryIO, size: int) -> None:
        """:raises Refused: anything that XGBoost would not have written."""
        if file.read(1) != b"{":
            raise Refused(
                "format-mismatch",
                "The file was declared as xgboost, but is not JSON.",
                "Save it with booster.save_model('model.json'): the ending .json decides; .ubj and .model are other formats.",
            )
        if size > _LARGEST:
            self._refuse(f"The file has {size} bytes; {_LARGEST} are read as JSON", code="too-large")
        file.seek(0)
        try:
            document = json.loads(
                str(file.read(size), "utf-8"), object_pairs_hook=self._object, parse_constant=self._constant
            )
        except (ValueError, RecursionError) as error:
            self._refuse(f"The JSON cannot be read ({type(error).__name__})")
        learner = self._members(document, {"learner", "version"}, "the file").get("learner")
        learner = self._members(learner, _LEARNER, "the learner")
        names = learner.get("feature_names")
        if type(names) is not list or any(type(name) is not str for name in names) or len(set(names)) != len(names):
            self._refuse("The names of the features are not a list of different texts")
        self.has_columns = bool(names)
        features = self._whole(self._dict(learner.get("learner_model_param"), "the parameters").get("num_feature"))
        if names and len(names) != features:
            self._refuse(f"The file names {len(names)} features and says that there are {features}")
        objective = self._dict(learner.get("objective"), "the objective").get("name")
        if type(objective) is not str:
            self._refuse("The file names no objective")
        self._booster(self._dict(learner.get("gradient_booster"), "the booster"), features)

    def _booster(self, booster: dict[str, Any], features: int) -> None:
        name = booster.get("name")
        if name not in _BOOSTERS:
            self._refuse(f"The booster {printable(str(name), 40)!r} is not one of {', '.join(_BOOSTERS)}")
        if name == "gblinear":
            weights = self._dict(booster.get("model"), "the model").get("weights")
            if type(weights) is not list or any(type(item) not in (int, float) for item in weights):
                self._refuse("The linear model's weights are not numbers")
            if len(weights) % (features + 1):
                self._refuse(f"The linear model has {len(weights)} weights for {features} features")
            return
        if name == "dart":
            booster = self._dict(booster.get("gbtree"), "the booster")
        model = self._dict(booster.get("model"), "the model")
        trees = model.get("trees")
        if type(trees) is not list:
            self._refuse("The model has no list of trees")
        said = self._whole(self._dict(model.get("gbtree_model_param"), "the parameters").get("num_trees"))
        info = model.get("tree_info")
        if said != len(trees) or type(info) is not list or len(info) != len(trees):
            self._refuse(f"The file says that there are {said} trees and holds {len(trees)}")
        for number, tree in enumerate(trees):
            self._tree(self._members(tree, _TREE, f"tree {number}"), number, features)

    def _tree(self, tree: dict[str, Any], number: int, features: int) -> None:
        """Counts agree, every index lies inside, and the nodes are one tree: a child comes after its parent."""
        param = self._dict(tree.get("tree_param"), f"the parameters of tree {number}")
        count = self._whole(param.get("num_nodes"))
        for key in _PER_NODE:
            values = tree.get(key)
            if (
                type(values) is not list
                or len(values) != count
                or any(type(item) not in (int, float) for item in values)
            ):
                self._refuse(f"Tree {number} does not have {count} numbers in {key}")
        if self._whole(param.get("num_feature")) > features or count < 1:
            self._refuse(f"Tree {number} has no nodes, or more features than the model")
        seen: set[int] = set()
        for node, children in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
            if children == (_NO_CHILD, _NO_CHILD):
                continue
            for child in children:
                if type(child) is not int or not node < child < count or child in seen:
                    self._refuse(f"Tree {number} is no tree: its node {node} leads to {child}")
                seen.add(child)
            if type(tree["split_indices"][node]) is not int or not 0 <= tree["split_indices"][node] < features:
                self._refuse(f"Tree {number} asks for a feature that there is not")
        self._categories(tree, number, count)

    def _categories(self, tree: dict[str, Any], number: int, count: int) -> None:
        parts = [
            tree.get(key, []) for key in ("categories", "categories_nodes", "categories_segments", "categories_sizes")
        ]
        if any(type(part) is not list or any(type(item) is not int or item < 0 for item in part) for part in parts):
            self._refuse(f"Tree {number} has categories that are not whole numbers")
        categories, nodes, segments, sizes = parts
        fits = len(nodes) == len(segments) == len(sizes) and all(node < count for node in nodes)
        if not fits or any(begin + size > len(categories) for begin, size in zip(segments, sizes, strict=True)):
            self._refuse(f"Tree {number} has categories whose bounds do not fit")
        split_by_category = {node for node, kind in enumerate(tree["split_type"]) if kind == 1}
        if not split_by_category <= set(nodes):
            self._refuse(f"Tree {number} splits by categories that it does not list")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.count += len(pairs)
        for _, value in pairs:
            self.count += len(value) if type(value) is list else 0
        if self.count > self.limits.opcodes:
            raise Refused(
                "too-large",
                f"The model has more than {self.limits.opcodes} values; reading it would take too long.",
                "Train fewer or smaller trees, or ask the operator for a higher limit.",
            )
        made = dict(pairs)
        if len(made) != len(pairs):
            self._refuse("The JSON says one thing twice, which readers take differently", code="unsafe-construct")
        return made

    def _constant(self, name: str) -> NoReturn:
        self._refuse(f"The JSON holds {name}, which is no number")

    def _members(self, value: Any, known: set[str], what: str) -> dict[str, Any]:
        made = self._dict(value, what)
        if unknown := sorted(made.keys() - known):
            self._refuse(
                f"There is {printable(unknown[0], 60)!r} in {what}, which XGBoost never writes", code="trailing-bytes"
            )
        return made

    def _dict(self, value: Any, what: str) -> dict[str, Any]:
        if type(value) is not dict:
            self._refuse(f"There is no object for {what}")
        return value

    def _whole(self, value: Any) -> int:
        """XGBoost writes numbers of its parameters as text."""
        if type(value) is not str or not value.isascii() or not value.isdigit() or len(value) > 9:
            self._refuse(f"{printable(str(value), 40)!r} is not a whole number")
        return int(value)

    def _refuse(self, what: str, *, hint: str = _AGAIN, code: str = "malformed") -> NoReturn:
        raise Refused(code, what + ".", hint)
