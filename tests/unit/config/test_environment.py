import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from usercenter.config import ConfigInvalid, load
from usercenter.config.environment import read_environment
from usercenter.config.findings import Findings
from usercenter.config.leaves import Leaf, leaves

EMBEDDED = {"USERCENTER_EMBEDDED__IS_ENABLED": "true"}


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigInvalid) as refused:
        load(None, EMBEDDED | environ)
    return str(refused.value).splitlines()


def test_a_variable_replaces_the_value_of_the_file_and_is_its_source(load_text):
    loaded = load_text("kafka: {producer: {retries: 4}}", {"USERCENTER_KAFKA__PRODUCER__RETRIES": "5"})
    assert loaded.config.kafka.producer.retries == 5
    assert str(loaded.sources["kafka.producer.retries"]) == "USERCENTER_KAFKA__PRODUCER__RETRIES"


@pytest.mark.parametrize(
    ("text", "brokers"),
    [
        ("a:9092", ["a:9092"]),
        ("a:9092, b:9092,", ["a:9092", "b:9092"]),
        ('["a:9092","b:9092"]', ["a:9092", "b:9092"]),
        ("[a:9092, b:9092]", ["a:9092", "b:9092"]),
        ("- a:9092\n- b:9092", ["a:9092", "b:9092"]),
        ("[::1]:9092,[2001:db8::2]:9092", ["[::1]:9092", "[2001:db8::2]:9092"]),
        ("", []),
    ],
)
def test_a_list_may_be_commas_json_or_yaml(text, brokers):
    assert load(None, EMBEDDED | {"USERCENTER_KAFKA__BROKERS": text}).config.kafka.brokers == brokers


@pytest.mark.parametrize(
    "text",
    ['{"security.protocol": "SSL", "socket.timeout.ms": 5000}', "{security.protocol: SSL, socket.timeout.ms: 5000}"],
)
def test_client_settings_may_be_json_or_yaml(text):
    loaded = load(None, EMBEDDED | {"USERCENTER_KAFKA__LIBRDKAFKA": text})
    assert loaded.config.kafka.librdkafka == {"security.protocol": "SSL", "socket.timeout.ms": "5000"}


def test_json_truth_reaches_librdkafka_in_its_own_words():
    loaded = load(None, EMBEDDED | {"USERCENTER_KAFKA__LIBRDKAFKA": '{"socket.keepalive.enable": true}'})
    assert loaded.config.kafka.librdkafka == {"socket.keepalive.enable": "true"}


@pytest.mark.parametrize("text", ["true", "True", "yes", "on"])
def test_truth_is_read_as_yaml_reads_it(text):
    environ = {"USERCENTER_ACCOUNTS__REFUSE_COMMON_PASSWORDS": text}
    assert load(None, EMBEDDED | environ).config.accounts.refuse_common_passwords


def test_text_stays_as_it_is():
    environ = {"USERCENTER_MAIL__USERNAME": "007", "USERCENTER_MAIL__PASSWORD": ' "#*: '}
    mail = load(None, EMBEDDED | environ).config.mail
    assert (mail.username, mail.password) == ("007", ' "#*: ')


def test_a_secret_file_gives_the_value_without_its_last_line_break(tmp_path):
    secret = tmp_path / "url"
    secret.write_text("postgresql://me:pw@db/usercenter\n")
    loaded = load(None, EMBEDDED | {"USERCENTER_DATABASE__URL_FILE": str(secret)})
    assert loaded.config.database.url == "postgresql://me:pw@db/usercenter"
    assert str(loaded.sources["database.url"]) == f"{secret} (USERCENTER_DATABASE__URL_FILE)"


def test_any_setting_may_come_from_a_file_even_one_that_is_called_file(tmp_path):
    (tmp_path / "port").write_text("9090\r\n")
    (tmp_path / "log").write_text("other.log")
    environ = {
        "USERCENTER_SERVER__PORT_FILE": str(tmp_path / "port"),
        "USERCENTER_LOGGING__FILE_FILE": str(tmp_path / "log"),
    }
    config = load(None, EMBEDDED | environ).config
    assert (config.server.port, config.logging.file) == (9090, "other.log")


def test_a_variable_and_its_file_together_are_refused(tmp_path):
    environ = {"USERCENTER_MAIL__PASSWORD": "a", "USERCENTER_MAIL__PASSWORD_FILE": str(tmp_path / "none")}
    assert problems(environ) == [
        (
            "USERCENTER_MAIL__PASSWORD_FILE: mail.password: given together with USERCENTER_MAIL__PASSWORD; "
            "unset one of the two"
        )
    ]


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path):
    [line] = problems({"USERCENTER_MAIL__PASSWORD_FILE": str(tmp_path / "none")})
    assert line.startswith(f"{tmp_path / 'none'} (USERCENTER_MAIL__PASSWORD_FILE): mail.password: the file cannot be")
    assert "No such file or directory" in line


