"""The live page over real HTTP: what it shows, what it sends, and what hostile feedback cannot do."""

import http.client
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import unescape
from urllib.parse import urlencode

import live
import page
import pytest
from inference import RestAsker
from voice_container import VOICE

HOSTILE = "</textarea><script>alert(1)</script> \"'><img src=x onerror=alert(2)> $text ${teams} &amp; PIN"


class Browser:
    """One visitor: keeps the cookie, sends forms as a browser without JavaScript does."""

    def __init__(self, server: live.LiveServer) -> None:
        self.port = server.server_address[1]
        self.cookie = ""

    def send(self, method: str, path: str, form: dict | None = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = None if form is None else urlencode(form)
        if form is not None:
            headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        if self.cookie:
            headers = {"Cookie": self.cookie, **headers}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if cookie := answer.headers.get("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        return answer.status, text, answer.headers

    def ask(self, text: str):
        return self.send("POST", "/ask", {"text": text})


@pytest.fixture
def server(container) -> Iterator[live.LiveServer]:
    with RestAsker(container.rest_url, "feedback", timeout=5) as asker, live.LiveServer(asker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(server) -> Browser:
    return Browser(server)


def region(html: str, name: str) -> str:
    """The inside of one part of the page that scripts swap."""
    found = re.search(rf'<div id="{name}"[^>]*>(.*?)</div>\n(?:</section>|<form)', html, re.DOTALL)
    assert found, f"no part {name}"
    return found[1]


def test_a_first_visit_says_what_to_do(browser):
    status, html, _ = browser.send("GET", "/")
    assert status == 200
    assert "one of 52 teams" in html
    assert "Nothing yet." in region(html, "history")
    assert "No answers yet." in region(html, "versions")
    assert html.count('type="submit" name="text"') == 6


def test_an_answer_shows_category_team_version_and_time(browser, container):
    status, html, _ = browser.ask("I forgot my PIN")
    version = container.version(container.asked[0]["key"])
    answer = region(html, "answer")
    assert status == 200
    assert "<strong>PIN service</strong>" in answer
    assert "93 % sure" in answer
    assert '<span class="code">cards-pin</span>' in answer
    assert f"version {version}" in answer
    assert container.digest(version) in answer
    assert re.search(r"\d+\.\d ms", answer)
    assert "answers within 4 hours" in answer
    assert "I forgot my PIN" in html[html.index("<textarea") : html.index("</textarea>")]
    assert "I forgot my PIN" in region(html, "history")


def test_an_unsure_answer_says_that_a_person_reads_it_first(browser):
    answer = region(browser.ask("gibberish")[1], "answer")
    assert "<strong>Front desk</strong>" in answer
    assert "Only 11 % sure, a person reads it first" in answer
    assert "app-crash" in answer


def test_hostile_feedback_is_shown_as_text_and_nothing_else(browser, container):
    container.answer = lambda _: ("cards-pin", 0.9)
    _, html, headers = browser.ask(HOSTILE)
    assert container.asked[0]["request"]["inputs"][0]["data"] == [HOSTILE]
    assert html.count("<script") == 1
    assert "<img" not in html
    box = html[html.index("<textarea") : html.index("</textarea>")]
    assert unescape(box.partition(">")[2]) == HOSTILE
    assert unescape(region(html, "history")).count(HOSTILE) == 1
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"\sstyle=|\son\w+=", re.sub(r"&[^;]+;", "", html.replace(box, "")).partition("<main")[0])


def test_a_hostile_container_cannot_write_html_either(browser, container):
    container.version = lambda _: "<b>1</b>"
    container.digest = lambda _: '"><script>alert(1)</script>'
    html = browser.ask("my PIN")[1]
    assert "<b>1</b>" not in html
    assert html.count("<script") == 1
    container.refusal = (400, "<img src=x onerror=alert(1)>")
    html = browser.ask("my PIN")[1]
    assert "<img" not in html
    assert "&lt;img src=x" in html


def test_one_visitor_keeps_one_routing_key_and_another_gets_another(browser, server, container):
    browser.ask("one")
    browser.ask("two")
    Browser(server).ask("three")
    keys = [call["key"] for call in container.asked]
    assert keys[0] == keys[1] != keys[2]
    assert browser.cookie == f"voice_visitor={keys[0]}"
    assert "three" not in region(browser.send("GET", "/")[1], "history")
    browser.send("POST", "/visitor", {})
    browser.ask("four")
    assert container.asked[-1]["key"] not in keys
    assert "one" not in region(browser.send("GET", "/")[1], "history")


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser):
    cookie = browser.send("GET", "/")[2]["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_a_made_up_cookie_is_not_taken_over(browser, container):
    browser.cookie = "voice_visitor=<script>"
    _, html, _ = browser.ask("hello")
    assert re.fullmatch(r"[0-9a-f]{32}", container.asked[0]["key"])
    assert html.count("<script") == 1


def test_the_share_of_versions_counts_all_visitors(browser, server, container):
    status, html, _ = browser.send("POST", "/stream", {"count": "40"})
    assert status == 200
    Browser(server).ask("my PIN")
    answered = [container.version(call["key"]) for call in container.asked]
    assert len({call["key"] for call in container.asked}) == 41
    shown = region(browser.send("GET", "/")[1], "versions")
    for version in ("1", "2"):
        count = answered.count(version)
        assert f"{count} of 41, {round(100 * count / 41)} %" in shown
    assert region(html, "history").count("<tr>") == 13


@pytest.mark.parametrize(
    ("typed", "words"),
    [("  \r\n ", "The message is empty."), ("x" * 8001, "The message has 8,001 characters; 8,000 are allowed.")],
    ids=["empty", "too-long"],
)
def test_a_message_that_cannot_be_asked_is_not_sent(browser, container, typed, words):
    status, html, _ = browser.ask(typed)
    assert status == 422
    assert words in region(html, "answer")
    assert typed.strip() in html
    assert container.asked == []


def test_a_long_message_in_another_script_fits_the_form(browser, container):
    assert browser.ask("愛" * 7000)[0] == 200
    assert len(container.asked[0]["request"]["inputs"][0]["data"][0]) == 7000


@pytest.mark.parametrize(
    ("refusal", "words"),
    [((404, "no route named feedback"), "answered 404: no route named feedback."), ((503, ""), "answered 503")],
    ids=["unknown-route", "full"],
)
def test_a_refusal_keeps_the_text_and_says_why(browser, container, refusal, words):
    container.refusal = refusal
    status, html, _ = browser.ask("Keep This Text")
    assert status == 502
    assert words in region(html, "answer")
    assert "Keep This Text" in html[html.index("<textarea") : html.index("</textarea>")]
    assert "Nothing yet." in region(html, "history")


def test_a_container_that_is_down_is_said_in_words():
    with RestAsker("http://127.0.0.1:1", "feedback") as asker, live.LiveServer(asker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        status, html, _ = Browser(server).ask("Hello There")
        streamed, other, _ = Browser(server).send("POST", "/stream", {"count": "3"})
        server.shutdown()
        thread.join()
    assert (status, streamed) == (502, 502)
    for shown in (html, other):
        assert "No answer from http://127.0.0.1:1/v2/models/feedback/infer: nothing listens there" in shown
    assert "Hello There" in html


def test_an_answer_without_a_team_is_a_fault_and_not_a_guess(browser, container):
    container.answer = lambda _: ("cards-eaten", 0.99)
    status, html, _ = browser.ask("hello")
    assert status == 502
    assert "&#x27;cards-eaten&#x27;, which teams.json does not list" in html


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (("GET", "/", None, {"Host": "rebound.example"}), 421, "loopback only"),
        (("POST", "/ask", {"text": "x"}, {"Origin": "http://evil.example"}), 403, "sent by another page"),
        (("POST", "/ask", {"text": "x"}, {"Origin": "null"}), 403, "sent by another page"),
        (("GET", "/../live.py", None, {}), 404, "there is nothing at /../live.py"),
        (("GET", "/live.html", None, {}), 404, "there is nothing at /live.html"),
        (("GET", "/", None, {"Host": "[::1"}), 421, "loopback only"),
        (("POST", "/nothing", {}, {}), 404, "the form is at /"),
        (("POST", "/stream", {"count": "51"}, {}), 422, "send 1 to 50"),
        (("POST", "/stream", {"count": "²"}, {}), 422, "send 1 to 50"),
        (("POST", "/ask", {"text": "x" * 70_000}, {}), 413, "65536 are allowed"),
        (("POST", "/ask", None, {"Content-Length": "-5"}), 411, "without its length"),
        (("POST", "/ask", {f"f{i}": "" for i in range(9)}, {}), 400, "more fields"),
    ],
    ids=[
        "foreign-host", "foreign-form", "hidden-origin", "outside", "template", "broken-host", "no-such-form", "long-stream",
        "odd-digit", "large", "no-length", "many-fields",
    ],
)  # fmt: skip
def test_what_the_page_refuses(browser, container, sent, status, words):
    *request, headers = sent
    answered, text, _ = browser.send(*request, **headers)
    assert (answered, words in text) == (status, True), text
    assert container.asked == []


def test_a_browser_that_goes_away_leaves_no_trace(browser, server, capfd):
    with socket.create_connection(("127.0.0.1", browser.port)) as gone:
        gone.sendall(b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntext=")
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert browser.send("GET", "/")[0] == 200
    server.shutdown()
    assert capfd.readouterr().err == ""


def test_our_own_form_is_not_another_page(browser):
    origin = f"http://127.0.0.1:{browser.port}"
    assert browser.send("POST", "/ask", {"text": "my PIN"}, Origin=origin)[0] == 200


@pytest.mark.parametrize(
    ("path", "kind"), [("/live.css", "text/css"), ("/live.js", "text/javascript"), ("/icon.svg", "image/svg+xml")]
)
def test_files_of_the_page_come_with_their_type(browser, path, kind):
    status, text, headers = browser.send("GET", path)
    assert status == 200
    assert headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert text == (page.FOLDER / path[1:]).read_text(encoding="utf-8")


def test_examples_turn_page_by_page_and_start_again(browser):
    pages = [region(browser.send("GET", f"/?examples={n}")[1], "examples") for n in (0, 1, live.EXAMPLE_PAGES)]
    assert pages[0] == pages[2] != pages[1]
    assert 'href="/?examples=2"' in pages[1]
    assert browser.send("GET", "/?examples=x")[0] == browser.send("GET", f"/?examples={'9' * 5000}")[0] == 200


def test_an_example_is_asked_as_it_stands(browser, container):
    html = browser.send("GET", "/")[1]
    value = unescape(re.search(r'name="text" value="([^"]*)"', html)[1])
    assert browser.ask(value)[0] == 200
    assert container.asked[0]["request"]["inputs"][0]["data"] == [value]


def test_visitors_are_forgotten_in_order(server):
    first = server.visitors.greet(None)
    for _ in range(600):
        server.visitors.greet(None)
    assert len(server.visitors._known) == 500
    assert server.visitors.greet(first.key).key == first.key
    assert server.visitors.history(server.visitors.greet(first.key)) == []


def test_the_command_prints_its_address_and_ends_on_sigterm(container):
    command = [sys.executable, str(VOICE / "live.py"), "--rest", container.rest_url, "--model", "feedback"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", url)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rest", "container:8080"], "not the URL of a container"),
        (["--rest", "http://c:1", "--port", "PORT"], "--port"),
    ],
    ids=["not-a-url", "taken-port"],
)
def test_a_page_that_cannot_start_says_so_in_one_line(container, capsys, arguments, words):
    taken = container.rest_url.rpartition(":")[2]
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert live.main([taken if argument == "PORT" else argument for argument in arguments]) == 1
    finally:
        signal.signal(signal.SIGTERM, handler)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("live: ")
    assert words in line
