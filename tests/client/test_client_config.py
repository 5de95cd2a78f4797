"""Settings: which place wins, and where a token may go."""

import stat

import pytest

from countersign import config, errors


def write_user_file(home, text):
    path = home / "config" / "countersign" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_flag_then_environment_then_project_then_user_then_default(home, monkeypatch, tmp_path):
    user = write_user_file(home, 'output = "csv"\ntimeout = 12\n[profiles.default]\nurl = "https://user.example"\n')
    project = tmp_path / "work" / "countersign.toml"
    origins = {}
    for step, prepare in {
        "default": lambda: None,
        "user": lambda: None,
        "project": lambda: project.write_text('output = "jsonl"\nname = "a/b"\n'),
        "environment": lambda: monkeypatch.setenv("COUNTERSIGN_OUTPUT", "json"),
    }.items():
        prepare()
        origins[step] = config.load().values["output"]
    assert (origins["user"].value, origins["user"].origin) == ("csv", str(user))
    assert (origins["project"].value, origins["project"].origin) == ("jsonl", str(project))
    assert (origins["environment"].value, origins["environment"].origin) == ("json", "environment COUNTERSIGN_OUTPUT")
    flagged = config.load({"output": "name", "url": None}).values["output"]
    assert (flagged.value, flagged.origin) == ("name", "option --output")
    settings = config.load()
    assert (settings.timeout, settings.url, settings.get("name")) == (12.0, "https://user.example", "a/b")
    assert settings.values["profile"].origin == "default"


def test_the_project_file_is_found_above_but_not_past_the_checkout(tmp_path):
    inner = tmp_path / "work" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "work" / "countersign.toml").write_text("")
    (tmp_path / "countersign.toml").write_text("")
    assert config.find_project_file(inner) == tmp_path / "work" / "countersign.toml"
    (tmp_path / "work" / "countersign.toml").unlink()
    assert config.find_project_file(inner) is None


def test_a_stored_token_goes_only_to_the_url_it_was_stored_with(home, monkeypatch, tmp_path):
    write_user_file(
        home,
        '[profiles.default]\nurl = "https://one.example/"\ntoken = "cs_one"\n[profiles.two]\nurl = "https://two.example"\ntoken = "cs_two"\n',
    )
    assert config.load().token == "cs_one"
    assert config.load({"profile": "two"}).token == "cs_two"
    assert config.load({"url": "https://two.example"}).token == "cs_two"
    (tmp_path / "work" / "countersign.toml").write_text('url = "https://evil.example"\n')
    settings = config.load()
    assert (settings.url, settings.token) == ("https://evil.example", None)


def test_a_token_from_environment_or_file(home, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("cs_file\n")
    monkeypatch.setenv("COUNTERSIGN_TOKEN_FILE", str(tmp_path / "token"))
    assert config.load().token == "cs_file"
    monkeypatch.setenv("COUNTERSIGN_TOKEN", " cs_env ")
    settings = config.load()
    assert (settings.token, settings.token_origin) == ("cs_env", "environment COUNTERSIGN_TOKEN")
    assert "cs_env" not in repr(settings)
    monkeypatch.delenv("COUNTERSIGN_TOKEN")
    (tmp_path / "token").unlink()
    with pytest.raises(errors.Unusable, match="COUNTERSIGN_TOKEN_FILE"):
        config.load()


def test_a_stored_profile_is_private_and_reads_back(home):
    path = home / "config" / "countersign" / "config.toml"
    config.store_profile(path, "work", 'https://x.example/"quoted"\\', "cs_ä\t")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert config.read_toml(path) == {
        "profile": "work",
        "profiles": {"work": {"url": 'https://x.example/"quoted"\\', "token": "cs_ä\t"}},
    }
    config.store_profile(path, "work", "https://x.example", None)
    assert config.read_toml(path) == {"profile": "work", "profiles": {"work": {"url": "https://x.example"}}}


def test_a_new_url_forgets_the_token_of_the_old_one(home):
    path = home / "config" / "countersign" / "config.toml"
    config.store_profile(path, "default", "https://one.example", "cs_one")
    config.store_url(path, "default", "https://one.example")
    assert config.read_toml(path)["profiles"]["default"]["token"] == "cs_one"
    config.store_url(path, "default", "https://two.example")
    assert config.read_toml(path)["profiles"]["default"] == {"url": "https://two.example"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profiles = 3", "not a table of tables"),
        ("output = 'xml'", "xml"),
        ("= broken", "cannot be read"),
        ("timeout = 'soon'\n[profiles.default]\nurl = 'https://x.example'", "soon"),
    ],
)
def test_a_broken_user_file_is_told(home, text, said):
    write_user_file(home, text)
    with pytest.raises(errors.Unusable, match=said):
        _ = config.load().timeout


def test_a_token_in_a_project_file_is_refused(tmp_path):
    (tmp_path / "work" / "countersign.toml").write_text('token = "cs_x"\n')
    with pytest.raises(errors.Unusable, match="holds a token"):
        config.load()


@pytest.mark.parametrize(
    "url",
    ["example.org", "ftp://x", "https://", "https://a:b@x.example", "https://x?y=1", "http://[::1", "http://x:99999"],
)
def test_urls_that_cannot_be_used(url):
    with pytest.raises(errors.Unusable):
        config.check_url(url)


def test_what_travels_readable():
    assert config.is_readable_on_the_way("http://portal.example")
    assert not config.is_readable_on_the_way("http://127.0.0.1:5000")
    assert not config.is_readable_on_the_way("https://portal.example")
