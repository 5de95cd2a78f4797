"""The live page's HTML. Every value that is not ours goes through ``html.escape``."""

from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from routing import teams
from visitors import Routed

FOLDER = Path(__file__).parent / "page"
LONGEST = 8000  # characters of a message, as the model card says


@cache
def _template() -> Template:
    return Template((FOLDER / "live.html").read_text(encoding="utf-8"))


def render(
    *,
    text: str = "",
    latest: Routed | None = None,
    fault: str = "",
    history: Sequence[Routed],
    versions: Sequence[tuple[str, int]],
    visitor: str,
    examples: Sequence[str],
    examples_page: int,
) -> str:
    """The whole page.

    :param text: what stands in the box; kept when there is a ``fault``.
    :param versions: answers so far by version; :param visitor: the routing key of who looks.
    """
    return _template().substitute(
        teams=len(teams()),
        longest=LONGEST,
        text=escape(text),
        answer=_fault(fault) if fault else _answer(latest),
        history=_history(history),
        versions=_versions(versions, visitor),
        examples=_examples(examples, examples_page),
    )


def _fault(fault: str) -> str:
    return f'<p class="fault" role="alert"><b>Not routed.</b> {escape(fault)}</p>'


def _answer(routed: Routed | None) -> str:
    if routed is None:
        return ""
    answer, team = routed.answer, routed.route.team
    percent = f"{answer.confidence:.0%}".replace("%", " %")
    if routed.route.sure:
        chip = f'<span class="chip ok">{percent} sure</span>'
    else:
        chip = f'<span class="chip wait">Only {percent} sure, a person reads it first</span>'
    return (
        f'<p class="eyebrow">Goes to</p><p class="team"><strong>{escape(team.name)}</strong>{chip}</p>'
        f'<dl class="facts"><dt>Category</dt><dd><span class="code">{escape(answer.category)}</span></dd>'
        f"<dt>Unit</dt><dd>{escape(team.unit)}, answers within {_hours(team.answer_within_hours)}</dd>"
        f"<dt>Answered by</dt><dd>version {escape(answer.version)}{_digest(answer.digest)}</dd>"
        f'<dt>Took</dt><dd class="num">{answer.milliseconds:.1f} ms, there and back</dd></dl>'
    )


def _digest(digest: str) -> str:
    """Shortened in the middle, whole in the title."""
    if not digest:
        return ""
    short = f"{digest[:13]}…{digest[-4:]}" if len(digest) > 20 else digest
    return f' <span class="code" title="{escape(digest)}">{escape(short)}</span>'


def _hours(hours: int) -> str:
    if hours < 24:
        return "an hour" if hours == 1 else f"{hours} hours"
    return "a day" if hours == 24 else f"{hours // 24} days"


def _history(history: Sequence[Routed]) -> str:
    if not history:
        return '<p class="muted">Nothing yet. Write a message, or take one of those to try.</p>'
    unsure = ' <span class="muted">(unsure)</span>'
    rows = "".join(
        f'<tr><td class="message"><span class="clamp">{escape(one.text)}</span></td>'
        f"<td>{escape(one.route.team.name)}{'' if one.route.sure else unsure}</td>"
        f'<td class="num">{escape(one.answer.version)}</td><td class="num ms">{one.answer.milliseconds:.1f}</td></tr>'
        for one in history
    )
    return (
        '<div class="scroll"><table><caption>Messages and their teams, the newest first</caption><thead><tr>'
        '<th scope="col">Message</th><th scope="col">Team</th><th scope="col" class="num">Version</th>'
        f'<th scope="col" class="num ms">ms</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _versions(versions: Sequence[tuple[str, int]], visitor: str) -> str:
    sticky = (
        f'<p class="hint">You are visitor <span class="code">{escape(visitor[:8])}</span>: '
        "the same version answers all you send. Others may get the other one.</p>"
    )
    total = sum(count for _, count in versions)
    if not total:
        return f'<p class="muted">No answers yet.</p>{sticky}'
    items = "".join(
        f'<li><div class="what"><span>Version {escape(name)}</span>'
        f'<span class="num muted">{count} of {total}, {round(100 * count / total)} %</span></div>'
        f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * count / total:.1f}" height="6"/></svg></li>'
        for name, count in versions
    )
    return f'<ul class="shares">{items}</ul>{sticky}'


def _examples(examples: Sequence[str], number: int) -> str:
    items = "".join(
        f'<li><button type="submit" name="text" value="{escape(text)}"><span class="clamp">{escape(text)}</span></button></li>'
        for text in examples
    )
    return (
        f'<form method="post" action="/ask" data-live><ul class="examples">{items}</ul></form>'
        f'<a href="/?examples={number + 1}" data-live>Show others</a>'
    )
