"""Passwords, one-time codes and sessions."""

from datetime import timedelta

import pyotp
import pytest
import time_machine

from registry import accounts, clock, signing_in
from registry.errors import BadCredentials, CodeRefused, Invalid, LockedOut, SelfApproval, SessionEnded, TokenRefused
from registry.vault import Vault
from tests import factories
from tests.factories import PASSWORD
from tests.support import at_once, bodies_of, kinds, refused

LIMITS = signing_in.SessionLimits(total=timedelta(hours=12), idle=timedelta(hours=1))
NOW = clock.now()


@pytest.fixture
def enrolled(world, vault):
    """The world in which cora has the password and a second factor; its secret is ``world.secret``."""
    with world.write() as session:
        world.secret = factories.enrol(session, "cora", vault)
    return world


def cora(session):
    return accounts.load_person(session, username="cora")


def fail(world, times):
    for _ in range(times):
        with world.write() as session:
            signing_in.note_failure(session, "cora")


def check(world, password=PASSWORD, username="cora"):
    with world.read() as session:
        return signing_in.check_password(session, username, password)


# --------------------------------------------------------------------------------------------------- passwords


def test_the_right_password_is_that_persons(enrolled):
    assert check(enrolled).username == "cora"


@pytest.mark.parametrize(
    ("username", "password"),
    [("cora", "wrong password!"), ("cora", ""), ("nobody", PASSWORD), ("ana", PASSWORD), ("", "")],
    ids=["wrong", "empty", "no-such-person", "no-password-yet", "nothing"],
)
def test_a_failed_sign_in_does_not_tell_why(enrolled, username, password):
    with pytest.raises(BadCredentials) as caught:
        check(enrolled, password, username)
    assert str(caught.value) == "that name and password do not belong together"
    assert caught.value.hint


def test_a_disabled_person_cannot_sign_in(enrolled):
    with enrolled.write() as session:
        accounts.disable_person(session, cora(session), actor=enrolled.root)
    with pytest.raises(BadCredentials):
        check(enrolled)


def test_a_short_password_is_refused(enrolled):
    def act(session):
        link = accounts.find_setup(session, accounts.open_setup(session, cora(session)))
        accounts.set_password(session, link, "x" * 11)

    assert refused(enrolled.database, Invalid, act).errors == (("/password", "at least 12 characters"),)


# --------------------------------------------------------------------------------------------------- lock-out


def test_four_failures_do_no_harm(enrolled):
    fail(enrolled, 4)
    assert check(enrolled).username == "cora"


def test_five_failures_lock_for_a_quarter_of_an_hour(enrolled):
    with time_machine.travel(NOW, tick=False):
        fail(enrolled, 5)
        with pytest.raises(LockedOut) as caught:
            check(enrolled)
        assert "15 minutes" in caught.value.hint
    with time_machine.travel(NOW + timedelta(minutes=14, seconds=59), tick=False), pytest.raises(LockedOut):
        check(enrolled)
    with time_machine.travel(NOW + timedelta(minutes=15, seconds=1), tick=False):
        assert check(enrolled).username == "cora"
        fail(enrolled, 4)
        assert check(enrolled).username == "cora", "the count starts anew after the lock"


def test_signing_in_forgets_failures(enrolled):
    fail(enrolled, 4)
    with enrolled.write() as session:
        signing_in.sign_in(session, cora(session), limits=LIMITS, user_agent="", second_factor=True)
    fail(enrolled, 4)
    assert check(enrolled).username == "cora"


def test_the_log_says_which_failure_locked(enrolled):
    with time_machine.travel(NOW, tick=False):
        fail(enrolled, 5)
    with time_machine.travel(NOW + timedelta(minutes=16), tick=False):
        fail(enrolled, 1)
    with enrolled.read() as session:
        said = [body["locked"] for body in bodies_of(session, "person:sign_in_failed")]
    assert said == [False, False, False, False, True, False]


def test_failures_for_a_name_nobody_has_are_not_kept(enrolled):
    with enrolled.write() as session:
        signing_in.note_failure(session, "nobody")


def test_failures_at_once_are_all_counted(enrolled):
    assert at_once(*[lambda: fail(enrolled, 1)] * 5) == [None] * 5
    with pytest.raises(LockedOut):
        check(enrolled)


