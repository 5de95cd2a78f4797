"""Cards: Markdown as HTML that nothing can be smuggled into."""

import pytest

from portal.catalog import cards, markdown
from tests.portal.catalog.conftest import live


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java&#115;cript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:msgbox)",
        "![x](https://evil.example/pixel.png)",
        "![x](javascript:alert(1))",
        '[x](https://a.example "onmouseover=alert(1)")',
        '<https://a.example/"onmouseover=alert(1)>',
        "[x]: javascript:alert(1)\n\n[x]",
        "<svg/onload=alert(1)>",
        "<iframe src=//evil.example></iframe>",
        "<style>*{display:none}</style>",
        "```\n</code></pre><script>alert(1)</script>\n```",
        "`<b onclick=alert(1)>`",
        "| a |\n| --- |\n| <img src=x onerror=alert(1)> |",
        "<a href='javascript:alert(1)'>x</a>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        '<!--<img src="--><img src=x onerror=alert(1)//">',
    ],
)
def test_nothing_in_a_card_runs_or_loads(text):
    assert live(str(markdown.render(text))) == []


def test_what_people_write_is_kept():
    html = markdown.render(
        "# Title\n\n*a* **b** `c` ~~d~~\n\n- e\n\n1. f\n\n> g\n\n| h |\n| -: |\n| i |\n\n[j](https://k.example)\n"
    )
    for part in (
        "<h3>Title</h3>",
        "<em>a</em>",
        "<strong>b</strong>",
        "<code>c</code>",
        "<s>d</s>",
        "<li>e</li>",
        "<blockquote>",
        "<td>i</td>",
    ):
        assert part in html
    assert '<a href="https://k.example" rel="noopener noreferrer nofollow">j</a>' in html


def test_headings_stand_below_those_of_the_page():
    html = markdown.render("# a\n\n## b\n\n###### c\n")
    assert "<h3>a</h3>" in html
    assert "<h4>b</h4>" in html
    assert "<h6>c</h6>" in html


def test_an_image_is_its_words():
    assert markdown.render("![a chart](https://x.example/y.png)") == "<p>a chart</p>\n"


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("one", ["one"]),
        (["a", "b"], ["a", "b"]),
        ({"x": 1, "y": [2]}, ["x: 1", "y: [2]"]),
        ([{"name": "auc", "value": 0.9}], ["auc: value 0.9"]),
        (None, []),
        ("", []),
        (3, ["3"]),
    ],
)
def test_a_field_of_the_head_as_lines(said, lines):
    assert cards.lines(said) == lines
