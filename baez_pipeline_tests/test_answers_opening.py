"""Where the database of answers can lie, and what is said where it cannot be opened."""

import random
import sqlite3
from pathlib import Path

import pytest

from baez_pipeline.answers import Answers
from baez_pipeline.errors import AnswersError

NOT_EVEN_ROOT_WRITES = Path("/proc")


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path / 'answers.sqlite'}"


def test_a_damaged_file(tmp_path, sqlite_url):
    (tmp_path / "answers.sqlite").write_bytes(b"This is no database. " * 100)
    with pytest.raises(AnswersError, match=r"answers\.sqlite.* file is not a database"):
        Answers(sqlite_url)


def test_a_file_that_was_damaged_later(tmp_path, sqlite_url):
    answers = Answers(sqlite_url)
    for index in range(200):
        answers.keep(str(index), random.Random(index).randbytes(100))
    with sqlite3.connect(tmp_path / "answers.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "answers.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(AnswersError, match=r"answers\.sqlite"):
        [Answers(sqlite_url).kept(str(index)) for index in range(200)]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(AnswersError, match="data"):
        Answers.of(str(tmp_path / "data"), None)
    with pytest.raises(AnswersError, match="data"):
        Answers.of(str(tmp_path / "data" / "deeper"), None)


@pytest.mark.skipif(not NOT_EVEN_ROOT_WRITES.is_dir(), reason="only Linux has such a folder")
def test_a_folder_that_cannot_be_written():
    with pytest.raises(AnswersError, match=r"answers\.sqlite.* unable to open"):
        Answers.of(str(NOT_EVEN_ROOT_WRITES), None)
    with pytest.raises(AnswersError, match="deeper"):
        Answers.of(str(NOT_EVEN_ROOT_WRITES / "deeper"), None)


@pytest.mark.parametrize("url", ["nosuch://host/database", "just words", "", "sqlite+nosuch:///x", "firebird://h/d"])
def test_a_url_of_no_known_kind(url):
    with pytest.raises(AnswersError, match=r"Expected such as sqlite:////folder"):
        Answers(url)


@pytest.mark.parametrize(
    "url", ["postgresql+nosuch://me:hunter2@host/database", "postgresql//me:hunter2@host/database"]
)
def test_the_sentence_does_not_hold_the_password(url):
    with pytest.raises(AnswersError) as failure:
        Answers(url)
    assert "hunter2" not in str(failure.value)


def test_a_folder_of_any_name(tmp_path):
    folder = tmp_path / "100% of ?what #data & more"
    Answers.of(str(folder), None).keep("k", b"x")
    assert Answers.of(str(folder), None).kept("k") == b"x"
    assert (folder / "answers.sqlite").is_file()


def test_tables_behind_a_url_need_a_database_that_is_named(tmp_path, sqlite_url):
    with pytest.raises(AnswersError, match=r"s3://bucket/data.*BAEZ_ANSWERS"):
        Answers.of("s3://bucket/data", None)
    Answers.of("s3://bucket/data", sqlite_url).keep("k", b"x")
    assert Answers.of(str(tmp_path), None).kept("k") == b"x"
