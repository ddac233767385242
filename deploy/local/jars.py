"""The jars of Apache Kafka: which ones (a lock file with sha256), where they may come from, and the cache that holds them.

A file gets its final name only when its digest is right, and the digest is checked again at each start, so a cache that was
cut short, damaged or tampered with mends itself.
"""

import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import stamina
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from deploy.local.errors import WAYS_OUT, LocalKafkaError

KAFKA_VERSION = "4.3.1"
LOCK = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.lock")
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
DOWNLOADS_AT_ONCE = 8
ATTEMPTS = 4
CHUNK_BYTES = 1 << 16
STALLED_AFTER_S = 30.0  # without a single byte
PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})

Advance = Callable[[int], None]


class Jar(NamedTuple):
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Its name in a Maven repository and in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Where it stands below the root of a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


class _DownloadFailedError(Exception):
    """One jar, all sources; `passing` when another attempt may help."""

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


_LINE = re.compile(r"([\w.-]+):([\w.-]+):([\w.-]+) ([0-9a-f]{64}) (\d+)")


def parse_lock(text: str) -> tuple[Jar, ...]:
    """The jars of a lock file, in its order (which is the class path's).

    Raises LocalKafkaError for a line that is not `group:artifact:version sha256 size`.
    """
    jars = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise LocalKafkaError(f"line {number} of the Kafka lock file is not `group:artifact:version sha256 size`: {line[:80]}")
        group, artifact, version, sha256, size = match.groups()
        jars.append(Jar(group, artifact, version, sha256, int(size)))
    return tuple(jars)


def cache_root(env: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/stockstream`, by default `~/.cache/stockstream`."""
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stockstream"


def sources(env: Mapping[str, str] = os.environ, home: Path | None = None) -> list[str]:
    """Roots of Maven repositories, best first: `~/.m2`, then MAVEN_MIRROR alone if it is set, else the mirrors of settings.xml and
    Maven Central. urllib itself honours HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE."""
    m2 = (home or Path.home()) / ".m2"
    found = [(m2 / "repository").as_uri()] if (m2 / "repository").is_dir() else []
    if mirror := env.get("MAVEN_MIRROR"):
        return [*found, mirror.rstrip("/")]
    return [*found, *_mirrors(m2 / "settings.xml"), MAVEN_CENTRAL]


def _mirrors(settings: Path) -> Iterator[str]:
    """The mirrors of Maven Central in a settings.xml; none if there is no such file."""
    with suppress(OSError, ET.ParseError):
        for element in ET.parse(settings).iter():
            if _local_name(element) != "mirror":
                continue
            fields = {_local_name(child): (child.text or "").strip() for child in element}
            if fields.get("url") and {"*", "central", "external:*"} & set(fields.get("mirrorOf", "").split(",")):
                yield fields["url"].rstrip("/")


def _local_name(element: ET.Element) -> str:
    return element.tag.rsplit("}")[-1]


def fetch(jars: Sequence[Jar], cache: Path, roots: Sequence[str], *, quiet: bool = False) -> tuple[Path, ...]:
    """The paths of `jars` in `cache`, in their order; what is missing or damaged there is downloaded, with progress on stderr.

    Raises LocalKafkaError when a jar cannot be had whole and with the right digest.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalKafkaError(f"cannot write the cache {cache}: {error.strerror}; set XDG_CACHE_HOME") from error
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        missing = [jar for jar, whole in zip(jars, pool.map(lambda jar: _is_whole(jar, cache), jars), strict=True) if not whole]
        if missing:
            with _progress(sum(jar.size for jar in missing), cache, quiet=quiet) as advance:
                _fetch_all(pool, missing, cache, roots, advance)
    return tuple(cache / jar.file_name for jar in jars)


def _fetch_all(pool: ThreadPoolExecutor, jars: Sequence[Jar], cache: Path, roots: Sequence[str], advance: Advance) -> None:
    try:
        for _ in pool.map(lambda jar: _fetch_one(jar, cache, roots, advance), jars):
            pass
    except _DownloadFailedError as error:
        pool.shutdown(wait=False, cancel_futures=True)  # the first failure is the answer, 31 more would only say it again
        raise LocalKafkaError(f"cannot download Apache Kafka: {error}; {WAYS_OUT}") from error


@contextmanager
def _progress(total: int, cache: Path, *, quiet: bool) -> Iterator[Advance]:
    """A bar on stderr, or one line where stderr is not a terminal."""
    console = Console(stderr=True, quiet=quiet)
    console.print(f"Downloading Apache Kafka {KAFKA_VERSION} ({total / 1e6:.1f} MB) to {cache}", soft_wrap=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("Apache Kafka", total=total)
        yield lambda size: progress.advance(task, size)


def _is_whole(jar: Jar, cache: Path) -> bool:
    file = cache / jar.file_name
    try:
        if file.stat().st_size != jar.size:
            return False
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _fetch_one(jar: Jar, cache: Path, roots: Sequence[str], advance: Advance) -> None:
    for attempt in stamina.retry_context(on=_is_passing, attempts=ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=4.0):
        with attempt:
            _from_first_that_has_it(jar, cache, roots)
    advance(jar.size)


def _is_passing(error: Exception) -> bool:
    return isinstance(error, _DownloadFailedError) and error.passing


def _from_first_that_has_it(jar: Jar, cache: Path, roots: Sequence[str]) -> None:
    failures: list[_DownloadFailedError] = []
    for root in roots:
        try:
            return _download(jar, cache, root)
        except _DownloadFailedError as error:
            failures.append(error)
    # The last source is the one that ought to have it; another round helps if any of them may recover.
    raise _DownloadFailedError(str(failures[-1]), passing=any(failure.passing for failure in failures))


def _download(jar: Jar, cache: Path, root: str) -> None:
    """One jar from one repository, under its final name only when it is whole."""
    with tempfile.NamedTemporaryFile(dir=cache, prefix=f".{jar.file_name}.", suffix=".part", delete=False) as part:
        try:
            digest = _copy(f"{root}/{jar.path}", part.write, jar.size)
            if digest != jar.sha256:
                message = f"{jar.file_name} from {_shown(root)} has sha256 {digest[:12]}…, the lock says {jar.sha256[:12]}…"
                raise _DownloadFailedError(message, passing=False)
            part.close()
            os.replace(part.name, cache / jar.file_name)
        except OSError as error:  # URLError, HTTPError, time-outs, resets and a full disk are all OSErrors
            passing = not isinstance(error, urllib.error.HTTPError) or error.code in PASSING_STATUS
            raise _DownloadFailedError(f"{jar.file_name} from {_shown(root)}: {error}", passing=passing) from error
        finally:
            Path(part.name).unlink(missing_ok=True)


def _copy(url: str, write: Callable[[bytes], int], size: int) -> str:
    """Write what `url` holds, at most one chunk more than `size`; its sha256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=STALLED_AFTER_S) as response:
        received = 0
        while received <= size and (chunk := response.read(CHUNK_BYTES)):
            write(chunk)
            digest.update(chunk)
            received += len(chunk)
    return digest.hexdigest()


def _shown(root: str) -> str:
    """A repository as it may stand in a message: without user and password."""
    parts = urlsplit(root)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
