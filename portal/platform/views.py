"""What bakes stand on, what is proposed in its place, and one change with its images: decided here, and its wave followed."""

from typing import Any
from uuid import UUID, uuid4

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters, reauthentication
from portal.platform import bp
from portal.platform.forms import ChangeForm, ProposalForm
from registry import access as rules
from registry import accounts, paging, platform_changes, platforms, waves
from registry.access import Permission
from registry.errors import NotFound
from registry.orm.approval import Outcome
from registry.orm.image import Bundle
from registry.orm.platform import ChangeState, MoveState, PlatformChange, PlatformDecision

Answer = str | tuple[str, int] | BaseResponse
PAGE = 25


@bp.get("")
def index() -> str:
    """The platforms that are in force or offered, and the changes, newest first."""
    session = db.session()
    page = platform_changes.listing(session, _cursor(), actor=g.actor)
    filters.name_actors({change.proposed_by for change in page.items})
    return render_template(
        "platform/index.html",
        page=page,
        progress=waves.progress(session, page.items),
        platforms=platforms.listing(session, actor=g.actor),
    )


@bp.route("/changes/new", methods=["GET", "POST"])
@access.needs(Permission.CHANGE_PLATFORM)
def propose() -> Answer:
    """Propose a platform that a worker offered."""
    form = ProposalForm()
    form.digest.data = form.digest.data or request.args.get("platform", "")
    if form.validate_on_submit() and form.attempt(_propose, form):
        flash("It is proposed. Two people sign or refuse it; you cannot be one of them.", "ok")
        return redirect(url_for("platform.change", change_id=form.result.id), 303)
    session = db.session()
    wanted = platforms.get(session, form.digest.data, actor=g.actor)
    current = platforms.in_force(session, wanted.line)
    return render_template(
        "platform/propose.html",
        form=form,
        wanted=wanted,
        current=current,
        differences=platforms.differences(current, wanted) if current else [],
        images=len(platform_changes.affected(session, wanted)),
    ), form.status


def _propose(form: ProposalForm) -> PlatformChange:
    return platform_changes.propose(
        db.session(), actor=g.actor, digest=form.digest.data or "", reason=form.reason.data or ""
    )


@bp.route("/changes/<uuid:change_id>", methods=["GET", "POST"])
def change(change_id: UUID) -> Answer:
    """Read it, and decide; then follow its wave."""
    form = ChangeForm()
    if form.validate_on_submit() and reauthentication.sign(form, PlatformDecision, _decider(change_id, form)):
        flash(_said(form.result), "ok")
        return redirect(url_for("platform.change", change_id=change_id), 303)
    return _page(_load(change_id), form)


def _decider(change_id: UUID, form: ChangeForm) -> Any:
    def decide(decision_id: UUID, outcome: Outcome) -> PlatformDecision:
        return platform_changes.decide(
            db.session(),
            _load(change_id),
            actor=g.actor,
            decision_id=decision_id,
            outcome=outcome,
            reason=form.reason.data or "",
            seen=form.seen.data or "",
            method=reauthentication.METHOD,
        )

    return decide


def _said(decision: PlatformDecision) -> str:
    if decision.outcome is Outcome.REJECT:
        return "You refused it. Nothing changes; another one can be proposed."
    if db.session().get_one(PlatformChange, decision.change_id).state is ChangeState.PROPOSED:
        return "Signed. Another person must sign too before anything changes."
    return "Signed. Yours was the last signature needed: it is in force, and the images are being moved."


@bp.post("/changes/<uuid:change_id>/withdraw")
@access.needs(Permission.CHANGE_PLATFORM)
def withdraw(change_id: UUID) -> BaseResponse:
    """Take a proposal back."""
    platform_changes.withdraw(db.session(), _load(change_id), actor=g.actor)
    flash("The proposal is withdrawn.", "ok")
    return _back(change_id)


@bp.post("/changes/<uuid:change_id>/pause")
@access.needs(Permission.CHANGE_PLATFORM)
def pause(change_id: UUID) -> BaseResponse:
    """Hold the wave."""
    waves.pause(db.session(), _load(change_id), actor=g.actor)
    flash("Paused: what is being baked ends, nothing more begins.", "ok")
    return _back(change_id)


@bp.post("/changes/<uuid:change_id>/resume")
@access.needs(Permission.CHANGE_PLATFORM)
def resume(change_id: UUID) -> BaseResponse:
    """Let the wave go on."""
    waves.resume(db.session(), _load(change_id), actor=g.actor)
    flash("The wave goes on.", "ok")
    return _back(change_id)


@bp.post("/changes/<uuid:change_id>/images/<digest>/retry")
@access.needs(Permission.BAKE)
def retry(change_id: UUID, digest: str) -> BaseResponse:
    """Have an image tried again that was left behind."""
    waves.retry(db.session(), waves.get(db.session(), _load(change_id), digest, actor=g.actor), actor=g.actor)
    flash("It is tried again.", "ok")
    return _back(change_id)


def _load(change_id: UUID) -> PlatformChange:
    return platform_changes.get(db.session(), change_id, actor=g.actor)


def _back(change_id: UUID) -> BaseResponse:
    return redirect(url_for("platform.change", change_id=change_id, _anchor="images"), 303)


def _cursor() -> paging.Cursor:
    return paging.Cursor(limit=PAGE, after=request.args.get("cursor"))


def _page(found: PlatformChange, form: ChangeForm) -> tuple[str, int]:
    session = db.session()
    why_not = platform_changes.why_not(found, actor=g.actor)
    state = _state(request.args.get("state", ""))
    form.decision_id.data, form.seen.data, form.code.data = uuid4().hex, found.digest, ""
    filters.name_actors({found.proposed_by})
    return render_template(
        "platform/change.html",
        change=found,
        form=form,
        differences=platforms.differences(found.replaces, found.platform),
        gates=platform_changes.gates_of(session, found) if found.state is ChangeState.PROPOSED else [],
        why_not=why_not,
        decides=bool(g.actor.roles & rules.ROLES[Permission.DECIDE]),
        statements=_statements(found) if why_not is None else {},
        counts=waves.progress(session, [found])[found.id],
        state=state,
        page=waves.listing(session, found, _cursor(), actor=g.actor, state=state),
        may_retry=_may_retry,
    ), form.status


def _statements(found: PlatformChange) -> dict[str, list[str]]:
    person = accounts.load_person(db.session(), person_id=g.actor.person_id)
    return {
        outcome.value: reauthentication.pieces(platform_changes.statement(found, person=person, outcome=outcome))
        for outcome in platform_changes.OUTCOMES
    }


def _may_retry(bundle: Bundle) -> bool:
    return access.may(Permission.BAKE, bundle.team_id)


def _state(text: str) -> MoveState | None:
    if not text:
        return None
    try:
        return MoveState(text)
    except ValueError:
        raise NotFound(f"images are never {text!r}") from None