# --------------------------------------------------------------------------------------------------- sessions


def sign_in(world, *, second_factor=True):
    with world.write() as session:
        return signing_in.sign_in(
            session, cora(session), limits=LIMITS, user_agent="t" * 500, second_factor=second_factor
        )


def resume(world, secret):
    with world.read() as session:
        return signing_in.resume(session, secret, limits=LIMITS)


@pytest.mark.parametrize("second_factor", [True, False])
def test_a_session_is_the_person_as_they_signed_in(enrolled, second_factor):
    _, actor = resume(enrolled, sign_in(enrolled, second_factor=second_factor))
    assert (actor.ref, actor.roles, actor.second_factor) == (enrolled.cora.ref, enrolled.cora.roles, second_factor)
    assert not actor.via_token


def test_a_session_carries_the_roles_of_this_moment(enrolled):
    secret = sign_in(enrolled)
    with enrolled.write() as session:
        (grant,) = cora(session).roles
        accounts.revoke_role(session, grant, actor=enrolled.root)
    assert resume(enrolled, secret)[1].roles == frozenset()


def test_an_unknown_secret_is_no_session(enrolled):
    with pytest.raises(SessionEnded) as caught:
        resume(enrolled, "guess")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("later", "seen", "ended"),
    [
        pytest.param(timedelta(minutes=59), None, False, id="in-use"),
        pytest.param(timedelta(minutes=61), None, True, id="idle"),
        pytest.param(timedelta(minutes=61), timedelta(minutes=30), False, id="seen-meanwhile"),
        pytest.param(timedelta(hours=12, seconds=1), timedelta(hours=12), True, id="at-its-end"),
    ],
)
def test_a_session_ends_when_idle_and_in_any_case(enrolled, later, seen, ended):
    with time_machine.travel(NOW, tick=False):
        secret = sign_in(enrolled)
        login, _ = resume(enrolled, secret)
    if seen is not None:
        with time_machine.travel(NOW + seen, tick=False), enrolled.write() as session:
            signing_in.touch(session, login.id)
    with time_machine.travel(NOW + later, tick=False):
        if ended:
            with pytest.raises(SessionEnded):
                resume(enrolled, secret)
        else:
            assert resume(enrolled, secret)[0].id == login.id


def test_signing_out_ends_the_session_on_the_server(enrolled):
    secret = sign_in(enrolled)
    with enrolled.write() as session:
        signing_in.end(signing_in.resume(session, secret, limits=LIMITS)[0])
    with pytest.raises(SessionEnded):
        resume(enrolled, secret)


def test_disabling_somebody_ends_their_sessions(enrolled):
    secret = sign_in(enrolled)
    with enrolled.write() as session:
        accounts.disable_person(session, cora(session), actor=enrolled.root)
    with pytest.raises(SessionEnded, match="disabled"):
        resume(enrolled, secret)


def test_only_open_sessions_are_listed(enrolled):
    first, second = sign_in(enrolled), sign_in(enrolled)
    with enrolled.write() as session:
        signing_in.end(signing_in.resume(session, first, limits=LIMITS)[0])
    with enrolled.read() as session:
        (left,) = signing_in.sessions_of(session, cora(session))
    assert left.id == resume(enrolled, second)[0].id


# --------------------------------------------------------------------------------------------------- one-time codes


def code(world, *, step=0, at=NOW):
    return pyotp.TOTP(world.secret).at(int(at.timestamp()) + step * 30)


def spend(world, vault, text, *, purpose="sign-in"):
    with world.write() as session:
        signing_in.spend_code(session, cora(session), text, purpose=purpose, keys=vault)


def test_a_code_is_accepted_once_for_each_purpose(enrolled, vault):
    with time_machine.travel(NOW, tick=False):
        spend(enrolled, vault, code(enrolled))
        spend(enrolled, vault, code(enrolled), purpose="decide")
        for purpose in ("sign-in", "decide"):
            error = refused(
                enrolled.database,
                CodeRefused,
                lambda session, purpose=purpose: signing_in.spend_code(
                    session, cora(session), code(enrolled), purpose=purpose, keys=vault
                ),
                match="used already",
            )
            assert error.hint


