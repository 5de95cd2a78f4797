"""Live feedback over REST and gRPC, against a container that answers over real sockets."""

import json
from collections.abc import Iterator

import feed
import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from inference import InferenceError, RestAsker, read_answer
from inference_grpc import GrpcAsker, descriptor
from voice_container import VOICE


def run(container, *more: str) -> int:
    return feed.main(["--rest", container.rest_url, "--grpc", container.grpc_target, *more])


def test_the_table_shows_every_message_with_its_team_and_version(container, capsys):
    assert run(container, "-n", "6") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["Message", "Category", "Team", "Version", "Over", "ms"]
    rows = lines[2:8]
    assert [row.split()[-2] for row in rows] == ["REST", "gRPC"] * 3
    assert all(float(row.split()[-1]) > 0 for row in rows)
    assert {row.split()[-3] for row in rows} <= {"1", "2"}
    assert any("Front desk (unsure)" in row for row in rows)
    assert "6 messages, 3 over REST and 3 over gRPC: version 1 answered" in lines[9]
    assert lines[10].endswith("of 6 were understood as they were meant.")


def test_each_message_is_another_customer_and_arrives_as_the_protocol_says(container):
    assert run(container, "-n", "4", "--route", "feedback") == 0
    assert len({call["key"] for call in container.asked}) == 4
    over_rest, over_grpc = container.asked[0], container.asked[1]
    assert over_rest["path"] == "/v2/models/feedback/infer"
    messages = feed.feedback(4, seed=7)
    assert over_rest["request"]["inputs"] == [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": [messages[0].text]}
    ]
    assert over_grpc["path"] == "feedback"
    tensor = over_grpc["request"].inputs[0]
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("text", "BYTES", [1])
    assert tensor.contents.bytes_contents[0].decode() == messages[1].text


def test_json_says_the_same_for_programs(container, capsys):
    container.answer = lambda _: ("praise", 0.8)
    assert run(container, "-n", "20", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["route"] == "feedback"
    assert sum(told["versions"].values()) == len(told["answers"]) == 20
    assert set(told["versions"]) == {"1", "2"}
    for row in told["answers"]:
        assert (row["category"], row["team"], row["confidence"], row["sure"]) == ("praise", "Team leads", 0.8, True)
        assert row["digest"] == container.digest(row["version"])


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_both_ways_of_packing_a_grpc_answer_are_read(container, raw):
    container.raw = raw
    with (
        GrpcAsker(container.grpc_target, "feedback") as over_grpc,
        RestAsker(container.rest_url, "feedback") as over_rest,
    ):
        one, other = over_grpc.ask("my PIN is blocked", "k"), over_rest.ask("my PIN is blocked", "k")
    assert (one.category, one.confidence, one.version, one.digest) == ("cards-pin", 0.93, "1", container.digest("1"))
    assert (other.category, other.confidence, other.version, other.digest) == (
        one.category,
        0.93,
        one.version,
        one.digest,
    )


def test_without_grpc_all_goes_over_rest(container, capsys):
    assert feed.main(["--rest", container.rest_url, "-n", "3"]) == 0
    assert "3 messages, 3 over REST: version" in capsys.readouterr().out


def test_control_characters_do_not_reach_the_terminal():
    row = feed.Sent(
        message="a\x1b[2Jb\r\n" + "c" * 90,
        meant="other",
        category="ot\x07her",
        confidence=1.0,
        team="Front desk",
        sure=True,
        version="1\x1b",
        digest="",
        over="REST",
        milliseconds=1.0,
    )
    shown = feed.table([row])
    assert not any(ord(character) < 32 for character in shown.replace("\n", ""))
    assert "a [2Jb ccc" in shown
    assert "…" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rest", "http://127.0.0.1:1"], ["127.0.0.1:1", "nothing listens there", "is the container up?"]),
        (["--rest", "localhost:8080"], ["'localhost:8080'", "http://127.0.0.1:8080"]),
        (["--rest", "REST", "--grpc", "127.0.0.1:1"], ["127.0.0.1:1 over gRPC", "refused", "is the container up?"]),
    ],
    ids=["rest-down", "not-a-url", "grpc-down"],
)
def test_a_container_that_is_not_there_is_one_clear_line(container, capsys, arguments, words):
    arguments = [container.rest_url if argument == "REST" else argument for argument in arguments]
    assert feed.main([*arguments, "-n", "2"]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("feed: ")
    assert all(word in line for word in words)
    assert captured.out == ""


@pytest.mark.parametrize("over", ["REST", "gRPC"])
def test_a_refusal_is_passed_on_in_the_servers_words(container, capsys, over):
    container.refusal = (404, "no route named nonsense")
    asker = RestAsker(container.rest_url, "x") if over == "REST" else GrpcAsker(container.grpc_target, "x")
    with asker, pytest.raises(InferenceError, match="no route named nonsense") as caught:
        asker.ask("hello", "k")
    assert ("404" if over == "REST" else "NOT_FOUND") in str(caught.value)
    assert run(container, "-n", "1") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_category_without_a_team_ends_the_run(container, capsys):
    container.answer = lambda _: ("cards-eaten", 0.9)
    assert run(container, "-n", "1") == 1
    assert "'cards-eaten'" in capsys.readouterr().err


def test_an_answer_of_another_model_is_told_apart():
    with pytest.raises(InferenceError, match="lacks predict_proba and a version"):
        read_answer("", "", {"predict": ["x"]}, 0.1)


def test_the_declared_messages_agree_with_the_public_proto(tmp_path):
    """Same field numbers, types and repetition as the .proto that the container serves."""
    proto = VOICE.parents[1] / "serving" / "inference.proto"
    out = tmp_path / "set.pb"
    assert protoc.main(["protoc", f"-I{proto.parent}", f"--descriptor_set_out={out}", str(proto)]) == 0
    (public,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    theirs, ours = dict(_fields(public.message_type)), dict(_fields(descriptor().message_type))
    assert len(ours) > 15
    assert {name: theirs[name] for name in ours} == ours


def _fields(messages) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Fields as ``Message.field``; nested messages go by their own name, which is how the wire sees them: not at all."""
    for message in messages:
        for field in message.field:
            yield f"{message.name}.{field.name}", (field.number, field.type, field.label)
        yield from _fields(message.nested_type)
