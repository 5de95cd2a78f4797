"""Which version answers: the same key always meets the same version, and shares are what the manifest says."""

import hashlib
from types import SimpleNamespace

import pytest

from formats.manifest import Member, Route
from serving.errors import NotFound, Refusal
from serving.routing import routes


def manifest(*members, route="feedback"):
    """A manifest's part that routing reads: (ref, weight) for every member."""
    models = []
    for ref, _ in members:
        name, number = ref.split(":")
        models.append(SimpleNamespace(ref=ref, model=name, number=int(number)))
    parts = tuple(Member(ref, weight, (0, 100)) for ref, weight in members)
    return SimpleNamespace(models=models, routes=(Route(route, parts),))


def route_of(*members, **options):
    (found,) = routes(manifest(*members, **options)).values()
    return found


def test_a_version_is_the_number_when_one_model_answers_and_has_the_name_otherwise():
    assert list(route_of(("a/voice:1", 90), ("a/voice:12", 10)).versions) == ["1", "12"]
    assert list(route_of(("a/voice:1", 90), ("a/other:1", 10)).versions) == ["voice-1", "other-1"]


def test_two_versions_of_one_name_are_refused():
    with pytest.raises(Refusal, match="a/voice:1, b/voice:1"):
        routes(manifest(("a/voice:1", 50), ("b/voice:1", 50)))


def test_a_key_is_placed_by_its_hash_over_cumulative_weights():
    route = route_of(("a/voice:1", 70), ("a/voice:2", 20), ("a/voice:3", 10))
    for number in range(500):
        key = f"customer-{number}"
        place = int.from_bytes(hashlib.sha256(f"feedback\0{key}".encode()).digest()[:8], "big") / 2**64
        assert route.choose(key).name == ("1" if place < 0.7 else "2" if place < 0.9 else "3")


def test_shares_of_keys_and_of_chance_follow_the_weights():
    route = route_of(("a/voice:1", 70), ("a/voice:2", 30))
    by_key = sum(route.choose(str(number)).name == "2" for number in range(4000))
    by_chance = sum(route.choose(None).name == "2" for _ in range(4000))
    assert 1050 < by_key < 1350
    assert 1000 < by_chance < 1400  # more than six standard deviations


def test_growing_a_share_moves_no_key_back():
    before = route_of(("a/voice:1", 90), ("a/voice:2", 10))
    after = route_of(("a/voice:1", 60), ("a/voice:2", 40))
    keys = [str(number) for number in range(300)]
    assert all(after.choose(key).name == "2" for key in keys if before.choose(key).name == "2")


def test_a_weight_of_zero_is_reached_by_name_only():
    route = route_of(("a/voice:1", 0), ("a/voice:2", 100), ("a/voice:3", 0))
    assert {route.choose(key).name for key in ["a", "b", None, None]} == {"2"}
    assert route.named("1").weight == 0
    with pytest.raises(NotFound, match='no version "9"; it has 1, 2, 3'):
        route.named("9")
