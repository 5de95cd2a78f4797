"""A version's page: where it is, what is next, who it waits for, and the acts of its team."""

import re
from datetime import timedelta

import pytest

from registry import approvals, checking, jobs
from registry.orm.approval import Outcome
from registry.orm.catalog import Stage
from registry.versions import MetricClaim
from tests import factories
from tests.portal.catalog.conftest import VOICE, bake, kept_fields, words
from tests.portal.conftest import PASSWORD, hidden_fields

V1 = f"{VOICE}/versions/1"


def road(text: str) -> list[tuple[str, str, str]]:
    """(step, state, word) of the strip."""
    return [
        (name, state, word)
        for state, name, word in re.findall(
            r'<li class="(\w+)"[^>]*>([^<]+)<span class="word">([^<]+)</span></li>', text
        )
    ]


def states(text: str) -> list[str]:
    return [state for _, state, _ in road(text)]


def test_the_road_of_a_version(world, ana):
    with world.write() as session:
        version = factories.checking_version(session, world)
    text = ana.get(V1).text
    assert [name for name, _, _ in road(text)] == ["Uploaded", "Checked", "In review", "Approved", "Built", "Released"]
    assert states(text) == ["done", "now", "todo", "todo", "todo", "todo"]
    assert "It waits for a worker to check it." in words(text)
    assert f'data-checks="{V1}/status.json"' in text
    assert ">Reload</a>" in text, "works without a script"
    with world.write() as session:
        factories.check(session, factories.reload(session, world.version(session), actor=world.ana))
    text = ana.get(V1).text
    assert states(text) == ["done", "done", "todo", "todo", "todo", "todo"]
    assert "Submit it for review." in words(text)
    assert "data-checks" not in text
    with world.write() as session:
        request = factories.submit(session, world, world.version(session))
        factories.decide(session, request, world.vic)
    text = ana.get(V1).text
    assert states(text)[:4] == ["done", "done", "now", "todo"]
    assert "One of them from compliance" in words(text), "who it waits for"
    with world.write() as session:
        factories.decide(session, world.request(session), world.cora)
    text = ana.get(V1).text
    assert states(text) == ["done", "done", "done", "done", "now", "todo"]
    bake(world)
    text = ana.get(V1).text
    assert states(text) == ["done"] * 6
    assert "100 % of route voice" in words(text)
    assert version.number == 1


def test_a_replaced_image_is_built_but_not_in_use(world, ana):
    for _ in range(2):
        with world.write() as session:
            factories.approved_version(session, world)
        bake(world)
    assert road(ana.get(V1).text)[4:] == [("Built", "done", "done"), ("Released", "todo", "replaced")]


def test_a_rejected_version(world, ana):
    with world.write() as session:
        factories.decide(session, factories.request_in_review(session, world), world.cora, Outcome.REJECT)
    text = ana.get(V1).text
    assert states(text)[2:4] == ["done", "stop"]
    assert "Rejected on" in words(text)


def test_a_failed_check_shows_findings_and_hints(world, ana):
    evil = "<script>alert(1)</script>"
    finding = {"code": "name", "message": f"posix.system {evil}", "hint": f"Remove it {evil}"}
    with world.write() as session:
        version = factories.checking_version(session, world)
        report = factories.report("scan", outcome="failed") | {"findings": [finding], "summary": evil}
        checking.fail_checks(session, version, [report])
    text = ana.get(V1).text
    assert f"posix.system {evil} Remove it {evil}" in words(text)
    assert evil not in text
    assert states(text)[1] == "stop"
    assert "It did not pass its checks." in words(text)
    assert "Run the checks again" in text
    assert ana.act(f"{V1}/retry").status_code == 303
    with world.read() as session:
        assert world.version(session).stage is Stage.CHECKING


def test_a_refused_retry_says_why(world, ana, scene):
    answer = ana.act(f"{V1}/retry")
    assert answer.status_code == 409
    assert "did not fail" in words(answer.text)


def test_reports_fold_and_download(world, ana, scene):
    text = ana.get(V1).text
    assert text.count("<summary>Report of") == 6
    answer = ana.get(f"{V1}/reports/scan.json")
    assert answer.json["step"] == "scan"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert ana.get(f"{V1}/reports/nothing.json").status_code == 404