@pytest.mark.parametrize("path", ["", "\0"])
def test_a_path_that_is_none_is_refused(path):
    [line] = problems({"USERCENTER_MAIL__PASSWORD_FILE": path})
    assert "mail.password" in line


@pytest.mark.parametrize("variable", ["TOKENS__PRIVATE_KEY", "DATABASE__URL", "MAIL__PASSWORD"])
def test_an_empty_secret_file_is_refused_and_nothing_else_is_taken_in_its_place(tmp_path, variable):
    (tmp_path / "secret").write_text("\n")
    [line] = problems({f"USERCENTER_{variable}_FILE": str(tmp_path / "secret")})
    assert variable.lower().replace("__", ".") in line
    assert "the file is empty" in line


def test_a_secret_file_with_other_bytes_than_utf_8_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    [line] = problems({"USERCENTER_MAIL__PASSWORD_FILE": str(tmp_path / "secret")})
    assert "not UTF-8" in line


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("USERCENTER_KAFKA_BROKERS", "did you mean USERCENTER_KAFKA__BROKERS?"),
        ("USERCENTER_KAFKA__BROKER", "did you mean USERCENTER_KAFKA__BROKERS?"),
        ("USERCENTER_DATABASE__URL_FIEL", "did you mean USERCENTER_DATABASE__URL_FILE?"),
        ("USERCENTER_Q", "no setting has this variable; two underscores stand between section and key"),
        ("USERCENTER_PORT", "no setting has this variable"),
        ("USERCENTER_SERVICE_HOST", "no setting has this variable"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(name, guess):
    [line] = problems({name: "hunter2"})
    assert line.startswith(f"{name}: ")
    assert guess in line
    assert "hunter2" not in line


def test_the_variables_that_kubernetes_makes_for_our_services_are_passed_over():
    links = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "USERCENTER_SERVICE_HOST": "10.0.0.7",
        "USERCENTER_SERVICE_PORT": "8080",
        "USERCENTER_SERVICE_PORT_HTTP": "8080",
        "USERCENTER_PORT": "tcp://10.0.0.7:8080",
        "USERCENTER_PORT_8080_TCP": "tcp://10.0.0.7:8080",
        "USERCENTER_PORT_8080_TCP_ADDR": "10.0.0.7",
        "USERCENTER_PORT_8080_TCP_PORT": "8080",
        "USERCENTER_API_SERVICE_HOST": "10.0.0.8",
    }
    assert load(None, EMBEDDED | links).config.server.port == 8080
    assert len(problems(links | {"USERCENTER_PORT": "9090"})) == 1


def test_a_wrong_value_names_the_variable_and_what_is_allowed():
    environ = {"USERCENTER_SERVER__PORT": "99999", "USERCENTER_KAFKA__PRODUCER__RETRIES": "{"}
    assert problems(environ) == [
        (
            "USERCENTER_KAFKA__PRODUCER__RETRIES: kafka.producer.retries: neither JSON nor YAML can read this value; "
            "allowed: a whole number, 1 or more"
        ),
        "USERCENTER_SERVER__PORT: server.port: 99999 given; allowed: a whole number from 0 to 65535",
    ]


@pytest.mark.parametrize("text", ["", "  ", "x", "[1]", "1.0"])
def test_a_number_must_be_given_as_one(text):
    [line] = problems({"USERCENTER_SERVER__PORT": text})
    assert line.endswith("allowed: a whole number from 0 to 65535")


def test_bytes_that_are_not_utf_8_are_refused():
    [line] = problems({"USERCENTER_MAIL__PRODUCT_NAME": "caf\udce9"})
    assert "not UTF-8" in line


TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
TOPIC = st.from_regex(r"[a-zA-Z0-9._-]{1,245}", fullmatch=True)


def values_of(leaf: Leaf) -> st.SearchStrategy[object]:
    match leaf.shape:
        case inspect.IntType(ge=low, le=high):
            return st.integers(low, high or 2**63 - 1)
        case inspect.FloatType(gt=above, ge=low, le=high):
            return st.floats(low if above is None else above, high, exclude_min=above is not None)
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.StrType(pattern=pattern):
            return TOPIC if pattern else TEXT
        case kind:
            others = {inspect.BoolType: st.booleans(), inspect.ListType: st.lists(TEXT)}
            return others.get(type(kind), st.dictionaries(TEXT, TEXT))


@given(st.sampled_from(list(leaves().values())).flatmap(lambda leaf: st.tuples(st.just(leaf), values_of(leaf))))
def test_every_value_of_every_setting_can_be_given_by_its_variable(example):
    leaf, value = example
    findings = Findings()
    text = value if isinstance(value, str) else json.dumps(value)
    read_environment({leaf.variable: text}, findings)
    assert findings.problems == []
    assert findings.values == {leaf.key: value}
