"""Addresses: where a ``next`` may lead, and links that leave the portal."""

from urllib.parse import urlsplit

from flask import url_for

from portal.installation import here


def local(target: str | None) -> str | None:
    """``target`` if it is a path of this portal, else ``None``: a sign-in never sends anybody elsewhere."""
    if not target or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return None
    if any(ord(character) < 32 for character in target):
        return None
    parts = urlsplit(target)
    return None if parts.scheme or parts.netloc else target


def absolute(endpoint: str, **values: object) -> str:
    """A link to be sent or printed, on the address people use."""
    return here().settings.public_url + url_for(endpoint, **values)  # type: ignore[arg-type]