def test_answers_to_sample_rows_are_for_those_who_may_read_the_rows(visit, scene):
    lea = visit("lea")
    assert lea.get(f"{V1}/reports/scan.json").status_code == 200
    assert lea.get(f"{V1}/reports/predict.json").status_code == 403
    text = lea.get(V1).text
    assert "It holds answers to the sample rows" in text
    assert "reports/predict.json" not in text
    assert "reports/predict.json" in visit("ana").get(V1).text


def test_metrics_name_baseline_direction_and_source(world, ana):
    for value in (0.90, 0.95):
        with world.write() as session:
            claims = [
                MetricClaim("accuracy", value, "october", higher_is_better=True),
                MetricClaim("latency", value, "", higher_is_better=False),
                MetricClaim("size", value, "", None),
            ]
            factories.approve(session, world, factories.ready_version(session, world, metrics=claims))
    said = words(ana.get(f"{VOICE}/versions/2").text)
    assert "Version 1 Version 2" in said
    assert "accuracy, october 0.9 0.95 ▲ 0.05 better declared by ana" in said
    assert "latency 0.9 0.95 ▲ 0.05 worse declared by ana" in said
    assert "size 0.9 0.95 ▲ 0.05 declared by ana" in said
    assert "Version 1 is the last approved before this one." in said


