"""The jars of Apache Kafka: which ones (a lock file with sha256), where they may come from, and the cache for them.

A file gets its final name only when its digest is right, and the digest is checked again at each start, so a cache that
was cut short, damaged or tampered with mends itself.
"""

import base64
import hashlib
import http.client
import os
import re
import tempfile
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from deploy.local.errors import WAYS_OUT, LocalKafkaError

KAFKA_VERSION = "4.3.1"
LOCK = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.lock")
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
DOWNLOADS_AT_ONCE = 8
WAITS_S = (0.5, 1.0, 2.0, None)  # after each attempt; the last one has none
CHUNK_BYTES = 1 << 16
STALLED_AFTER_S = 30.0  # without a single byte
ABANDONED_AFTER_S = 3600.0  # a part that a killed download left
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
            form = "group:artifact:version sha256 size"
            raise LocalKafkaError(f"line {number} of the Kafka lock file is not `{form}`: {line[:80]}")
        group, artifact, version, sha256, size = match.groups()
        jars.append(Jar(group, artifact, version, sha256, int(size)))
    return tuple(jars)


def cache_root(env: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/stockstream`, by default `~/.cache/stockstream`."""
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stockstream"


def sources(env: Mapping[str, str] = os.environ, home: Path | None = None) -> list[str]:
    """Roots of Maven repositories, best first.

    `~/.m2`, then MAVEN_MIRROR alone if it is set, else the mirrors of settings.xml and Maven Central. urllib itself
    honours HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.
    """
    m2 = (home or Path.home()) / ".m2"
    found = [(m2 / "repository").as_uri()] if (m2 / "repository").is_dir() else []
    if mirror := env.get("MAVEN_MIRROR"):
        if urlsplit(mirror).scheme not in {"http", "https", "file"}:
            raise LocalKafkaError("MAVEN_MIRROR is no address: it begins with https://, http:// or file://")
        return [*found, mirror.rstrip("/")]
    return [*found, *_mirrors(m2 / "settings.xml"), MAVEN_CENTRAL]


def _mirrors(settings: Path) -> Iterator[str]:
    """The mirrors of Maven Central in a settings.xml; none if there is no such file."""
    with suppress(OSError, ET.ParseError):
        for element in ET.parse(settings).iter():  # noqa: S314 - the user's own file
            if _local_name(element) != "mirror":
                continue
            fields = {_local_name(child): (child.text or "").strip() for child in element}
            if fields.get("url") and {"*", "central", "external:*"} & set(fields.get("mirrorOf", "").split(",")):
                yield fields["url"].rstrip("/")


def _local_name(element: ET.Element) -> str:
    return element.tag.rsplit("}")[-1]


def fetch(jars: Sequence[Jar], cache: Path, roots: Sequence[str], *, quiet: bool = False) -> tuple[Path, ...]:
    """The paths of `jars` in `cache`, in their order; what is missing or damaged there is downloaded.

    Progress goes to stderr. Raises LocalKafkaError when a jar cannot be had whole and with the right digest.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            whole = pool.map(lambda jar: _is_whole(jar, cache), jars)
            missing = [jar for jar, is_whole in zip(jars, whole, strict=True) if not is_whole]
            if missing:
                _remove_abandoned_parts(cache)
                with _progress(sum(jar.size for jar in missing), cache, quiet=quiet) as advance:
                    _fetch_all(pool, missing, cache, roots, advance)
    except OSError as error:
        raise LocalKafkaError(f"cannot write the cache {cache}: {error.strerror}; set XDG_CACHE_HOME") from error
    return tuple(cache / jar.file_name for jar in jars)


def _remove_abandoned_parts(cache: Path) -> None:
    for part in cache.glob(".*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_AFTER_S:
                part.unlink()


def _fetch_all(
    pool: ThreadPoolExecutor, jars: Sequence[Jar], cache: Path, roots: Sequence[str], advance: Advance
) -> None:
    try:
        for _ in pool.map(lambda jar: _fetch_one(jar, cache, roots, advance), jars):
            pass
    except _DownloadFailedError as error:
        # The first failure is the answer, 31 more would only say it again.
        pool.shutdown(wait=False, cancel_futures=True)
        raise LocalKafkaError(f"cannot download Apache Kafka: {error}; {WAYS_OUT}") from error


@contextmanager
def _progress(total: int, cache: Path, *, quiet: bool) -> Iterator[Advance]:
    """A bar on stderr, or one line where stderr is not a terminal."""
    console = Console(stderr=True, quiet=quiet)
    headline = f"Downloading Apache Kafka {KAFKA_VERSION} ({total / 1e6:.1f} MB) to {cache}"
    console.print(headline, soft_wrap=True, highlight=False)
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
    for wait_s in WAITS_S:
        try:
            _from_first_that_has_it(jar, cache, roots)
        except _DownloadFailedError as error:
            if wait_s is None or not error.passing:
                raise
            time.sleep(wait_s)
        else:
            advance(jar.size)
            return


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
                what = f"{jar.file_name} from {_shown(root)} has sha256 {digest[:12]}…"
                raise _DownloadFailedError(f"{what}, the lock says {jar.sha256[:12]}…", passing=False)
            part.close()
            Path(part.name).replace(cache / jar.file_name)
        # URLError, HTTPError, time-outs, resets and a full disk are all OSErrors; a garbled answer is not.
        except (OSError, http.client.HTTPException) as error:
            raise _DownloadFailedError(
                f"{jar.file_name} from {_shown(root)}: {error}", passing=_passing(error)
            ) from error
        finally:
            Path(part.name).unlink(missing_ok=True)


def _passing(error: Exception) -> bool:
    """Whether another attempt may help: not when the repository knows no such file or the address is none."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in PASSING_STATUS
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return not isinstance(reason, FileNotFoundError | http.client.InvalidURL)


def _copy(url: str, write: Callable[[bytes], int], size: int) -> str:
    """Write what `url` holds, at most one chunk more than `size`; its sha256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(_request(url), timeout=STALLED_AFTER_S) as response:  # noqa: S310 - as in _request
        received = 0
        while received <= size and (chunk := response.read(CHUNK_BYTES)):
            write(chunk)
            digest.update(chunk)
            received += len(chunk)
    return digest.hexdigest()


def _request(url: str) -> urllib.request.Request:
    """Ask for `url`; a user and password in it, which urllib does not know, become a header (not sent on to others)."""
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(plain)  # noqa: S310 - `sources` checked the scheme
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(credentials).decode()}")
    return request


def _shown(root: str) -> str:
    """A repository as it may stand in a message: without user and password."""
    parts = urlsplit(root)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
