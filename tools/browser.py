"""A person at the web forms: reads pages, fills the form that is there, sends it with its CSRF field and cookies."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


class FormTrouble(Exception):
    """A page or form was not what a person would expect; the message says what the page said."""


@dataclass
class Form:
    """A form of a page: where it goes, its fields with their present values, and its buttons."""

    action: str
    method: str = "get"
    fields: dict[str, list[str]] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    """Collects forms, headings and messages of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self._form: Form | None = None
        self._area = self._select = ""
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {key: value or "" for key, value in attrs}
        if tag in ("script", "style"):
            self._silent += 1
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        if tag == "form":
            self._form = Form(a.get("action", ""), a.get("method", "get").lower())
            self.forms.append(self._form)
        if self._form is not None and self._select and tag == "option":
            self._form.options[self._select].append(a.get("value", ""))
            if "selected" in a:
                self._form.fields[self._select] = [a.get("value", "")]
        if self._form is None or not a.get("name"):
            return
        name, kind = a["name"], a.get("type", "text").lower()
        if tag == "button" or (tag == "input" and kind == "submit"):
            self._form.buttons.append((name, a.get("value", "")))
        elif tag == "input" and kind in ("checkbox", "radio"):
            self._form.options.setdefault(name, []).append(a.get("value", "on"))
            if "checked" in a:
                self._form.fields.setdefault(name, []).append(a.get("value", "on"))
        elif tag == "input":
            self._form.fields[name] = [a.get("value", "")]
        elif tag == "textarea":
            self._area = name
            self._form.fields[name] = [""]
        elif tag == "select":
            self._select = name
            self._form.options.setdefault(name, [])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._silent -= 1
        elif tag == "form":
            self._form = None
        elif tag == "textarea":
            self._area = ""
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._area:
            self._form.fields[self._area] = [self._form.fields[self._area][0] + data.removeprefix("\n")]
        elif not self._silent and data.strip():
            self.text.append(" ".join(data.split()))


@dataclass
class Page:
    """A page as it came."""

    url: str
    status: int
    forms: list[Form]
    links: list[str]
    text: str

    def form(self, *names: str) -> Form:
        """The form that has all these fields or buttons."""
        for form in self.forms:
            if all(
                name in form.fields or name in form.options or any(name == button for button, _ in form.buttons)
                for name in names
            ):
                return form
        raise FormTrouble(f"{self.url} ({self.status}) has no form with {', '.join(names)}; it says: {self.text[:300]}")

    def find(self, pattern: str) -> str:
        """The first match of ``pattern`` (its first group) in what the page says."""
        match = re.search(pattern, self.text)
        if match is None:
            raise FormTrouble(f"{self.url} ({self.status}) does not say {pattern}; it says: {self.text[:300]}")
        return match.group(1)


def _problem(page: Page) -> str:
    """What a refused page says went wrong."""
    start = max(page.text.find("Something is missing"), page.text.find("That does not fit"))
    return page.text[max(start, 0) :][:400]


class Browser:
    """A session of one person."""

    def __init__(self, base: str) -> None:
        """Start without cookies."""
        self.base = base
        self.http = requests.Session()
        self.http.headers["User-Agent"] = "Countersign demo"
        self.page: Page | None = None

    def get(self, path: str) -> Page:
        """Open a page."""
        return self._read(self.http.get(urljoin(self.base, path), timeout=30))

    def send(self, form: Form, values: dict[str, str | list[str]], button: tuple[str, str] | None = None) -> Page:
        """Fill and send a form of the current page.

        :raises FormTrouble: the portal did not accept it.
        """
        if self.page is None:
            raise FormTrouble("open a page first")
        data: dict[str, list[str]] = {
            **form.fields,
            **{key: [value] if isinstance(value, str) else value for key, value in values.items()},
        }
        if button:
            data[button[0]] = [button[1]]
        url = urljoin(self.page.url, form.action or self.page.url)
        answer = self.http.request(form.method, url, data=data, headers={"Referer": self.page.url}, timeout=60)
        page = self._read(answer)
        if page.status >= 400:
            raise FormTrouble(f"{url} answered {page.status}: {_problem(page)}")
        return page

    def _read(self, answer: requests.Response) -> Page:
        reader = _Reader()
        reader.feed(answer.text)
        self.page = Page(answer.url, answer.status_code, reader.forms, reader.links, " ".join(reader.text))
        return self.page
