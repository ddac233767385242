"""The jars of Kafka come from where the machine says, whole and with the right digest, or not at all."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.errors import WAYS_OUT, LocalKafkaError
from deploy.local.jars import LOCK, MAVEN_CENTRAL, Jar, cache_root, fetch, parse_lock, sources

SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors>
  <mirror><id>a</id><mirrorOf>jcenter</mirrorOf><url>https://elsewhere.example/</url></mirror>
  <mirror><id>b</id><mirrorOf>central,jcenter</mirrorOf><url>https://mirror.example/maven/</url></mirror>
  <mirror><id>c</id><mirrorOf>*</mirrorOf><url> https://all.example </url></mirror>
</mirrors></settings>"""


def a_jar(artifact: str, content: bytes) -> Jar:
    return Jar("org.clocks", artifact, "1.0", hashlib.sha256(content).hexdigest(), len(content))


CONTENTS = {name: name.encode() * 50_000 for name in ("cuckoo", "retro", "sundial")}
JARS = tuple(a_jar(name, content) for name, content in CONTENTS.items())


class Mirror:
    """A Maven repository over HTTP that counts requests and can be told to fail."""

    def __init__(self) -> None:
        self.files = {f"/{jar.path}": CONTENTS[jar.artifact] for jar in JARS}
        self.requests: list[str] = []
        self.credentials: list[str | None] = []
        self.failures: list[int] = []  # statuses of the next answers
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requests.append(self.path)
                mirror.credentials.append(self.headers["Authorization"])
                status = mirror.failures.pop() if mirror.failures else 200 if self.path in mirror.files else 404
                body = mirror.files.get(self.path, b"") if status == 200 else b"no"
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(jars, "WAITS_S", (0.0, 0.0, 0.0, None))
    mirror = Mirror()
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirror
    mirror.server.shutdown()
    thread.join()
    mirror.server.server_close()


def test_the_lock_file_is_the_measured_closure() -> None:
    """32 jars, 36.3 MB, no two of one name; the broker is the version that the name says."""
    locked = parse_lock(LOCK.read_text(encoding="utf-8"))
    assert len(locked) == len({jar.file_name for jar in locked}) == 32
    assert round(sum(jar.size for jar in locked) / 1e6, 1) == 36.3
    broker = next(jar for jar in locked if jar.artifact == "kafka_2.13")
    assert broker.version == jars.KAFKA_VERSION
    assert broker.path == "org/apache/kafka/kafka_2.13/4.3.1/kafka_2.13-4.3.1.jar"


def test_a_lock_keeps_its_order_and_skips_comments() -> None:
    """The order is the class path's."""
    sha = "0a" * 32
    text = f"# jars\n\norg.b:b:2 {sha} 20\n  org.a:a-x:1.0.Final {sha} 10\n"
    assert parse_lock(text) == (Jar("org.b", "b", "2", sha, 20), Jar("org.a", "a-x", "1.0.Final", sha, 10))


@pytest.mark.parametrize(
    "line",
    [
        "org.a:a " + "0a" * 32 + " 10",
        "org.a:a:1 " + "0a" * 31 + " 10",
        "org.a:a:1 " + "0A" * 32 + " 10",
        "org.a:../a:1 " + "0a" * 32 + " 10",
        "org.a:a:1 " + "0a" * 32,
        "org.a:a:1 " + "0a" * 32 + " 10 more",
    ],
)
def test_a_wrong_line_in_a_lock_is_named(line: str) -> None:
    """With its number, and with what it should be."""
    with pytest.raises(
        LocalKafkaError, match="line 2 of the Kafka lock file is not `group:artifact:version sha256 size`"
    ):
        parse_lock("# jars\n" + line)


def test_the_cache_is_where_the_desktop_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME, else ~/.cache; an empty variable is as none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/stockstream")
    assert cache_root({}) == cache_root({"XDG_CACHE_HOME": ""}) == tmp_path / ".cache" / "stockstream"


def test_sources_of_a_plain_machine(tmp_path: Path) -> None:
    """Maven Central and nothing else."""
    assert sources({}, tmp_path) == [MAVEN_CENTRAL]


