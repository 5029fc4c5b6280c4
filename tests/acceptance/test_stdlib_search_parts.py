"""The parts of `examples/stdlib_search` that know nothing of dispatch: files, tokens, index."""

import importlib
import sqlite3
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "stdlib_search"


def parts(*names):
    """The example's modules, imported as the program imports them and then forgotten: their names are common."""
    sys.path.insert(0, str(FOLDER))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            del sys.modules[name]


sources, tokens, index = parts("sources", "tokens", "index")


def source(text, module="shop", path="shop.py"):
    return sources.Source(module=module, path=path, text=text, trouble="")


def document(module, names="", strings="", comments=""):
    return tokens.Document(
        module=module, path=f"{module}.py", names=names, strings=strings, comments=comments, trouble=""
    )


@pytest.fixture
def indexed(tmp_path):
    """An index with these documents in it."""

    def make(*documents):
        path, segment = tmp_path / "index.db", tmp_path / "segment-001.db"
        index.create(path)
        index.write_segment(segment, documents)
        index.merge(path, segment)
        return path

    return make


# Files


def test_the_librarys_own_tests_and_installed_packages_are_left_out(tmp_path):
    """Only the library's own modules are found, and its tests when they are asked for."""
    for name in ("json/decoder.py", "test/test_json.py", "site-packages/shop.py", "json/data.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")

    assert [tmp_path / "json/decoder.py"] == sources.find(tmp_path)
    assert [tmp_path / "json/decoder.py", tmp_path / "test/test_json.py"] == sources.find(tmp_path, tests=True)


def test_a_sample_has_files_of_all_sizes(tmp_path):
    """A sample has as many files as it was asked for, the smallest and the largest among them."""
    paths = [tmp_path / f"{size}.py" for size in range(100)]
    for size, path in enumerate(paths):
        path.write_text("#" * size)

    chosen = sources.sample(paths, 10)

    assert 10 == len(chosen)
    assert {paths[0], paths[-1]} <= set(chosen)


@pytest.mark.parametrize(
    ("path", "module"), [("os.py", "os"), ("json/decoder.py", "json.decoder"), ("json/__init__.py", "json")]
)
def test_a_module_is_called_as_it_is_imported(tmp_path, path, module):
    """The name of a package is that of its folder."""
    assert module == sources.module_name(tmp_path / path, tmp_path)


def test_a_file_is_read_in_the_encoding_it_declares(tmp_path):
    """A coding comment is obeyed."""
    path = tmp_path / "latin.py"
    path.write_bytes("# coding: latin-1\n# café\n".encode("latin-1"))

    found = sources.read("latin", str(path))

    assert "café" in found["text"]
    assert not found["trouble"]


@pytest.mark.parametrize("head", ["", "# coding: klingon\n"], ids=["wrong bytes", "unknown encoding"])
def test_an_undecodable_file_is_read_all_the_same(tmp_path, head):
    """What can be read of it is there, and the trouble is told."""
    path = tmp_path / "odd.py"
    path.write_bytes(head.encode() + b"name = '\xff'\n")

    found = sources.read("odd", str(path))

    assert "name = " in found["text"]
    assert found["trouble"].startswith("not decodable")


def test_a_file_that_is_gone_is_told_and_not_raised(tmp_path):
    """One bad file does not end the job."""
    found = sources.read("gone", str(tmp_path / "gone.py"))

    assert "" == found["text"]
    assert found["trouble"].startswith("not readable")


# Tokens


def test_names_strings_and_comments_are_told_apart():
    """Dotted names stay together, keywords are left out, quotes and comment signs are taken off."""
    found = tokens.tokenize_source(
        source('import os  # for paths\nx = os.path.join(rb"a", """b\nc""") if x else None\n')
    )

    assert "os x os.path.join x" == found["names"]
    assert "a\nb\nc" == found["strings"]
    assert "for paths" == found["comments"]
    assert not found["trouble"]


def test_the_text_of_an_f_string_is_found_whatever_the_python():
    """Python 3.12 takes f-strings apart, and earlier ones do not."""
    assert "hello" in tokens.tokenize_source(source('f"hello {name}"\n'))["strings"]


def test_an_empty_file_is_a_document_without_words():
    """Nothing in, nothing out, and no trouble."""
    found = tokens.tokenize_source(source(""))

    assert ("", "", "", "") == (found["names"], found["strings"], found["comments"], found["trouble"])


