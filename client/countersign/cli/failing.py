"""How a failure is told on a terminal, and which exit code it gets."""

import click

from countersign.errors import CountersignError


def exit_code_of(error: BaseException) -> int | None:
    """The exit code of a failure that can be explained; None for a bug, which keeps its traceback."""
    if isinstance(error, CountersignError):
        return error.exit_code
    # A full disk, a folder without permission: the caller's machine, told in the system's words.
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return 1
    return None


def tell(error: BaseException) -> None:
    """What happened, what to do next, and what finds it in the server's log; to standard error."""
    # Imported here: `output` needs `formats`, and telling of a failure is not the usual case.
    from countersign.output import plain  # noqa: PLC0415

    findings = getattr(error, "findings", ())
    for message, hint in [(found.message, found.hint) for found in findings] or [
        (str(error), getattr(error, "hint", ""))
    ]:
        click.echo(f"{click.style('error:', fg='red')} {plain(message)}", err=True)
        if hint:
            click.echo(f"  {plain(hint)}", err=True)
    if not isinstance(error, CountersignError):
        return
    for fault in error.errors:
        click.echo(f"  {plain(str(fault.get('pointer', '')))}: {plain(str(fault.get('detail', '')))}", err=True)
    trail = [error.code, *([f"request {error.request_id}"] if error.request_id else [])]
    click.echo(click.style(f"  ({', '.join(map(plain, trail))})", dim=True), err=True)
