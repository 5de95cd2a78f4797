"""The catalogue: what it finds, counts, pages and exports, and what it keeps to itself."""

import csv
import io
import re
from datetime import timedelta

import pytest

from portal.catalog import index
from registry import audit, catalog, clock
from tests.portal.catalog.conftest import VOICE, live, words


def register(world, name, actor=None, purpose="", **fields):
    with world.write() as session:
        model = catalog.register_model(session, actor=actor or world.ana, full_name=name, purpose=purpose)
        session.flush()
        if fields:
            catalog.describe(session, model, actor=actor or world.ana, expected=model.revision, **fields)


def names(text: str) -> list[str]:
    return re.findall(r'class="name"><a href="/models/([^"]+)"', text)


def test_the_list_says_what_each_model_is_for_and_how_it_stands(ana, scene):
    said = words(ana.get("/models").text)
    assert "payments/ voice Version 1 approved Routes feedback text-classification 2 versions" in said


def test_search_and_facets_narrow_the_list_and_stand_in_the_address(world, visit):
    register(world, "payments/churn", purpose="Finds merchants that leave", task="tabular")
    register(world, "lending/risk", actor=world.lea, purpose="Estimates default", task="tabular")
    browser = visit("ana")
    assert set(names(browser.get("/models").text)) == {"payments/churn", "lending/risk"}
    assert names(browser.get("/models?q=merch").text) == ["payments/churn"]
    assert names(browser.get("/models?team=lending").text) == ["lending/risk"]
    assert names(browser.get("/models?mine=1").text) == ["payments/churn"]
    text = browser.get("/models?task=tabular&team=lending").text
    assert names(text) == ["lending/risk"]
    # A chosen facet is marked, and its link takes it out again while the others stay.
    assert re.search(r'href="/models\?task=tabular" aria-current="true">lending', text)
    assert 'name="task" value="tabular"' in text, "searching keeps the facets"


def test_facets_count(world, visit, scene):
    register(world, "lending/risk", actor=world.lea)
    said = words(visit("ana").get("/models").text)
    assert "Mine My teams' models 1 Status Approved 1 In review 1 Team" in said
    assert "lending 1" in said
    assert "payments 1" in said


def test_a_long_list_goes_on_behind_a_link(world, ana):
    for number in range(index.PAGE + 3):
        register(world, f"payments/model-{number}")
    first = ana.get("/models?team=payments").text
    address = re.search(r'href="([^"]*cursor=[^"]*)" rel="next"', first)
    assert address
    assert "team=payments" in address[1]
    second = ana.get(address[1].replace("&amp;", "&")).text
    assert len(names(first)) == index.PAGE
    assert len(names(second)) == 3
    assert not set(names(first)) & set(names(second))
    assert "Back to the first page" in second


def test_an_empty_catalogue_says_how_to_begin(ana):
    text = ana.get("/models").text
    assert "countersign push ./my-model --name team/model" in text
    assert 'href="/upload"' in text


def test_a_search_without_hits_says_what_to_do(ana, scene):
    assert "No model fits" in words(ana.get("/models?q=nothing").text)


def test_an_unknown_stage_is_refused_in_words(ana):
    answer = ana.get("/models?stage=great")
    assert answer.status_code == 422
    assert "there is no stage 'great'" in words(answer.text).replace("There", "there")


def test_private_models_are_seen_by_their_team_only(private, visit):
    assert "payments/secret" in names(visit("ben").get("/models").text)
    for username in ("lea", "cora", "aud", "root", "ops", "kim", "vic"):
        browser = visit(username)
        assert "secret" not in words(browser.get("/models").text), username
        assert "secret" not in browser.get("/models.csv").text, username
        assert "secret" not in words(browser.get("/models?q=secret").text).replace("No model fits", ""), username


def test_csv_has_the_same_rows_and_no_formulas(world, ana):
    register(world, "payments/churn", purpose='=HYPERLINK("http://evil")', contact="@team", task="+1")
    register(world, "lending/risk", actor=world.lea)
    answer = ana.get("/models.csv?team=payments")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.mimetype == "text/csv"
    assert [row["model"] for row in rows] == ["payments/churn"]
    assert rows[0]["purpose"] == '\'=HYPERLINK("http://evil")'
    assert rows[0]["contact"] == "'@team"
    assert rows[0]["task"] == "'+1"
    assert rows[0]["url"] == "http://127.0.0.1:5000/models/payments/churn"


@pytest.mark.parametrize("value", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_cells_that_a_spreadsheet_would_run_are_quoted(value):
    assert index.cell(value) == "'" + value


@pytest.mark.parametrize("value", ["1.4", "voice", "a=b", 3])
def test_other_cells_stay(value):
    assert index.cell(value) == str(value)


def test_csv_goes_through_all_pages(world, ana, monkeypatch):
    monkeypatch.setattr(index.paging, "MAX_LIMIT", 2)
    for number in range(5):
        register(world, f"payments/model-{number}")
    rows = list(csv.DictReader(io.StringIO(ana.get("/models.csv").text)))
    assert {row["model"] for row in rows} == {f"payments/model-{number}" for number in range(5)}


def test_a_model_whose_approval_ended_is_not_shown_as_approved(world, ana, scene):
    with world.write() as session:
        version = world.version(session, 1)
        version.approved_until = clock.now() - timedelta(days=1)
        audit.record(session, audit.Action.VERSION_TAGGED, actor=world.ana, subject=version)
    said = words(ana.get("/models").text)
    assert "Version 1: approval ended" in said
    assert "Version 1 approved" not in said
    said = words(ana.get(VOICE).text)
    assert "Approval ended" in said
    assert "No. Version 1 was the newest approved" in said
    assert "Approved for" not in said


def test_scripts_in_names_stay_text(world, ana):
    register(world, "payments/churn", purpose="<script>alert(1)</script>", task='"><img src=x onerror=alert(1)>')
    text = ana.get("/models?q=%3Cscript%3E").text + ana.get("/models").text
    assert "alert(1)" in text
    assert live(text) == []
