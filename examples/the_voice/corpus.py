"""The corpus of The Voice: feedback of an invented bank's customers, generated from a seeded grammar.

Nothing here was written by a customer. The same seed gives the same bytes on every machine and Python version.
"""

import argparse
import hashlib
import json
import random
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

HERE = Path(__file__).parent
PERIODS = ("july-september", "october")
CHANNELS = ("review", "tweet", "mail")

DUTCH_SHARE = 0.15
NEW_WORDING_SHARE = 0.10  # of October's messages: the words that came with the Tide card and app 7
SIDE_REMARK_SHARE = 0.06  # messages that mention a second subject after the one they are about
QUESTION_WORDS = frozenset(
    "how what when where which who whom why can do does is are will waarom wanneer welke wat hoe kan kunnen".split()  # noqa: SIM905
)
NOISE = {"review": 0.03, "tweet": 0.06, "mail": 0.015}  # share of words with a slip of the finger


@dataclass(frozen=True, slots=True)
class Message:
    """One piece of feedback. ``category`` is what the grammar meant; a real bank only knows it for hand-read messages."""

    id: str
    period: str
    channel: str
    language: str
    category: str
    text: str


@cache
def grammar() -> dict[str, Any]:
    """The tables of grammar.toml: ``slots``, ``dress`` and ``category``."""
    return tomllib.loads((HERE / "grammar.toml").read_text(encoding="utf-8"))


def categories() -> tuple[str, ...]:
    """The 52 known categories, in the order of the grammar."""
    return tuple(grammar()["category"])


def generate(period: str, count: int, seed: int) -> list[Message]:
    """Messages of one period, every category present, some of them up to three times as frequent as others.

    :param period: one of PERIODS; only October knows the new wording.
    :param count: how many; at least one per category.
    :param seed: any integer; other seeds give other messages of the same kind.
    :raises ValueError: an unknown period, or fewer messages than categories.
    """
    names = categories()
    if period not in PERIODS:
        raise ValueError(f"period {period!r} is unknown; choose one of {', '.join(PERIODS)}")
    if count < len(names):
        raise ValueError(f"{count} messages cannot hold {len(names)} categories; ask for at least {len(names)}")
    rng = random.Random(f"the-voice/{period}/{seed}")
    weights = [rng.uniform(0.6, 1.8) for _ in names]
    chosen = [*names, *rng.choices(names, weights, k=count - len(names))]
    rng.shuffle(chosen)
    return [_message(rng, period, category, f"{period}-{seed}-{i:05d}") for i, category in enumerate(chosen)]


def canonical_jsonl(messages: Iterable[Message]) -> bytes:
    """One JSON object per line, keys sorted, UTF-8, no spaces: the bytes that ``dataset_digest`` names."""
    lines = (json.dumps(asdict(m), sort_keys=True, ensure_ascii=False, separators=(",", ":")) for m in messages)
    return "".join(f"{line}\n" for line in lines).encode()


def dataset_digest(messages: Iterable[Message]) -> str:
    """``sha256:<64 hex>`` of the canonical JSONL."""
    return f"sha256:{hashlib.sha256(canonical_jsonl(messages)).hexdigest()}"


def _message(rng: random.Random, period: str, category: str, message_id: str) -> Message:
    channel = rng.choice(CHANNELS)
    new_wording = period == "october" and rng.random() < NEW_WORDING_SHARE
    language = "nl" if not new_wording and rng.random() < DUTCH_SHARE else "en"
    phrases = grammar()["category"]
    point = _fill(rng, rng.choice(phrases[category]["october" if new_wording else language]))
    dress = grammar()["dress"][phrases[category].get("dress", {}).get(language, language)]
    if rng.random() < SIDE_REMARK_SHARE:
        other = _fill(rng, rng.choice(phrases[rng.choice(categories())][language]))
        point = f"{point}. {rng.choice(dress['bridge'])} {other}"
    text = _spoil(rng, _dress(rng, point, channel, dress), NOISE[channel])
    return Message(message_id, period, channel, language, category, text)


def _fill(rng: random.Random, template: str) -> str:
    slots = grammar()["slots"]
    parts = ((literal, slot) for literal, slot, _, _ in Formatter().parse(template))
    return "".join(literal + (rng.choice(slots[slot]) if slot else "") for literal, slot in parts)


def _dress(rng: random.Random, point: str, channel: str, dress: dict[str, list[str]]) -> str:
    """The point of a message as its channel would carry it: tone before and after, stars, handle, greeting."""

    def pick(part: str) -> str:
        return _fill(rng, rng.choice(dress[part]))

    opening, closing = pick("opening"), pick("closing")
    if channel == "tweet":
        return _join("@harbourbank", opening, point, pick("tag") if rng.random() < 0.5 else "")
    asks = point.split(" ", 1)[0] in QUESTION_WORDS and ". " not in point
    sentence = point + ("?" if asks else rng.choice((".", ".", ".", "!", "...")))
    if not opening or opening.endswith("."):
        sentence = sentence[0].upper() + sentence[1:]
    if channel == "review":
        return _join(pick("stars") if rng.random() < 0.5 else "", opening, sentence, closing)
    return f"{pick('greeting')}\n\n{_join(sentence[0].upper() + sentence[1:], closing)}\n\n{pick('signature')}"


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _spoil(rng: random.Random, text: str, share: float) -> str:
    """Slips of the finger in about ``share`` of the longer words, and now and then a message in capitals or without any."""
    words = [_slip(rng, word) if len(word) > 3 and rng.random() < share else word for word in text.split(" ")]
    spoilt = " ".join(words)
    mood = rng.random()
    if mood < 0.03:
        return spoilt.upper()
    return spoilt.lower() if mood < 0.18 else spoilt


def _slip(rng: random.Random, word: str) -> str:
    at = rng.randrange(1, len(word) - 1)
    match rng.randrange(4):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + rng.choice("aeioustnr") + word[at + 1 :]


def main(argv: Sequence[str] | None = None) -> int:
    """Print messages as canonical JSONL, so that anyone can make a dataset again and compare its digest."""
    parser = argparse.ArgumentParser(description="Generate customer feedback from the seeded grammar.")
    parser.add_argument("--period", choices=PERIODS, default="october")
    parser.add_argument("-n", "--count", type=int, default=104, help="how many messages, at least 52 (default: 104)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    try:
        messages = generate(args.period, args.count, args.seed)
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.buffer.write(canonical_jsonl(messages))
    print(f"{len(messages)} messages, {dataset_digest(messages)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
