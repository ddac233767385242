"""The architecture is a test: who may import whom, where names and time may stand, and how long a function may be."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from topics.catalogue import BY_NAME, changelog

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("topics", "streams", "sinks", "deploy")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
CATALOGUE = ROOT / "topics" / "catalogue.py"

MAX_LINES_OF_A_FILE = 400
MAX_LINES_OF_A_FUNCTION = 60

CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep"}
"""Attributes and functions that ask the machine for the time."""
IMPURE = {"open", "print", "input", "exec", "eval", "__import__", "id", "hash", "breakpoint"}
"""Builtins with effects, or whose answer differs from process to process: hash() of a string is salted."""

ALLOWED = {("step.py", "hash")}
"""A fingerprint is compared with those of the same process only: the memory is built anew at each start."""


def shown(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


# --- imports


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_imports_keep_the_contracts() -> None:
    """As pyproject.toml has them."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("topics/values.py", "import streams.core.step", "topics know nobody"),
        ("streams/core/step.py", "import sinks.delivery", "streams and sinks meet only in Kafka and in topics"),
        ("sinks/delivery.py", "import streams.core.numbers", "streams and sinks meet only in Kafka and in topics"),
        ("sinks/delivery.py", "import deploy.local.cluster", "the product does not import its deployment"),
        ("streams/core/step.py", "import time", "the core is pure"),
        ("streams/core/stock.py", "import confluent_kafka", "the core is pure"),
        ("streams/core/memory.py", "from random import random", "the core is pure"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, line: str, contract: str) -> None:
    """On a copy with one line more: the contract that forbids it is broken, and says so."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as changed:
        changed.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout


# --- names of topics


def topic_literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Strings in which the name of a topic stands; docstrings and the `help` of a command only explain."""
    suffix = re.escape(changelog("").name)
    name = re.compile("|".join([*(re.escape(topic) for topic in BY_NAME), rf"{suffix}\b", r"\w+\.\w+\.v\d+\b"]))
    explaining = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    explaining |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "help"}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in explaining else None
        if isinstance(text, str) and name.search(text):
            yield getattr(node, "lineno", 0), text


def test_topic_names_stand_in_the_catalogue_only() -> None:
    """A topic is one typed constant; everything else uses that."""
    found = [f"{shown(f)}:{n} {text!r}" for f in FILES if f != CATALOGUE for n, text in topic_literals(parsed(f))]
    assert found == []


@pytest.mark.parametrize(
    "code",
    ["send('stock.sync.v1')", "send(f'{prefix}stock.sync.v1.dlq')", "topic = f'{app}-stock-changelog'", "x = 'a.b.v2'"],
)
def test_a_topic_literal_is_found(code: str) -> None:
    """Whole, as part of an f-string, and a topic that is in no catalogue."""
    assert list(topic_literals(ast.parse(code)))


@pytest.mark.parametrize("code", ['"""Reads stock.sync.v1."""', "Typer(help='Reads stock.sync.v1.')"])
def test_an_explanation_may_name_a_topic(code: str) -> None:
    """Nothing is sent to it."""
    assert not list(topic_literals(ast.parse(code)))


# --- the pure core


def impurities(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in IMPURE or name.rpartition(".")[2] in CLOCKS:
                yield node.lineno, name
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global):
            yield node.lineno, type(node).__name__


def test_the_core_asks_no_clock_and_has_no_effects() -> None:
    """Time is an argument or a tick; what a replay decides, it decided before."""
    core = sorted((ROOT / "streams" / "core").glob("*.py"))
    assert len(core) > 10
    found = [(file.name, name, line) for file in core for line, name in impurities(parsed(file))]
    assert [(file, name, line) for file, name, line in found if (file, name) not in ALLOWED] == []


@pytest.mark.parametrize(
    "code",
    ["datetime.now(UTC)", "time.time()", "dt.datetime.utcnow()", "print(1)", "x = hash('a')", "async def f(): ..."],
)
def test_an_impurity_is_found(code: str) -> None:
    """Also where it came in by an alias that import contracts do not see."""
    assert list(impurities(ast.parse(code)))


# --- size


def test_files_are_short() -> None:
    """Who looks for a rule finds a file with its name, not a chapter of one."""
    lengths = {shown(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES_OF_A_FILE} == {}


def test_functions_fit_a_screen() -> None:
    """A function that is longer does more than one thing."""
    found = {
        f"{shown(file)}:{node.name}": node.end_lineno - node.lineno + 1
        for file in FILES
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert len(found) > 100
    assert {name: lines for name, lines in found.items() if lines > MAX_LINES_OF_A_FUNCTION} == {}


# --- everything starts


def module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


IMPORT_ALL = """
import importlib, sys, traceback
failed = False
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        failed = True
        print(name, traceback.format_exc(limit=-3))
sys.exit(failed)
"""


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    """Without any setting, without a Kafka, and without a word."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "STOCKSTREAM_"))}
    command = [sys.executable, "-c", IMPORT_ALL, *(module(file) for file in FILES)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


COMMANDS = {
    "topics": ("", "apply", "list", "schemas", "asyncapi", "dlq", "dlq list", "dlq show", "dlq replay"),
    "streams": ("", "worker", "stock", "discrepancies", "explain", "verify"),
    "sinks": ("", "run", "list", "simulate"),
    "deploy.local": ("", "kafka", "demo"),
}


@pytest.mark.parametrize(
    ("program", "command"), [(program, command) for program, commands in COMMANDS.items() for command in commands]
)
def test_help_teaches(program: str, command: str) -> None:
    """Each command of the contract (section 7) has a --help that says what it does and which options it takes."""
    arguments = [sys.executable, "-m", program, *command.split(), "--help"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    assert text.startswith(f"Usage: python -m {program} {command}".strip())
    assert "--help" in text
    assert len(text.split()) > 30, "a help of a few words teaches nothing"
