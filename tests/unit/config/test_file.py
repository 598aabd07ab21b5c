from pathlib import Path

import pytest

from usercenter.config import Config, ConfigInvalid, load
from usercenter.config.findings import Source
from usercenter.config.leaves import leaves


def test_an_empty_file_means_the_defaults(load_text):
    config = load_text("# nothing yet\n").config
    assert config.kafka == Config().kafka
    assert config.server.port == 8080


def test_a_value_in_the_file_replaces_the_default_and_names_its_line(load_text, config_file):
    loaded = load_text("server:\n  host: 0.0.0.0\n  port: 9090\n")
    assert loaded.config.server.port == 9090
    assert loaded.sources["server.port"] == Source("file", str(config_file), 3)
    assert str(loaded.sources["server.port"]) == f"{config_file}:3"
    assert str(loaded.sources["server.stop_seconds"]) == "default"


def test_every_setting_has_a_source(load_text):
    sources = load_text().sources
    assert {"kafka.producer.retries", "kafka.librdkafka", "extensions", "tokens.private_key"} <= set(sources)
    assert set(sources) == set(leaves())


def test_a_wrong_type_names_file_line_and_key(problems_of):
    assert problems_of("server:\n  port: eighty\n") == [
        'config.yaml:2: server.port: "eighty" given; allowed: a whole number from 0 to 65535'
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {port: 70000}", "server.port: 70000 given; allowed: a whole number from 0 to 65535"),
        ("server: {port: 80.5}", "server.port: 80.5 given; allowed: a whole number from 0 to 65535"),
        ("server: {port: true}", "server.port: true given; allowed: a whole number from 0 to 65535"),
        ("server: {port: }", "server.port: no value given; allowed: a whole number from 0 to 65535"),
        ("kafka: {producer: {retries: 0}}", "kafka.producer.retries: 0 given; allowed: a whole number, 1 or more"),
        ("logging: {level: loud}", 'logging.level: "loud" given; allowed: debug | info | warning | error'),
        (
            "kafka: {producer: {acks: 1}}",
            "kafka.producer.acks: 1 given, which is no text unless it is put in quotes; allowed: all | 1 | 0",
        ),
        (
            "kafka: {brokers: 'a:1'}",
            'kafka.brokers: "a:1" given; allowed: a list, each entry text that is not empty; [] for none',
        ),
        (
            "kafka: {topics: {user_events: a b}}",
            'kafka.topics.user_events: "a b" given; allowed: text of 1 to 245 characters out of a-zA-Z0-9._-',
        ),
        ("embedded: {is_enabled: maybe}", 'embedded.is_enabled: "maybe" given; allowed: true or false'),
        ("mail: {sender: ''}", 'mail.sender: "" given; allowed: text that is not empty'),
        ("mail: {host: }", 'mail.host: no value given; allowed: text; "" for none'),
        (
            "kafka: {librdkafka: [a]}",
            "kafka.librdkafka: a list given; allowed: a mapping from names to texts, like {name: text}; {} for none",
        ),
    ],
)
def test_an_impossible_value_says_what_was_given_and_what_is_allowed(problems_of, text, problem):
    assert problems_of(text) == [f"config.yaml:1: {problem}"]


@pytest.mark.parametrize(
    "value",
    ["!!timestamp nonsense", "!!int x", "!!python/object/apply:os.getcwd []", "&a [*a]", "{2024-01-01: x}", "{[a]: b}",
     "2024-13-45", "!!binary aGk=", "9" * 5000, "{? {a: b} : c}", "[[a]]"],
)  # fmt: skip
def test_whatever_yaml_can_say_is_refused_in_one_line(problems_of, value):
    [line] = problems_of(f"server:\n  trusted_proxies: {value}")
    assert line.startswith("config.yaml:2: server.trusted_proxies: ")
    assert len(line) < 250


