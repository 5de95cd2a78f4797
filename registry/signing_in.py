"""Passwords, one-time codes and server-side sessions."""

import time
from dataclasses import dataclass
from datetime import timedelta

import pyotp
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from registry import access, accounts, audit, clock, vault
from registry.access import Actor, Permission
from registry.errors import BadCredentials, CodeRefused, LockedOut, SelfApproval, SessionEnded
from registry.orm.account import LoginSession, Person, UsedCode

STEP_SECONDS = 30
MAX_FAILURES = 5
LOCK_MINUTES = 15
TOUCH = timedelta(minutes=1)
"""Last-seen stamps are written at most this often."""


@dataclass(frozen=True)
class SessionLimits:
    """How long a sign-in lasts."""

    total: timedelta
    idle: timedelta


def check_password(session: Session, username: str, password: str) -> Person:
    """The active person of this name, if the password is theirs.

    :raises LockedOut: too many failures lately.
    :raises BadCredentials: wrong name or password; which of them is not told.
    """
    person = session.scalars(select(Person).where(Person.username == username)).one_or_none()
    if person is not None and person.locked_until and person.locked_until > clock.now():
        minutes = max(1, round((person.locked_until - clock.now()).total_seconds() / 60))
        raise LockedOut(f"sign-in is locked after {MAX_FAILURES} failures", hint=f"Try again in {minutes} minutes.")
    if (
        not vault.password_matches(person.password_hash if person else None, password)
        or person is None
        or not person.active
    ):
        raise BadCredentials("that name and password do not belong together", hint="Check both, and caps lock.")
    return person


def note_failure(session: Session, username: str) -> None:
    """Count a failed sign-in; runs in a unit of its own because the failing one is rolled back."""
    person = session.scalars(select(Person).where(Person.username == username).with_for_update()).one_or_none()
    if person is None:
        return
    person.failed_logins += 1
    locked = person.failed_logins >= MAX_FAILURES
    if locked:
        person.locked_until = clock.now() + timedelta(minutes=LOCK_MINUTES)
        person.failed_logins = 0
    actor = Actor(ref=person.audit_ref(), name=username)
    audit.record(session, audit.Action.SIGN_IN_FAILED, actor=actor, subject=person, locked=locked)


def sign_in(session: Session, person: Person, *, limits: SessionLimits, user_agent: str, second_factor: bool) -> str:
    """Open a server-side session and return its secret, the only copy."""
    secret = vault.new_secret()
    now = clock.now()
    session.add(
        LoginSession(
            secret_hash=vault.hash_secret(secret),
            person_id=person.id,
            user_agent=user_agent[:200],
            created_at=now,
            last_seen_at=now,
            expires_at=now + limits.total,
            second_factor_at=now if second_factor else None,
        )
    )
    person.failed_logins, person.locked_until, person.last_login_at = 0, None, now
    audit.record(
        session, audit.Action.SIGNED_IN, actor=Actor(ref=person.audit_ref(), name=person.username), subject=person
    )
    return secret


def resume(session: Session, secret: str, *, limits: SessionLimits) -> tuple[LoginSession, Actor]:
    """The session of this secret and who it is.

    :raises SessionEnded: unknown, ended, expired, or idle for too long.
    """
    login = session.scalars(
        select(LoginSession).where(LoginSession.secret_hash == vault.hash_secret(secret))
    ).one_or_none()
    now = clock.now()
    if login is None or login.ended_at or login.expires_at < now or login.last_seen_at + limits.idle < now:
        raise SessionEnded("your session has ended", hint="Sign in again; what you typed is kept.")
    person = accounts.load_person(session, person_id=login.person_id)
    if not person.active:
        raise SessionEnded("this account is disabled", hint="Ask an administrator.")
    return login, accounts.actor_for(person, second_factor=login.second_factor_at is not None)