def test_the_first_version_has_no_baseline(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
    said = words(ana.get(V1).text)
    assert "Metric Value Source accuracy, october 0.91 declared by ana" in said


def test_digests_and_numbers_lead_to_one_address(ana, scene):
    for reference in (scene.digest, scene.release, "approved"):
        assert ana.get(f"{VOICE}/versions/{reference}").location == V1
    assert ana.get(f"{VOICE}/versions/latest").location == f"{VOICE}/versions/2"
    assert ana.get(f"{VOICE}/versions/9").status_code == 404


def test_submit_is_filled_in_from_the_card_and_freezes_the_version(world, ana):
    card = factories.card(uses=["Sorting mail", "Statistics"], prohibited_uses="Scoring people", limits=["German only"])
    with world.write() as session:
        factories.ready_version(session, world, card=card)
    page = ana.get(f"{V1}/submit").text
    for part in ("Sorting mail\nStatistics", "production", "Scoring people", "German only"):
        assert part in page.replace("\r\n", "\n")
    data = {"uses": "Sorting mail\r\n\r\nStatistics ", "environments": "production", "note": "October data"}
    answer = ana.submit(f"{V1}/submit", data)
    assert answer.location == V1
    with world.read() as session:
        request = world.request(session)
        assert request.uses == ["Sorting mail", "Statistics"]
        assert request.note == "October data"
    assert ana.get(f"{V1}/submit").status_code == 409


def test_a_refused_submission_keeps_what_was_typed(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
    answer = ana.submit(f"{V1}/submit", {"uses": "", "environments": "production", "note": "my long note"})
    assert answer.status_code == 422
    assert "Name at least one use." in answer.text
    assert "my long note" in answer.text
    answer = ana.submit(f"{V1}/submit", {"uses": "x" * 301, "environments": "production", "note": "my long note"})
    assert answer.status_code == 422
    assert "x" * 301 in answer.text
    with world.read() as session:
        assert world.version(session).stage is Stage.READY


def test_a_submission_that_somebody_else_made_first_is_told(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
    page = f"{V1}/submit"
    token = {"csrf_token": ana.token()}
    with world.write() as session:
        factories.submit(session, world, world.version(session))
    answer = ana.post(page, data={**token, "uses": "Sorting", "environments": "production", "note": "mine"})
    assert answer.status_code == 409
    assert "It waits for its reviewers already." in words(answer.text)
    assert "mine" in answer.text


def test_the_typed_text_survives_a_session_that_ended(world, ana, app):
    with world.write() as session:
        factories.ready_version(session, world)
    token = ana.token()
    ana.delete_cookie("countersign")
    answer = ana.post(
        f"{V1}/submit",
        data={"csrf_token": token, "uses": "Sorting mail", "environments": "production", "note": "hours of work"},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 401
    assert "hours of work" in answer.text
    again = {
        **hidden_fields(answer.text),
        **kept_fields(answer.text),
        "signin-username": "ana",
        "signin-password": PASSWORD,
    }
    answer = ana.post(f"{V1}/submit", data=again, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200
    assert "hours of work" in answer.text
    with world.read() as session:
        assert world.version(session).stage is Stage.READY, "nothing was sent without being asked"
    assert (
        ana.post(
            f"{V1}/submit",
            data=hidden_fields(answer.text)
            | {"uses": "Sorting mail", "environments": "production", "note": "hours of work"},
        ).status_code
        == 303
    )


def test_withdrawing_needs_a_reason(world, ana, scene):
    page = f"{VOICE}/versions/2/withdraw"
    assert "Say why" in ana.submit(page, {"reason": ""}).text
    assert ana.submit(page, {"reason": "a better one comes"}).status_code == 303
    assert "a better one comes" in words(ana.get(f"{VOICE}/versions/2").text)
    assert ana.get(page).status_code == 409


@pytest.mark.parametrize("username", ["lea", "kim", "cora", "aud", "root"])
def test_others_are_offered_no_act_and_refused_each(visit, scene, username):
    browser = visit(username)
    text = browser.get(f"{VOICE}/versions/2").text
    for label in ("Withdraw", "Submit for review", "Run the checks again", "Set a tag"):
        assert label not in text
    token = browser.token()
    for path, data in (
        ("submit", {"uses": "x", "environments": "y"}),
        ("withdraw", {"reason": "no"}),
        ("retry", {}),
        ("tags", {"key": "a", "value": "b"}),
    ):
        assert browser.post(f"{VOICE}/versions/2/{path}", data={"csrf_token": token, **data}).status_code == 403, path


def test_tags_are_set_and_removed(ana, scene):
    assert ana.act(f"{V1}/tags", key="pipeline", value="1182").status_code == 303
    assert "pipeline 1182" in words(ana.get(V1).text)
    assert ana.act(f"{V1}/tags", key="pipeline", value="").status_code == 303
    assert "1182" not in words(ana.get(V1).text)


def test_while_checks_run_the_page_can_follow_their_log(world, ana):
    with world.write() as session:
        version = factories.checking_version(session, world)
        job = jobs.of_subject(session, version.id)
        job = jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=[job.kind])
        jobs.log(session, job.id, job.fence, "first line\n<b>second</b>")
    first = ana.get(f"{V1}/status.json").json
    assert first["stage"] == "checking"
    assert first["status"] == "The checks are running."
    assert first["log"] == "first line\n<b>second</b>\n"
    assert ana.get(f"{V1}/status.json?from={first['next']}").json["log"] == ""
    with world.write() as session:
        jobs.log(session, job.id, job.fence, "third")
    assert ana.get(f"{V1}/status.json?from={first['next']}").json["log"] == "third\n"
    whole = ana.get(f"{V1}/log")
    assert whole.mimetype == "text/plain"
    assert whole.text == "first line\n<b>second</b>\nthird\n"
    assert "<b>second" not in ana.get(V1).text


def test_a_job_that_could_not_run_says_what_to_do(world, ana):
    with world.write() as session:
        version = factories.checking_version(session, world)
        job = jobs.of_subject(session, version.id)
        job = jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=[job.kind])
        error = {"code": "index", "message": "the package index did not answer", "hint": "Check its address."}
        jobs.fail(session, job.id, job.fence, error=error, retry=True)
    said = words(ana.get(V1).text)
    assert "will be tried again: the package index did not answer" in said
    assert "Check its address." in said


def test_withdrawing_is_offered_exactly_while_a_request_is_open(world, ana, scene):
    assert f"{VOICE}/versions/2/withdraw" in ana.get(f"{VOICE}/versions/2").text
    with world.write() as session:
        approvals.withdraw(session, world.request(session, 2), actor=world.ana, reason="later")
    assert f"{VOICE}/versions/2/withdraw" not in ana.get(f"{VOICE}/versions/2").text


def test_is_what_runs_what_was_validated(world, ana):
    with world.write() as session:
        version = factories.checking_version(session, world)
    assert 'id="parity"' not in ana.get(V1).text
    with world.write() as session:
        version = factories.reload(session, world.version(session), actor=world.ana)
        factories.check(session, version, parity=factories.parity_facts())
    told = words(ana.get(V1).text)
    assert "Is what runs what we validated? Yes: compared and equal" in told
    for figure in (
        "Rows compared 81: 20 of the sample, 61 edge cases",
        "Labels equal 81 of 81",
        "Largest difference below 1e-15",
        "Tolerance 1e-06",
        "Refused by both 12 rows",
        "Plain arrays",
    ):
        assert figure in told


def test_a_version_that_is_not_compiled_says_how_it_is_served(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
    told = words(ana.get(V1).text)
    assert "Is what runs what we validated? Yes: its own library runs it The parity passed." in told