@pytest.mark.parametrize("text", ["known = 1\n'''never closed", "known = 1\n    odd\n  indent\n"])
def test_what_stands_before_a_place_that_is_not_python_is_kept(text):
    """The rest of the file is left out, and the trouble is told."""
    found = tokens.tokenize_source(source(text))

    assert "known" in found["names"]
    assert found["trouble"].startswith("not tokenizable")


def test_imports_are_told_by_their_absolute_names():
    """Relative imports are about the package that the module is in."""
    text = "import os.path, sys\nfrom . import scanner\nfrom .decoder import X\nfrom re import compile\n"

    inside = tokens.imported_modules(source(text, "json.tool", "json/tool.py"))
    package = tokens.imported_modules(source("from .decoder import X\n", "json", "json/__init__.py"))

    assert ["json", "json.decoder", "os.path", "re", "sys"] == inside
    assert ["json.decoder"] == package


def test_a_file_that_is_not_python_imports_nothing():
    """Nor is it a reason to fail."""
    assert [] == tokens.imported_modules(source("print 'two'"))


# Index


def test_a_segment_is_merged_once_however_often_it_is_asked_for(tmp_path):
    """A durable call may run twice; the index has each document once all the same."""
    path, segment = tmp_path / "index.db", tmp_path / "segment-001.db"
    index.create(path)
    index.write_segment(segment, [document("json", names="loads")])

    assert 1 == index.merge(path, segment)
    assert 1 == index.merge(path, segment)

    assert {"segment-001.db": 1} == index.committed(path)
    assert 1 == len(index.search(path, "loads"))


def test_writing_a_segment_again_replaces_it(tmp_path):
    """What a broken attempt left in the file is gone."""
    segment = tmp_path / "segment-001.db"

    assert 2 == index.write_segment(segment, [document("a"), document("b")])
    assert 1 == index.write_segment(segment, [document("a")])
    assert 0 == index.write_segment(segment, [])


def test_a_segment_that_is_gone_cannot_be_merged(tmp_path):
    """It is an error, not an empty segment, and no file is made in its place."""
    index.create(tmp_path / "index.db")

    with pytest.raises(sqlite3.OperationalError):
        index.merge(tmp_path / "index.db", tmp_path / "gone.db")

    assert not (tmp_path / "gone.db").exists()
    assert {} == index.committed(tmp_path / "index.db")


def test_every_word_of_a_query_must_occur(indexed):
    """Words are combined by and; a dotted name is a phrase; a star is the end of a beginning."""
    path = indexed(document("a", names="os.path.join walk_up"), document("b", names="path os join"))

    assert ["a"] == [hit.module for hit in index.search(path, "os.path")]
    assert {"a", "b"} == {hit.module for hit in index.search(path, "join os")}
    assert ["a"] == [hit.module for hit in index.search(path, "walk*")]
    assert [] == index.search(path, "walk")
    assert [] == index.search(path, "join absent")


@pytest.mark.parametrize("query", ['"', "a AND", "(", "-", "col:x", "NEAR(", "*"])
def test_no_query_is_a_syntax_error(indexed, query):
    """FTS5 has a language of its own; users need not know it."""
    index.search(indexed(document("a", names="a")), query)


def test_a_hit_shows_the_words_around_the_match(indexed):
    """The snippet comes from the column that matched, and marks the words."""
    path = indexed(document("bisect", strings="Insert item and keep it sorted"))

    (hit,) = index.search(path, "sorted")

    assert "keep it «sorted»" in hit.snippet
    assert "bisect.py" == hit.path


def test_what_many_import_stands_before_its_equals(indexed):
    """Of two documents that match alike the one with more importers is the better answer."""
    path = indexed(document("seldom", names="same"), document("often", names="same"), document("none", names="other"))

    index.set_importers(path, {"often": 90, "seldom": 1})

    assert ["often", "seldom"] == [hit.module for hit in index.search(path, "same")]


def test_real_modules_are_found_by_what_they_define(indexed):
    """`splitdrive` is a matter of paths, and `insort` one of bisection."""
    paths = [sources.LIBRARY / name for name in ("posixpath.py", "bisect.py", "json/decoder.py")]
    read = [sources.read(sources.module_name(path), str(path)) for path in paths]
    path = indexed(*map(tokens.tokenize_source, read))

    assert ["posixpath"] == [hit.module for hit in index.search(path, "splitdrive")]
    assert ["bisect"] == [hit.module for hit in index.search(path, "insort")]
    assert "json.decoder" == index.search(path, "JSONDecodeError")[0].module