def touch(session: Session, login_id: object) -> None:
    """Stamp a session as seen; called at most once a minute, in a unit of its own."""
    login = session.get(LoginSession, login_id)
    if login is not None:
        login.last_seen_at = clock.now()


def end(login: LoginSession) -> None:
    """Sign out."""
    login.ended_at = clock.now()


def sessions_of(session: Session, person: Person) -> list[LoginSession]:
    """The person's open sessions, newest first."""
    query = select(LoginSession).where(
        LoginSession.person_id == person.id, LoginSession.ended_at.is_(None), LoginSession.expires_at > clock.now()
    )
    return list(session.scalars(query.order_by(LoginSession.id.desc()).limit(50)))


# -------------------------------------------------------------------------------------------------- second factor


def new_totp_secret() -> str:
    """A fresh base32 secret, to be shown once and confirmed with a code."""
    return pyotp.random_base32()


def totp_uri(secret: str, username: str) -> str:
    """``otpauth://`` address for an authenticator app."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name="Countersign")


def set_second_factor(session: Session, person: Person, secret: str, code: str, *, keys: vault.Vault) -> None:
    """Store a second factor after the person proved they hold it.

    :raises SelfApproval: one is set already; resetting it needs an administrator.
    :raises CodeRefused: the code does not fit the secret.
    """
    if person.totp_sealed:
        raise SelfApproval("a second factor is set already", hint="An administrator can reset it.")
    if _matching_step(secret, code) is None:
        raise CodeRefused("that code does not fit", hint="Check the clock of your phone and type the current code.")
    person.totp_sealed = keys.seal(secret)
    accounts.end_links(session, person)
    actor = Actor(ref=person.audit_ref(), name=person.username)
    audit.record(session, audit.Action.SECOND_FACTOR_SET, actor=actor, subject=person)


def reset_second_factor(session: Session, person: Person, *, actor: Actor) -> None:
    """Remove somebody's second factor, ending their sessions."""
    access.require(actor, Permission.ADMINISTER)
    if person.id == actor.person_id:
        raise SelfApproval("you cannot reset your own second factor", hint="Ask another administrator.")
    accounts.refuse_both_halves(session, person, actor=actor, other=audit.Action.PASSWORD_LINK_MADE)
    person.totp_sealed = None
    accounts.end_links(session, person)
    for login in sessions_of(session, person):
        login.ended_at = clock.now()
    audit.record(session, audit.Action.SECOND_FACTOR_RESET, actor=actor, subject=person)


def spend_code(session: Session, person: Person, code: str, *, purpose: str, keys: vault.Vault) -> None:
    """Accept a one-time code once per person and purpose.

    :param purpose: ``sign-in``, ``decide`` or ``revoke``: a code seen for one act is no good for another of its kind.
    :raises CodeRefused: no second factor, wrong code, or the code was accepted before.
    """
    if not person.totp_sealed:
        raise CodeRefused("no second factor is set up", hint="Set one up under Security.")
    step = _matching_step(keys.unseal(person.totp_sealed), code)
    if step is None:
        raise CodeRefused("that code does not fit", hint="Type the current code of your authenticator app.")
    session.execute(delete(UsedCode).where(UsedCode.person_id == person.id, UsedCode.step < step - 20))
    try:
        with session.begin_nested():
            session.add(UsedCode(person_id=person.id, purpose=purpose, step=step))
    except IntegrityError as error:
        raise CodeRefused(
            "that code was used already", hint="Wait for the next one; it takes at most 30 seconds."
        ) from error


def _matching_step(secret: str, code: str) -> int | None:
    """The 30-second step the code belongs to, one step of clock drift allowed either way."""
    code = code.replace(" ", "")
    totp = pyotp.TOTP(secret)
    current = int(time.time()) // STEP_SECONDS
    for step in (current, current - 1, current + 1):
        if totp.verify(code, for_time=step * STEP_SECONDS, valid_window=0):
            return step
    return None
