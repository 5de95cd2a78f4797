"""The corpus: the same bytes for the same seed, and every category in it with a team that can act."""

import json
import subprocess
import sys
from collections import Counter
from string import Formatter

import corpus
import pytest
import routing
from voice_container import VOICE


def test_a_seed_gives_the_same_bytes_in_another_process():
    messages = corpus.generate("october", 300, seed=5)
    command = [
        sys.executable,
        "-I",
        "-c",
        "import sys; sys.path.insert(0, sys.argv[1]); import corpus; sys.exit(corpus.main(sys.argv[2:]))",
    ]
    arguments = [str(VOICE), "--period", "october", "-n", "300", "--seed", "5"]
    done = subprocess.run([*command, *arguments], capture_output=True, check=True, env={"PYTHONHASHSEED": "77"})
    assert done.stdout == corpus.canonical_jsonl(messages)
    assert corpus.dataset_digest(messages) in done.stderr.decode()


def test_another_seed_or_period_gives_another_dataset():
    digests = {corpus.dataset_digest(corpus.generate(period, 60, seed)) for period in corpus.PERIODS for seed in (1, 2)}
    assert len(digests) == 4
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)


def test_every_category_is_present_even_in_the_smallest_dataset():
    assert len(corpus.categories()) == 52
    assert Counter(m.category for m in corpus.generate("october", 52, seed=9)) == dict.fromkeys(corpus.categories(), 1)


def test_every_category_has_a_team_of_its_own():
    assert tuple(routing.teams()) == corpus.categories()
    assert len({team.name for team in routing.teams().values()}) == 52
    assert all(team.unit and team.answer_within_hours >= 1 for team in routing.teams().values())


def test_every_slot_is_known_and_used():
    slots = corpus.grammar()["slots"]
    dress = [text for mood in corpus.grammar()["dress"].values() for texts in mood.values() for text in texts]
    phrases = [
        phrase
        for rules in corpus.grammar()["category"].values()
        for kind in ("en", "nl", "october")
        for phrase in rules[kind]
    ]
    used = {slot for text in dress + phrases for _, slot, _, _ in Formatter().parse(text) if slot}
    assert used == set(slots)


def test_phrases_belong_to_one_category_only():
    phrases = Counter(
        phrase
        for rules in corpus.grammar()["category"].values()
        for kind in ("en", "nl", "october")
        for phrase in rules[kind]
    )
    assert [phrase for phrase, count in phrases.items() if count > 1] == []


def test_only_october_knows_the_new_card_and_app():
    before = " ".join(m.text for m in corpus.generate("july-september", 3000, seed=1)).lower()
    october = " ".join(m.text for m in corpus.generate("october", 3000, seed=1)).lower()
    assert "tide" not in before.split()
    assert "app 7" not in before
    assert "tide" in october.split()
    assert "app 7" in october


def test_messages_come_through_all_channels_in_two_languages_with_slips_and_tone():
    messages = corpus.generate("july-september", 2000, seed=3)
    assert set(Counter(m.channel for m in messages)) == set(corpus.CHANNELS)
    assert 0.10 < sum(m.language == "nl" for m in messages) / len(messages) < 0.20
    assert any(m.text.isupper() for m in messages)
    assert len({m.text for m in messages}) > 0.97 * len(messages)
    assert len({m.id for m in messages}) == len(messages)
    tweets = [m.text.lower() for m in messages if m.channel == "tweet"]
    spelled_right = sum("@harbourbank" in text for text in tweets)
    assert 0.85 * len(tweets) < spelled_right < len(tweets)


def test_praise_is_not_dressed_as_anger():
    praise = " ".join(m.text.lower() for m in corpus.generate("october", 4000, seed=2) if m.category == "praise")
    assert "1 star." not in praise
    assert "#fail" not in praise


@pytest.mark.parametrize(
    ("period", "count", "words"),
    [("october", 51, ("51", "52")), ("january", 60, ("'january'", "july-september"))],
    ids=["too-few", "unknown-period"],
)
def test_an_impossible_dataset_is_refused_with_what_is_possible(period, count, words):
    with pytest.raises(ValueError) as caught:
        corpus.generate(period, count, seed=1)
    assert all(word in str(caught.value) for word in words)


def test_lines_are_canonical_json():
    (line,) = corpus.canonical_jsonl(corpus.generate("october", 60, seed=1)[:1]).splitlines()
    assert list(json.loads(line)) == sorted(["id", "period", "channel", "language", "category", "text"])
    assert b": " not in line.replace(b'": "', b"")


def test_an_unsure_answer_goes_to_the_front_desk():
    assert routing.route("cards-lost", 0.9) == routing.Route(routing.teams()["cards-lost"], sure=True)
    assert routing.route("cards-lost") == routing.Route(routing.teams()["cards-lost"], sure=True)
    assert routing.route("cards-lost", 0.1) == routing.Route(routing.teams()["other"], sure=False)


def test_an_answer_without_a_team_is_an_error_that_names_it():
    with pytest.raises(routing.UnknownCategoryError, match=r"'cards-eaten'.*teams\.json"):
        routing.route("cards-eaten", 0.9)
