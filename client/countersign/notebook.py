"""`countersign.push`: an estimator from a notebook to a registered version in one call.

Saves the estimator with joblib in a temporary folder, makes sample rows, tries them on the estimator, writes the card, and
pushes. No lock file is needed: the server makes the lock from the interpreter and the installed distributions.
"""

import pickle
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from countersign import cards, collecting, environment, own_wheels, refs, sampling
from countersign.checks import ERROR, Finding
from countersign.client import Client
from countersign.collecting import Facts, Plan
from countersign.errors import CheckFailed, Forbidden, NotFound, Unusable
from countersign.formats.card import NOT_STATED
from countersign.models import Version
from countersign.progress import OnProgress, silent

SAVED_AS = {"joblib": "joblib", "skops": "skops.io"}
"""How `push` can save an estimator, and the module whose `dump` does it."""


def push(
    estimator: Any,
    X_sample: Any,  # noqa: N803 - scikit-learn's name for it
    *,
    name: str,
    label: str | None = None,
    card: str | Path | None = None,
    purpose: str = "",
    task: str = "",
    owner: str = "",
    contact: str = "",
    training_data: str = "",
    limits: str | Sequence[str] = "",
    licence: str = "",
    model_format: str = "joblib",
    wheels: Sequence[str | Path] = (),
    sample: Iterable[Mapping[str, Any]] | None = None,
    sample_kind: str = "synthetic",
    metrics: Any = (),
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    datasets: Iterable[str] = (),
    commit: str | None = None,
    run: str | None = None,
    parent: str | None = None,
    client: Client | None = None,
    on_progress: OnProgress = silent,
) -> Version:
    """Register ``estimator`` as a version of the model ``name``; the same content again returns the version that exists.

    :param X_sample: some rows as `predict` takes them: a DataFrame, a two-dimensional array, or a list of texts.
        Its rows are not sent: rows are made up from its columns and ranges, and the card says `sample_kind: synthetic`.
    :param sample_kind: `real` or `masked` sends the rows of ``X_sample`` themselves, and says so.
    :param sample: rows of your own to send instead, one mapping per row, declared as ``sample_kind``.
    :param card: a card's Markdown, or the path of one. Without it a card is written from ``purpose``, ``task``, ``owner``,
        ``contact``, ``training_data``, ``limits`` and ``licence``; what is left out is taken from the registered model, the
        estimator and your account.
    :param metrics: ``{"accuracy": 0.93}`` or a list of ``{"name", "value", "dataset", "higher_is_better"}``.
    :param datasets: what it was trained on: `name@sha256:...`, a local file (only its digest is sent), or a reference.
    :param model_format: how it is saved: joblib, or skops, which holds no code at all.
    :param wheels: of code that the estimator needs: files, or `name==version@sha256:...` of the server's package index.
    :param parent: the version it was derived from, as `team/model:3`.
    :returns: the version; ``wait("ready")`` on it waits for the server's checks.
    :raises CheckFailed: it cannot become a version; nothing was sent.
    :raises Unusable: an argument cannot be used.
    """
    refs.parse_name(name)
    if model_format not in SAVED_AS:
        raise Unusable(
            f"model_format is {model_format!r}",
            hint=f"Use {' or '.join(SAVED_AS)}; other formats are saved by their own library and pushed with `countersign push`.",
        )
    if sample_kind not in cards.SAMPLE_KINDS:
        raise Unusable(f"sample_kind is {sample_kind!r}", hint=f"Use one of {', '.join(cards.SAMPLE_KINDS)}.")
    client = client or Client()
    seen = _read_sample(estimator, X_sample)
    rows = _choose_rows(seen, sample, sample_kind)
    _try(estimator, seen, rows)
    text = _card_text(card) if card is not None else None
    if text is None:
        fields = {
            "purpose": purpose,
            "task": task or _guess_task(estimator, seen),
            "owner": owner or name.partition("/")[0],
            "contact": contact,
            "inputs": [{"name": column.name, "type": column.kind} for column in seen.columns],
            "outputs": _outputs(estimator),
            "training_data": training_data,
            "limits": list(limits) if not isinstance(limits, str) else limits,
            "licence": licence,
            "sample_kind": sample_kind,
        }
        text = _write_card(client, name, fields, estimator)
    with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
        saved = Path(folder) / collecting.model_path(model_format)
        _save(estimator, saved, model_format)
        plan = Plan(
            name=name,
            format=model_format,
            files={
                saved.name: saved,
                collecting.SAMPLE: sampling.dump(rows).encode(),
                **own_wheels.collect(wheels),
            },
            source="the estimator",
            card=text,
            environment=environment.describe(),
            facts=Facts(
                label=label,
                metrics=collecting.metric_list(metrics),
                params=params or {},
                tags=tags or {},
                lineage=collecting.lineage(datasets=datasets, commit=commit, run=run, parent=parent),
            ),
        )
        return client.push_plan(plan, on_progress=on_progress)


