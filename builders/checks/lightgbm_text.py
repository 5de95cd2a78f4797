"""LightGBM's own text format: trees as lines of numbers. LightGBM follows their indices without asking, so they are judged here.

A child index outside of its tree would be read as memory, a loop would never end; both pass LightGBM's own reader.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from builders.checks.limits import Limits
from builders.checks.report import Refused
from builders.checks.unpickle import printable

_AGAIN = "Save the model again with booster.save_model('model.txt') and push that file."
_LONGEST_LINE = 256 << 20
_NUMBER = re.compile(r"[-+]?([0-9]{1,400}(\.[0-9]{0,400})?(e[-+]?[0-9]{1,3})?|inf|nan)", re.IGNORECASE)
_WHOLE = re.compile(r"-?[0-9]{1,10}")
_PARAMETER = re.compile(r"\[([a-z0-9_]+): (.*)\]")
_HEADER = {
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "average_output",
    "feature_names", "feature_infos", "monotone_constraints", "tree_sizes",
}  # fmt: skip
_PER_SPLIT = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value",
              "internal_weight", "internal_count")  # fmt: skip
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_OTHERS = ("num_leaves", "num_cat", "cat_boundaries", "cat_threshold", "is_linear", "shrinkage")
_CATEGORICAL = 1  # bit of decision_type
_NUMBERED = re.compile(r"Column_[0-9]+")


class Reader:
    """Reads one file; ``count`` is the number of values seen, ``names`` the features as they were trained."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.count = 0
        self.read_to = 0
        self.features = 0
        self.names: list[str] = []

    @property
    def has_columns(self) -> bool:
        """Whether it was trained on named columns; LightGBM numbers those that have no name."""
        return not all(_NUMBERED.fullmatch(name) for name in self.names)

    def read(self, file: BinaryIO, size: int) -> None:
        """:raises Refused: anything that LightGBM would not have written."""
        if file.read(5) != b"tree\n":
            raise Refused(
                "format-mismatch",
                "The file was declared as lightgbm, but does not begin as LightGBM's text models do.",
                "Push the file that booster.save_model('model.txt') wrote, or declare the format that the file has.",
            )
        try:
            text = (
                file.read(size).decode()
                if size <= _LONGEST_LINE * 8
                else self._refuse("The file is too large for text")
            )
        except UnicodeDecodeError:
            self._refuse("The file is not text")
        lines = self._lines(text)
        sizes = self._header(lines)
        starts = [self._tree(lines, number) for number in range(len(sizes))]
        starts.append(self._expect(lines, "end of trees"))
        self._tail(lines)
        # LightGBM goes by these sizes: with others it would read trees from elsewhere in the file.
        if sizes != [end - start for start, end in itertools.pairwise(starts)]:
            self._refuse("The head gives the trees other sizes than they have")

    def _header(self, lines: Iterator[str]) -> list[int]:
        said: dict[str, str] = {}
        for line in lines:
            if not line:
                break
            key, _, value = line.partition("=")
            if key not in _HEADER or key in said:
                self._refuse(f"The head has the line {printable(line, 80)!r}, which LightGBM never writes")
            said[key] = value
        self.features = self._whole(said.get("max_feature_idx", "")) + 1
        self.names = said.get("feature_names", "").split(" ")
        if len(self.names) != self.features or len(set(self.names)) != self.features:
            self._refuse(f"The head names {len(self.names)} features and says that there are {self.features}")
        if self._whole(said.get("num_tree_per_iteration", "")) < 1 or self._whole(said.get("num_class", "")) < 1:
            self._refuse("The head says that there are no classes or no trees")
        return [self._whole(item) for item in said.get("tree_sizes", "").split(" ") if item]

    def _tree(self, lines: Iterator[str], number: int) -> int:
        """:returns: the byte at which the tree begins."""
        start = self._expect(lines, f"Tree={number}")
        said: dict[str, list[str]] = {}
        for line in lines:
            if not line:
                break
            key, _, value = line.partition("=")
            values = value.split(" ") if value else []
            self.count += len(values)
            if self.count > self.limits.opcodes:
                self._too_many()
            if key in said or key not in (*_PER_SPLIT, *_PER_LEAF, *_OTHERS):
                self._refuse(f"Tree {number} has the line {printable(line, 80)!r}, which LightGBM never writes here")
            if not all(_NUMBER.fullmatch(item) for item in values):
                self._refuse(f"Tree {number} has something else than numbers in {key}")
            said[key] = values
        if said.get("is_linear", ["0"]) != ["0"]:
            self._refuse(
                f"Tree {number} has linear models in its leaves, which are not read here",
                hint="Train with linear_tree=false.",
            )
        self._check(said, number)
        return start

    def _check(self, said: dict[str, list[str]], number: int) -> None:
        """Counts agree, every index lies inside, and the nodes are one tree: each has one parent, before it."""
        leaves = self._whole(" ".join(said.get("num_leaves", ())))
        if leaves < 1 or len(said.get("leaf_value", ())) != leaves:
            self._refuse(f"Tree {number} does not have as many leaves as it says")
        for key in (*_PER_SPLIT, *_PER_LEAF):
            wanted = leaves - 1 if key in _PER_SPLIT else leaves
            # What only training needs may be left out; a tree of one leaf leaves out its splits.
            needed = key in ("split_feature", "threshold", "decision_type", "left_child", "right_child") and leaves > 1
            if (
                len(said.get(key, ())) != wanted
                and (key in said or needed)
                and not (leaves == 1 and len(said.get(key, ())) <= 1)
            ):
                self._refuse(f"Tree {number} has {len(said.get(key, ()))} values of {key}, not {wanted}")
        if leaves == 1:
            return
        left, right = ([self._whole(item) for item in said[key]] for key in ("left_child", "right_child"))
        seen = set()
        for node, children in enumerate(zip(left, right, strict=True)):
            for child in children:
                if not (-leaves <= child < leaves - 1) or (0 <= child <= node) or child in seen:
                    self._refuse(f"Tree {number} is no tree: its node {node} leads to {child}")
                seen.add(child)
        if any(not 0 <= self._whole(item) < self.features for item in said["split_feature"]):
            self._refuse(f"Tree {number} asks for a feature that there is not")
        self._check_categories(said, number)

    def _check_categories(self, said: dict[str, list[str]], number: int) -> None:
        categories = self._whole(" ".join(said.get("num_cat", ["0"])))
        bounds = [self._whole(item) for item in said.get("cat_boundaries", ())]
        words = said.get("cat_threshold", [])
        if categories and (
            len(bounds) != categories + 1 or bounds[0] or bounds != sorted(bounds) or bounds[-1] != len(words)
        ):
            self._refuse(f"Tree {number} has categories whose bounds do not fit")
        for kind, threshold in zip(said["decision_type"], said["threshold"], strict=True):
            if self._whole(kind) & _CATEGORICAL and not (
                _WHOLE.fullmatch(threshold) and 0 <= int(threshold) < categories
            ):
                self._refuse(f"Tree {number} asks for a category that there is not")

    def _tail(self, lines: Iterator[str]) -> None:
        """Importances and training parameters, which prediction does not use; then nothing."""
        part = ""
        for line in lines:
            if not line:
                continue
            if line in ("feature_importances:", "parameters:", "end of parameters"):
                part = line
            elif line.startswith("pandas_categorical:"):
                part = self._categories(line.removeprefix("pandas_categorical:"))
            elif not (
                (part == "feature_importances:" and self._is_importance(line))
                or (part == "parameters:" and _PARAMETER.fullmatch(line))
            ):
                self._refuse(
                    f"After the trees stands {printable(line, 80)!r}, which LightGBM never writes",
                    code="trailing-bytes",
                )

    def _is_importance(self, line: str) -> bool:
        name, _, value = line.rpartition("=")
        return name in self.names and bool(_NUMBER.fullmatch(value))

    def _categories(self, text: str) -> str:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            self._refuse("The categories of the columns are not JSON")
        return "pandas_categorical:"

    def _lines(self, text: str) -> Iterator[str]:
        for line in text.split("\n"):
            self.read_to += len(line.encode()) + 1
            yield line

    def _expect(self, lines: Iterator[str], wanted: str) -> int:
        """:returns: the byte at which the line begins."""
        line = next(filter(None, lines), None)
        if line is None:
            self._refuse(f"The file ends before {wanted!r}", code="truncated")
        if line != wanted:
            self._refuse(f"{wanted!r} is expected, and {printable(line, 80)!r} comes")
        return self.read_to - len(line) - 1

    def _whole(self, text: str) -> int:
        if not _WHOLE.fullmatch(text):
            self._refuse(f"{printable(text, 40)!r} is not a whole number")
        return int(text)

    def _too_many(self) -> NoReturn:
        raise Refused(
            "too-large",
            f"The model has more than {self.limits.opcodes} numbers; reading it would take too long.",
            "Train fewer or smaller trees, or ask the operator for a higher limit.",
        )

    def _refuse(self, what: str, *, hint: str = _AGAIN, code: str = "malformed") -> NoReturn:
        raise Refused(code, what + ".", hint)