def test_a_code_used_by_two_requests_at_once_serves_one(enrolled, vault):
    with time_machine.travel(NOW, tick=False):
        answers = at_once(*[lambda: spend(enrolled, vault, code(enrolled))] * 4)
    assert kinds(answers) == ["CodeRefused"] * 3 + ["NoneType"]


@pytest.mark.parametrize(("step", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)], ids=str)
def test_a_clock_may_be_half_a_minute_off(enrolled, vault, step, accepted):
    with time_machine.travel(NOW, tick=False):
        if accepted:
            spend(enrolled, vault, code(enrolled, step=step))
        else:
            with pytest.raises(CodeRefused, match="does not fit"):
                spend(enrolled, vault, code(enrolled, step=step))


def test_a_code_accepted_early_is_not_accepted_again_when_its_time_comes(enrolled, vault):
    """Drift must not open a second use: what is kept is the step the code belongs to, not the time it came."""
    ahead = code(enrolled, step=1)
    with time_machine.travel(NOW, tick=False):
        spend(enrolled, vault, ahead)
    with time_machine.travel(NOW + timedelta(seconds=30), tick=False), pytest.raises(CodeRefused, match="used already"):
        spend(enrolled, vault, ahead)


@pytest.mark.parametrize("text", ["", "000", "abcdef", "0000000", "１２３４５６", "\x00", "12 34"])
def test_what_is_no_code_is_refused(enrolled, vault, text):
    with pytest.raises(CodeRefused):
        spend(enrolled, vault, text)


def test_a_code_may_be_typed_with_spaces(enrolled, vault):
    with time_machine.travel(NOW, tick=False):
        typed = code(enrolled)
        spend(enrolled, vault, f" {typed[:3]} {typed[3:]} ")


def test_no_second_factor_no_code(world, vault):
    with world.write() as session, pytest.raises(CodeRefused, match="no second factor"):
        signing_in.spend_code(session, cora(session), "123456", purpose="sign-in", keys=vault)


def test_a_second_factor_is_set_after_it_was_proved(world, vault):
    secret = signing_in.new_totp_secret()
    for wrong in ("000000", ""):
        refused(
            world.database,
            CodeRefused,
            lambda session, wrong=wrong: signing_in.set_second_factor(
                session, cora(session), secret, wrong, keys=vault
            ),
        )
    with time_machine.travel(NOW, tick=False):
        with world.write() as session:
            proof = pyotp.TOTP(secret).at(int(NOW.timestamp()))
            signing_in.set_second_factor(session, cora(session), secret, proof, keys=vault)
        with world.write() as session:
            signing_in.spend_code(session, cora(session), proof, purpose="sign-in", keys=vault)


def test_a_second_factor_is_not_replaced_by_its_holder(enrolled, vault):
    fresh = signing_in.new_totp_secret()
    refused(
        enrolled.database,
        SelfApproval,
        lambda session: signing_in.set_second_factor(session, cora(session), fresh, "000000", keys=vault),
    )


def test_resetting_a_second_factor_ends_every_session(enrolled):
    secrets = [sign_in(enrolled), sign_in(enrolled)]
    with enrolled.write() as session:
        signing_in.reset_second_factor(session, cora(session), actor=enrolled.root)
    for secret in secrets:
        with pytest.raises(SessionEnded):
            resume(enrolled, secret)


def test_the_secret_at_rest_is_sealed(enrolled, vault):
    with enrolled.read() as session:
        sealed = cora(session).totp_sealed
    assert enrolled.secret not in sealed
    assert vault.unseal(sealed) == enrolled.secret


def test_another_secret_key_cannot_open_it(enrolled):
    with enrolled.write() as session, pytest.raises(TokenRefused, match="another secret key") as caught:
        signing_in.spend_code(session, cora(session), "123456", purpose="sign-in", keys=Vault("k" * 40))
    assert "COUNTERSIGN_SECRET_KEY" in caught.value.hint


def test_an_authenticator_is_told_whose_code_it_is(enrolled):
    assert signing_in.totp_uri(enrolled.secret, "cora").startswith("otpauth://totp/Countersign:cora?secret=")