def _read_sample(estimator: Any, data: Any) -> sampling.Sample:
    if isinstance(estimator, type) or not callable(getattr(estimator, "predict", None)):
        raise Unusable(
            f"{estimator!r:.80} has no predict method",
            hint="Pass a fitted estimator or pipeline, not a class or a dictionary.",
        )
    seen = sampling.read(data)
    trained_with = getattr(estimator, "feature_names_in_", None)
    if seen.layout == "matrix" and trained_with is not None:
        return sampling.named(seen, [str(column) for column in trained_with])
    return seen


def _choose_rows(
    seen: sampling.Sample, given: Iterable[Mapping[str, Any]] | None, sample_kind: str
) -> list[dict[str, Any]]:
    if given is not None:
        return [dict(row) for row in given]
    if sample_kind == "synthetic":
        return sampling.propose(seen)
    return list(seen.rows)


def _try(estimator: Any, seen: sampling.Sample, rows: Sequence[dict[str, Any]]) -> None:
    """Call predict on the rows now, where the traceback is, instead of on a server ten minutes later."""
    try:
        estimator.predict(seen.rebuild(rows))
    except Exception as error:
        hint = "Pass rows of your own with sample=[...], or send those of X_sample with sample_kind='real'."
        if type(error).__name__ == "NotFittedError":
            hint = "Call fit before push."
        finding = Finding(
            ERROR, "predict-failed", f"predict fails on the sample rows: {type(error).__name__}: {error}", hint
        )
        raise CheckFailed(finding.message, findings=[finding], hint=hint) from error


def _save(estimator: Any, path: Path, model_format: str) -> None:
    try:
        library = import_module(SAVED_AS[model_format])
    except ImportError:
        raise Unusable(f"{model_format} is not installed here", hint=f"Run `pip install {model_format}`.") from None
    try:
        library.dump(estimator, path)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        hint = (
            "A lambda, a function inside a function, or an open file cannot be saved. Move the function to the top level of a "
            "module in a package of yours (`countersign wheel init NAME`), import it from there, and train again."
        )
        finding = Finding(ERROR, "cannot-be-saved", f"the estimator cannot be saved: {error}", hint)
        raise CheckFailed(finding.message, findings=[finding], hint=hint) from error


def _card_text(card: str | Path) -> str:
    if isinstance(card, str) and card.lstrip("\ufeff").startswith("---"):
        return card
    return collecting.read_text(Path(card))


def _write_card(client: Client, name: str, fields: dict[str, Any], estimator: Any) -> str:
    if not fields["purpose"]:
        try:
            fields["purpose"] = client.model(name).purpose or NOT_STATED
        except (NotFound, Forbidden):
            fields["purpose"] = NOT_STATED
    if not fields["contact"]:
        identity = client.whoami()
        fields["contact"] = identity.name or identity.actor
    body = f"# {name}\n\nA `{_describe(estimator)}`, pushed from Python."
    return cards.write(fields, body)


def _describe(estimator: Any) -> str:
    steps = getattr(estimator, "steps", None)
    inner = ", ".join(type(step).__name__ for _, step in steps) if isinstance(steps, list) else ""
    return f"{type(estimator).__name__}({inner})"


def _guess_task(estimator: Any, seen: sampling.Sample) -> str:
    if hasattr(estimator, "classes_"):
        return "text-classification" if seen.layout == "text" else "tabular-classification"
    final = estimator.steps[-1][1] if isinstance(getattr(estimator, "steps", None), list) else estimator
    if hasattr(final, "cluster_centers_") or hasattr(final, "labels_"):
        return "clustering"
    return "text-regression" if seen.layout == "text" else "tabular-regression"


def _outputs(estimator: Any) -> Any:
    classes = getattr(estimator, "classes_", None)
    if classes is None or getattr(classes, "ndim", None) != 1:
        return "one number per row"
    labels = [str(label) for label in classes.tolist()]
    shown = ", ".join(labels[:20])
    return f"one of {len(labels)} labels: {shown}{', ...' if len(labels) > 20 else ''}"