def test_sources_in_order(tmp_path: Path) -> None:
    """The local repository, then the mirrors of central in settings.xml, then Central; other mirrors do not count."""
    (tmp_path / ".m2" / "repository").mkdir(parents=True)
    (tmp_path / ".m2" / "settings.xml").write_text(SETTINGS)
    local = (tmp_path / ".m2" / "repository").as_uri()
    assert sources({}, tmp_path) == [local, "https://mirror.example/maven", "https://all.example", MAVEN_CENTRAL]


def test_maven_mirror_stands_alone(tmp_path: Path) -> None:
    """Who sets it means: from nowhere else over the network."""
    (tmp_path / ".m2" / "repository").mkdir(parents=True)
    (tmp_path / ".m2" / "settings.xml").write_text(SETTINGS)
    local = (tmp_path / ".m2" / "repository").as_uri()
    assert sources({"MAVEN_MIRROR": "https://own.example/m2/"}, tmp_path) == [local, "https://own.example/m2"]


@pytest.mark.parametrize("mirror", ["own.example/m2", "ftp://own.example", "user:s3cret@own.example"])
def test_maven_mirror_must_be_an_address(tmp_path: Path, mirror: str) -> None:
    """A host without https:// is refused before anything is tried, and not shown: it may hold a password."""
    with pytest.raises(LocalKafkaError, match="MAVEN_MIRROR is no address") as caught:
        sources({"MAVEN_MIRROR": mirror}, tmp_path)
    assert mirror not in str(caught.value)


@pytest.mark.parametrize("text", ["", "<settings", "<settings/>"])
def test_a_broken_settings_file_is_as_none(tmp_path: Path, text: str) -> None:
    """Maven would refuse it; for us it is only one of several sources."""
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(text)
    assert sources({}, tmp_path) == [MAVEN_CENTRAL]


def test_jars_are_fetched_once_and_in_order(mirror: Mirror, tmp_path: Path) -> None:
    """The second start asks nobody; nothing but the jars lies in the cache."""
    cache = tmp_path / "new" / "cache"
    paths = fetch(JARS, cache, [mirror.url], quiet=True)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert sorted(path.name for path in cache.iterdir()) == sorted(jar.file_name for jar in JARS)
    assert len(mirror.requests) == 3
    assert fetch(JARS, cache, [mirror.url], quiet=True) == paths
    assert len(mirror.requests) == 3


@pytest.mark.parametrize("damage", [b"", b"cut", b"x" * len(CONTENTS["retro"])], ids=["empty", "cut", "tampered"])
def test_a_damaged_cache_heals(mirror: Mirror, tmp_path: Path, damage: bytes) -> None:
    """Cut short, or changed in place with the right size: that jar alone is fetched again."""
    paths = fetch(JARS, tmp_path, [mirror.url], quiet=True)
    paths[1].write_bytes(damage)
    assert fetch(JARS, tmp_path, [mirror.url], quiet=True)[1].read_bytes() == CONTENTS["retro"]
    assert mirror.requests[3:] == [f"/{JARS[1].path}"]


def test_a_wrong_digest_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    """A repository that serves other bytes is named, without user and password; nothing of it stays in the cache."""
    mirror.files[f"/{JARS[0].path}"] = b"y" * JARS[0].size
    with pytest.raises(LocalKafkaError, match=f"from {mirror.url} has sha256") as caught:
        fetch(JARS[:1], tmp_path, [mirror.url.replace("http://", "http://user:s3cret@")], quiet=True)
    assert not list(tmp_path.iterdir())
    assert "s3cret" not in str(caught.value)


def test_a_mirror_with_a_password(mirror: Mirror, tmp_path: Path) -> None:
    """User and password stand in the address, escaped; the repository gets them as a header."""
    fetch(JARS[:1], tmp_path, [mirror.url.replace("http://", "http://user:s3%40cret@")], quiet=True)
    assert mirror.credentials == ["Basic " + base64.b64encode(b"user:s3@cret").decode()]


