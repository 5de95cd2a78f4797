"""Retries, waits, refusals: how requests travel."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fake_portal import TOKEN

import countersign
from countersign import errors, transport


def test_a_busy_server_is_asked_again_after_as_long_as_it_said(client, portal, pauses):
    portal.fail("GET", "whoami", times=2, status=429, headers={"Retry-After": "7"})
    assert client.whoami().name == "ana"
    assert pauses == [7.0, 7.0]


def test_retry_after_may_be_a_date():
    moment = datetime.now(UTC) + timedelta(seconds=30)
    assert 27 < transport.retry_after(format_datetime(moment, usegmt=True)) <= 30
    assert transport.retry_after("soon") is None
    assert transport.retry_after(None) is None


def test_a_wait_nobody_would_sit_through_is_told_instead(client, portal, pauses):
    portal.fail(
        "GET",
        "whoami",
        status=503,
        headers={"Retry-After": "3600"},
        problem={"detail": "maintenance", "code": "unavailable"},
    )
    with pytest.raises(errors.Trouble) as caught:
        client.whoami()
    assert (caught.value.retry_after, caught.value.code, pauses) == (3600.0, "unavailable", [])


def test_a_server_that_stays_down_is_given_up_with_growing_pauses(client, portal, pauses):
    portal.fail("GET", "whoami", times=9, status=502)
    with pytest.raises(errors.Trouble) as caught:
        client.whoami()
    assert caught.value.exit_code == 7
    assert len(portal.calls("GET", "whoami")) == transport.ATTEMPTS
    assert pauses == sorted(pauses)
    assert 0.5 <= pauses[0] < 1 <= pauses[1] < 2


def test_an_internal_error_is_not_repeated(client, portal, pauses):
    portal.fail("GET", "whoami", status=500, problem={"title": "Something went wrong", "request_id": "abc"})
    with pytest.raises(errors.Trouble) as caught:
        client.whoami()
    assert (caught.value.request_id, pauses) == ("abc", [])


def test_a_keyed_post_whose_answer_is_lost_is_repeated_with_the_same_key(client, portal):
    portal.bundles["a/b"] = {"name": "a/b", "routes": [], "revision": 1}
    portal.fail("POST", "bake", cut_answer=5)
    assert client.bake("a/b").id == "b1"
    calls = portal.calls("POST", "bake")
    assert len(calls) == 2
    assert calls[0].headers["idempotency-key"] == calls[1].headers["idempotency-key"]
    assert set(portal.builds) == {"b1"}


def test_a_token_whose_answer_is_lost_is_said_to_be_lost(client, portal):
    portal.fail("POST", "tokens", cut_answer=5)
    with pytest.raises(errors.Trouble, match="t2 was made") as caught:
        client.create_token("ci", ["push"])
    assert "revoke t2" in caught.value.hint


def test_a_key_in_flight_is_waited_for(client, portal, pauses):
    portal.fail("POST", "tokens", status=409, problem={"code": "in-flight", "detail": "still running"})
    assert client.create_token("ci", ["push"]).id == "t2"
    assert len(pauses) == 1


def test_a_delete_is_never_repeated(client, portal, pauses):
    portal.fail("DELETE", "tokens", status=503)
    with pytest.raises(errors.Trouble):
        client.revoke_token("t1")
    assert (len(portal.calls("DELETE", "tokens")), pauses) == (1, [])


@pytest.mark.parametrize(
    ("answer", "kind", "exit_code"),
    [
        ((401, "token-refused"), errors.NotSignedIn, 4),
        ((403, "missing-scope"), errors.Forbidden, 5),
        ((404, "not-found"), errors.NotFound, 3),
        ((409, "wrong-stage"), errors.Conflict, 6),
        ((412, "stale"), errors.Stale, 6),
        ((428, "precondition-missing"), errors.Stale, 6),
        ((413, "too-large"), errors.TooLarge, 1),
        ((422, "invalid"), errors.Invalid, 1),
        ((422, "digest-mismatch"), errors.VerificationError, 10),
        ((507, "storage-full"), errors.StorageFull, 7),
        ((418, "new-code"), errors.CountersignError, 1),
    ],
)
def test_problems_become_exceptions_by_code_then_status(client, portal, answer, kind, exit_code):
    status, code = answer
    problem = {
        "detail": "what happened",
        "hint": "what to do",
        "code": code,
        "request_id": "r-9",
        "errors": [{"pointer": "/a", "detail": "b"}],
    }
    portal.fail("GET", "whoami", status=status, problem=problem)
    with pytest.raises(errors.CountersignError) as caught:
        client.whoami()
    error = caught.value
    assert type(error) is kind
    assert (str(error), error.hint, error.code, error.request_id, error.status) == (
        "what happened",
        "what to do",
        code,
        "r-9",
        status,
    )
    assert (error.exit_code, error.errors) == (exit_code, ({"pointer": "/a", "detail": "b"},))


def test_an_answer_without_words_gets_some(portal):
    with pytest.raises(errors.NotSignedIn, match="the token was not accepted") as caught:
        countersign.Client(portal.url, "cs_wrong").api.has_blob("sha256:" + "0" * 64)
    assert "countersign login" in caught.value.hint


def test_nobody_there_is_network_trouble_with_the_reason(pauses):
    client = countersign.Client("http://127.0.0.1:9", TOKEN)
    with pytest.raises(errors.Trouble, match="Connection refused") as caught:
        client.whoami()
    assert (caught.value.code, len(pauses)) == ("no-connection", transport.ATTEMPTS - 1)
    assert TOKEN not in str(caught.value)


def test_a_silent_server_times_out(portal):
    portal.fail("GET", "whoami", delay=0.6)
    client = countersign.Client(portal.url, TOKEN, timeout=0.2)
    with pytest.raises(errors.Trouble) as caught:
        client.api.transport.request("GET", "/api/v1/whoami", attempts=1)
    assert caught.value.code == "time-out"


def test_a_redirected_write_names_the_address_to_set(client, portal):
    portal.fail("POST", "tokens", status=308, headers={"Location": "https://other.example/api/v1/tokens"})
    with pytest.raises(errors.Unusable, match=r"other\.example"):
        client.create_token("ci", ["read"])


def test_a_sign_in_page_instead_of_json_is_recognised(client, portal):
    portal.fail("GET", "whoami", status=200, headers={"Content-Type": "text/html"}, problem={})
    with pytest.raises(errors.UnexpectedAnswer, match="JSON"):
        client.whoami()


def test_netrc_never_replaces_the_token(client, portal, home):
    (home / ".netrc").write_text("machine 127.0.0.1 login ana password other\n")
    client.whoami()
    assert portal.seen[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_link_to_another_server_is_not_followed(client):
    with pytest.raises(errors.UnexpectedAnswer, match="another server"):
        client.api.transport.request("GET", "https://elsewhere.example/api/v1/models")
