"""Three brokers on one machine: what they agree on, and what follows from it for topics. `tests/faults` breaks them."""

from pathlib import Path

import pytest

from usercenter.config.model import Config, Embedded, EmbeddedKafka, Kafka, NewTopics
from usercenter.embedded.endpoints import Endpoints
from usercenter.embedded.errors import PartUnavailable
from usercenter.embedded.kafka_cluster import KafkaCluster
from usercenter.embedded.kafka_quorum import Quorum
from usercenter.embedded.parts import filled_in

THREE = ["127.0.0.1:9092", "127.0.0.1:9093", "127.0.0.1:9094"]


def test_three_brokers_keep_everything_three_times_and_two_must_have_it(tmp_path: Path) -> None:
    settings = Quorum({1: tmp_path / "1", 2: tmp_path / "2", 3: tmp_path / "3"}).replication()
    assert settings["offsets.topic.replication.factor"] == settings["default.replication.factor"] == "3"
    assert settings["transaction.state.log.min.isr"] == settings["min.insync.replicas"] == "2"
    assert set(Quorum({1: tmp_path}).replication().values()) == {"1"}


def test_the_controllers_of_three_brokers_stay_where_they_are(tmp_path: Path) -> None:
    quorum = Quorum({1: tmp_path / "1", 2: tmp_path / "2", 3: tmp_path / "3"})
    ports = dict(quorum.controllers())
    assert len(set(ports.values())) == 3
    assert quorum.controllers() == ports


def test_a_broker_whose_data_was_lost_joins_the_cluster_of_the_others(tmp_path: Path) -> None:
    kept = tmp_path / "2" / "log"
    kept.mkdir(parents=True)
    (kept / "meta.properties").write_text("version=1\ncluster.id=uOfTheOthers\nnode.id=2\n")
    assert Quorum({1: tmp_path / "1", 2: tmp_path / "2", 3: tmp_path / "3"}).cluster_id == "uOfTheOthers"


@pytest.mark.parametrize(("wanted", "data"), [(3, "log"), (1, "3/log")])
async def test_the_data_of_another_number_of_brokers_is_left_alone(tmp_path: Path, wanted: int, data: str) -> None:
    (tmp_path / data).mkdir(parents=True)
    cluster = KafkaCluster(tmp_path, EmbeddedKafka(brokers=wanted), lock=-1, announce=print)
    with pytest.raises(PartUnavailable, match=r"Set embedded\.kafka\.brokers back to [13]"):
        await cluster.start()


def test_with_three_embedded_brokers_new_topics_are_on_all_of_them() -> None:
    config = Config(embedded=Embedded(is_enabled=True, kafka=EmbeddedKafka(brokers=3)))
    topics = filled_in(config, Endpoints(brokers=THREE)).kafka.new_topics
    assert (topics.replication_factor, topics.min_insync_replicas) == (3, 2)
    assert filled_in(config, Endpoints(brokers=THREE[:1])).kafka.new_topics == NewTopics()


def test_brokers_of_ones_own_keep_the_topics_that_the_config_says() -> None:
    own = Kafka(brokers=["kafka-1.example:9092", "kafka-2.example:9092", "kafka-3.example:9092"])
    config = Config(kafka=own, embedded=Embedded(is_enabled=True, kafka=EmbeddedKafka(brokers=3)))
    assert filled_in(config, Endpoints()).kafka == own