def test_a_password_is_in_no_error(tmp_path: Path) -> None:
    """An address that cannot be used at all."""
    with pytest.raises(LocalKafkaError) as caught:
        fetch(JARS[:1], tmp_path, ["http://user:s3cret@host:port"], quiet=True)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_digest_says_both(mirror: Mirror, tmp_path: Path) -> None:
    """What came, and what the lock says; it is not asked for again."""
    mirror.files[f"/{JARS[0].path}"] = wrong = b"y" * JARS[0].size
    came, locked = hashlib.sha256(wrong).hexdigest()[:12], JARS[0].sha256[:12]
    with pytest.raises(LocalKafkaError, match=f"has sha256 {came}…, the lock says {locked}…; "):
        fetch(JARS[:1], tmp_path, [mirror.url], quiet=True)
    assert len(mirror.requests) == 1


def test_an_endless_answer_is_cut(mirror: Mirror, tmp_path: Path) -> None:
    """No more than the locked size is kept, whatever a server sends."""
    mirror.files[f"/{JARS[0].path}"] = b"y" * (JARS[0].size + 50_000_000)
    with pytest.raises(LocalKafkaError, match="has sha256"):
        fetch(JARS[:1], tmp_path, [mirror.url], quiet=True)


def test_the_next_source_helps_out(mirror: Mirror, tmp_path: Path) -> None:
    """A local repository without the jar, and one with a damaged copy, are passed over."""
    other = tmp_path / "repository"
    damaged = other / JARS[0].path
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"half")
    paths = fetch(JARS, tmp_path / "cache", [other.as_uri(), mirror.url], quiet=True)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())


def test_the_local_repository_is_enough(tmp_path: Path) -> None:
    """A machine without network, but with ~/.m2."""
    for jar in JARS:
        file = tmp_path / "repository" / jar.path
        file.parent.mkdir(parents=True)
        file.write_bytes(CONTENTS[jar.artifact])
    paths = fetch(JARS, tmp_path / "cache", [(tmp_path / "repository").as_uri()], quiet=True)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())


def test_a_passing_failure_is_tried_again(mirror: Mirror, tmp_path: Path) -> None:
    """503 and 429, then the jar."""
    mirror.failures = [503, 429]
    assert fetch(JARS[:1], tmp_path, [mirror.url], quiet=True)[0].read_bytes() == CONTENTS["cuckoo"]
    assert len(mirror.requests) == 3


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 4)])
def test_a_failure_is_one_line_with_the_ways_out(mirror: Mirror, tmp_path: Path, status: int, requests: int) -> None:
    """Which jar from where and why, and three things to do; asked again only where that may help, and not forever."""
    mirror.failures = [status] * 10
    with pytest.raises(LocalKafkaError) as caught:
        fetch(JARS[:1], tmp_path, [mirror.url], quiet=True)
    message = str(caught.value)
    assert message.startswith(f"cannot download Apache Kafka: cuckoo-1.0.jar from {mirror.url}: HTTP Error {status}")
    assert message.endswith(WAYS_OUT)
    assert "\n" not in message
    for way in ("MAVEN_MIRROR", "KAFKA_BOOTSTRAP", "docker compose"):
        assert way in message
    assert len(mirror.requests) == requests


def test_nobody_answers(mirror: Mirror, tmp_path: Path) -> None:
    """An unreachable mirror: the same one line."""
    mirror.server.server_close()
    with pytest.raises(LocalKafkaError, match=rf"from {mirror.url}: .*refused.*MAVEN_MIRROR.*KAFKA_BOOTSTRAP.*docker"):
        fetch(JARS, tmp_path, [mirror.url], quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """The cause, and the variable that moves it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalKafkaError, match=r"cannot write the cache .*file/cache: .*; set XDG_CACHE_HOME"):
        fetch(JARS, tmp_path / "file" / "cache", [], quiet=True)


def test_the_progress_is_on_stderr(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal: one line that says how much goes where; standard output is the program's."""
    fetch(JARS, tmp_path, [mirror.url])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"Downloading Apache Kafka {jars.KAFKA_VERSION} (0.9 MB) to {tmp_path}\n"