def test_every_problem_is_told_at_once(problems_of):
    text = "server:\n  port: x\nkafka:\n  brokrs: []\n  producer:\n    retries: -1\nmail:\n  username: me\n"
    lines = problems_of(text, {"USERCENTER_LOGGING__LEVEL": "loud"})
    assert [line.split(" ")[0] for line in lines] == [
        "config.yaml:2:",
        "config.yaml:4:",
        "config.yaml:6:",
        "USERCENTER_LOGGING__LEVEL:",
        "config.yaml:8:",
    ]


def test_an_unknown_key_is_refused_with_the_nearest_known_one_and_all_known_ones(problems_of):
    [line] = problems_of("kafka:\n  brokrs: [a:9092]\n")
    assert line == (
        "config.yaml:2: kafka.brokrs: no such key, did you mean kafka.brokers?; kafka has the keys "
        "brokers, client_id, group_id, topics, new_topics, producer, consumer, librdkafka"
    )


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("port: 1", "did you mean mail.port or server.port?"),
        ("kafka.group_id: x", "did you mean kafka.group_id?"),
        ("kafka: {retries: 5}", "did you mean kafka.producer.retries?"),
        ("databse: {}", "did you mean database?"),
        ("zzz: 1", "no such key; the file has the sections kafka, relay"),
        ("? [a, b]\n: 1", "no such key"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_its_place(problems_of, text, guess):
    [line] = problems_of(text)
    assert guess in line


def test_a_key_given_twice_names_both_lines(problems_of):
    assert problems_of("server:\n  port: 1\n  host: a\n  port: 2\nserver:\n  port: 3\n") == [
        "config.yaml:5: server: given twice, first on line 1; keep one of them",
        "config.yaml:4: server.port: given twice, first on line 2; keep one of them",
    ]


def test_a_client_setting_given_twice_names_both_lines(problems_of):
    [line] = problems_of("kafka:\n  librdkafka:\n    debug: all\n    debug: broker\n")
    assert line == "config.yaml:4: kafka.librdkafka.debug: given twice, first on line 3; keep one of them"


def test_client_settings_are_taken_as_they_are_written(load_text):
    text = "kafka:\n  librdkafka:\n    socket.timeout.ms: 5_000\n    socket.keepalive.enable: yes\n"
    assert load_text(text).config.kafka.librdkafka == {"socket.timeout.ms": "5_000", "socket.keepalive.enable": "yes"}


@pytest.mark.parametrize(
    "text",
    ['"a\\nb": 1', 'kafka: {librdkafka: {"a\\nb": }}', 'kafka: {topics: {user_events: "a\\n"}}', '"\\uD800": 1'],
)
def test_a_problem_is_one_printable_line_whatever_the_key(problems_of, text):
    [line] = problems_of(text)
    assert line.encode()


@pytest.mark.parametrize("text", ["kafka: 5", "kafka: [a]", "kafka: {producer: fast}"])
def test_a_section_must_be_a_mapping(problems_of, text):
    [line] = problems_of(text)
    assert "is a section and takes the keys" in line
    assert "fast" not in line


def test_a_section_with_nothing_in_it_keeps_its_defaults(load_text):
    assert load_text("kafka:\n  producer:\n    # retries: 5\n").config.kafka.producer.retries == 3


def test_a_file_that_is_a_list_is_refused(problems_of):
    [line] = problems_of("- kafka\n")
    assert line.startswith("config.yaml:1: the file is a section and takes the keys kafka, relay")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("kafka:\n\tbrokers: []", "config.yaml:2: no YAML: found character '\\t' that cannot start any token; indent"),
        ("mail:\n  host: a: b", "config.yaml:2: no YAML: mapping values are not allowed here; put the value in quotes"),
        ("mail:\n  host: 'a\n", "config.yaml:3: no YAML: found unexpected end of stream, while scanning a quoted"),
        ("kafka: [a, b\nmail: {}", "config.yaml:2: no YAML: expected ',' or ']', but got ':'"),
        ("a: 1\n---\nb: 2\n", "config.yaml:2: no YAML: but found another document"),
        ("mail:\n  host: \x07", "config.yaml:2: no YAML: a control character"),
    ],
)
def test_broken_yaml_gives_file_and_line(problems_of, text, start):
    [line] = problems_of(text)
    assert line.startswith(start)


