"""What no template may hold, because the content security policy would break it or a reader would trip over it."""

import re
from pathlib import Path

import pytest

TEMPLATES = sorted((Path(__file__).parent.parent.parent / "templates").rglob("*.html"))
STATIC = Path(__file__).parent.parent.parent / "portal" / "static"
FORBIDDEN = {
    "a style attribute": re.compile(r"<[a-z][^>]*\sstyle\s*=", re.IGNORECASE),
    "an inline style sheet": re.compile(r"<style\b", re.IGNORECASE),
    "an inline script": re.compile(r"<script(?![^>]*\bsrc=)", re.IGNORECASE),
    "an event handler attribute": re.compile(r"<[a-z][^>]*\son[a-z]+\s*=", re.IGNORECASE),
    "markup let through unescaped": re.compile(r"\|\s*safe\b|autoescape\s+false"),
    "something from another host": re.compile(r"(?:src|<link[^>]*href)\s*=\s*[\"'](?:https?:)?//", re.IGNORECASE),
    "a javascript: address": re.compile(r"javascript:", re.IGNORECASE),
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_template(path: Path) -> None:
    text = path.read_text()
    found = [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]
    assert not found, f"{path.name} has {', '.join(found)}: use a class of theme.css or a module of portal/static/js"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_post_form_carries_the_token(path: Path) -> None:
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", path.read_text(), re.DOTALL | re.IGNORECASE):
        assert "hidden()" in form or 'name="csrf_token"' in form, f"{path.name}: {form[:120]}"


@pytest.mark.parametrize("path", sorted(STATIC.rglob("*.js")), ids=lambda path: path.name)
def test_script_keeps_to_trusted_types(path: Path) -> None:
    found = re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
    )
    assert not found, f"{path.name} uses {found}: build elements with textContent"


def test_modules_of_the_shell_import_what_is_there() -> None:
    for path in STATIC.rglob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"
