"""The one exception of the embedded Kafka."""


class LocalKafkaError(Exception):
    """The embedded Kafka cannot be had: one line that names the cause and the cure."""


# The ways out for a machine that cannot reach Maven Central; each error about jars ends with them.
WAYS_OUT = (
    "set MAVEN_MIRROR to a Maven repository that you can reach, or KAFKA_BOOTSTRAP to a Kafka that you run, "
    "or run one with docker compose"
)