@pytest.mark.parametrize(
    "text",
    [
        "mail: {password: *hunter2}",
        "mail: {password: !hunter2 x}",
        "mail: {password: [hunter2]}",
        "mail: {password: {hunter2: hunter2}}",
        "mail: {password: 'hunter2",
        "mail: {password: @hunter2}",
        "mail: {pasword: hunter2}",
        "mail: hunter2",
        "database: {url: 'mysql://root:hunter2@h/x'}",
        "database: {url: 'postgresql://root:p/hunter2@h/x'}",
        "cache: {url: 'https://:hunter2@h'}",
        "tokens: {private_key: hunter2}",
        "kafka: {librdkafka: {sasl.password: [hunter2]}}",
        "kafka: {librdkafka: [hunter2]}",
        "kafka: {librdkafka: 'sasl.password=hunter2'}",
    ],
)
def test_no_error_shows_a_secret(problems_of, text):
    assert "hunter2" not in "\n".join(problems_of(text))


def test_a_password_that_yaml_takes_for_a_number_is_refused_without_being_shown(problems_of):
    [line] = problems_of("mail:\n  password: 12345678\n")
    assert line == 'config.yaml:2: mail.password: a number given; allowed: text; "" for none'


def test_a_missing_file_says_how_to_make_one(tmp_path):
    path = tmp_path / "etc" / "none.yaml"
    with pytest.raises(ConfigInvalid) as refused:
        load(path, {"USERCENTER_LOGGING__LEVEL": "loud"})
    missing, level = str(refused.value).splitlines()
    assert missing.startswith(f"{path}: there is no such file; make one for a laptop with `mkdir -p {path.parent}")
    assert level.startswith("USERCENTER_LOGGING__LEVEL: ")


def test_a_folder_instead_of_a_file_is_told(tmp_path):
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load(tmp_path, {})


def test_bytes_that_are_not_utf_8_are_told_with_their_line(config_file):
    config_file.write_bytes(b"mail:\n  product_name: caf\xe9\n")
    with pytest.raises(ConfigInvalid, match="yaml:2: not UTF-8"):
        load(config_file, {})


def test_a_byte_order_mark_does_no_harm(config_file):
    config_file.write_bytes(b"\xef\xbb\xbfembedded: {is_enabled: true}\n")
    assert load(config_file, {}).config.embedded.is_enabled


def test_the_variable_names_the_file_unless_a_path_is_given(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("embedded: {is_enabled: true}\nserver: {port: 1}\n")
    second.write_text("embedded: {is_enabled: true}\nserver: {port: 2}\n")
    environ = {"USERCENTER_CONFIG": str(first)}
    assert load(None, environ).config.server.port == 1
    assert load(second, environ).config.server.port == 2


def test_without_any_file_defaults_and_environment_stand_alone():
    loaded = load(None, {"USERCENTER_EMBEDDED__IS_ENABLED": "true", "PATH": "/bin", "USERCENTER_CONFIG": ""})
    assert loaded.file is None
    assert loaded.config.server.port == 8080


def test_the_moment_at_which_a_fault_test_lets_a_process_die_is_no_setting():
    environ = {"USERCENTER_EMBEDDED__IS_ENABLED": "true", "USERCENTER_DIE_AT": "task.done"}
    assert load(None, environ).config.embedded.is_enabled


def test_nothing_in_the_loaded_configuration_shows_a_secret_by_accident(load_text):
    text = "mail: {username: me, password: hunter2}\nkafka: {librdkafka: {sasl.password: hunter2}}\n"
    loaded = load_text(text)
    assert loaded.config.mail.password == "hunter2"
    assert "hunter2" not in repr(loaded) + repr(loaded.config) + str(dict(loaded.config.kafka.__rich_repr__()))


def test_the_path_is_told_as_it_was_given(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("here.yaml").write_text("nothing: 1")
    with pytest.raises(ConfigInvalid, match=r"^here\.yaml:1: nothing"):
        load(Path("here.yaml"), {"USERCENTER_EMBEDDED__IS_ENABLED": "true"})
