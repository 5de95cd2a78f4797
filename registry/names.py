"""What names may look like, told in the words of the refusal."""

import re

from registry.errors import Invalid

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


def slug(text: str, *, what: str, pointer: str = "/name") -> str:
    """Check a team, model, route or bundle name: 1-63 of a-z, 0-9 and inner dashes."""
    if not _SLUG.fullmatch(text):
        raise Invalid(
            f"{text!r} cannot be the name of {'an' if what[0] in 'aeiou' else 'a'} {what}",
            hint="Use 1 to 63 lower-case letters, digits and dashes; begin and end with a letter or digit.",
            errors=[(pointer, "1-63 of a-z, 0-9 and inner dashes")],
        )
    return text


def username(text: str) -> str:
    """Check a sign-in name."""
    if not _USERNAME.fullmatch(text):
        raise Invalid(
            f"{text!r} is not a user name",
            hint="Use lower-case letters, digits, dots, dashes and underscores.",
            errors=[("/username", "1-64 of a-z, 0-9, . _ -")],
        )
    return text


def split_model(full_name: str) -> tuple[str, str]:
    """``team/model`` in its halves."""
    team, separator, model = full_name.partition("/")
    if not separator:
        raise Invalid(
            f"{full_name!r} names no team", hint="A model is called team/model.", errors=[("/name", "team/model")]
        )
    return slug(team, what="team"), slug(model, what="model")


def text(value: str, *, what: str, pointer: str, most: int, least: int = 0) -> str:
    """Check the length of free text, stripped."""
    value = storable(value.strip(), what=what, pointer=pointer)
    if not least <= len(value) <= most:
        raise Invalid(
            f"{what} has {len(value)} characters",
            hint=f"Write {least} to {most} characters." if least else f"At most {most} characters.",
            errors=[(pointer, f"{least}-{most} characters")],
        )
    return value


def storable(value: str, *, what: str, pointer: str) -> str:
    """Refuse what is not text: NUL, and halves of characters."""
    if _UNSTORABLE.search(value):
        raise Invalid(
            f"{what} holds NUL or a broken character",
            hint="Save it as UTF-8 text, then send it again.",
            errors=[(pointer, "not text")],
        )
    return value
