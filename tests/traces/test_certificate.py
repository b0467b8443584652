"""Certificates as text: what is written is read back, and nothing else is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces import certificate as certificates
from traces.certificate import CLASSES, TREE, Certificate, CertificateError, from_text, to_text
from traces.schema import Program

PROGRAM = Program("m:f?n=2", "0123456789abcdef", "3.11.7", "0.1", "auto+A.b", {"packages": "m"})
CHOICES = st.lists(st.integers(0, 99_999), max_size=6).map(tuple)


def made(*executions: tuple[int, ...], method: str = CLASSES) -> Certificate:
    return Certificate(PROGRAM, "dpor", 7, method, None, 2, None, executions)


TEXT = to_text(made((0, 1, 2), (0, 1, 3, 4), ()))


@settings(max_examples=50)
@given(st.lists(CHOICES, max_size=8), st.sampled_from([(CLASSES, None), (TREE, None), (TREE, 2)]))
def test_there_and_back(executions: list[tuple[int, ...]], kind: tuple[str, int | None]) -> None:
    """Reading gives what was written, whatever the executions."""
    method, bound = kind
    written = Certificate(PROGRAM, "dfs", 0, method, bound, None, 3, tuple(executions))

    assert written == from_text(to_text(written))


def test_executions_share_their_beginnings() -> None:
    """A line says how much it has in common with the one before."""
    assert ["0 0 1 2", "2 3 4", "0", ""] == TEXT.split("\n")[1:]


@settings(max_examples=150)
@given(st.data())
def test_any_other_text_is_refused_or_another_certificate(data: st.DataObject) -> None:
    """A text changed anywhere is read as what it then says, or refused in one line; nothing else comes of it."""
    at = data.draw(st.integers(0, len(TEXT) - 1))
    piece = data.draw(st.text(st.characters(codec="utf-8"), max_size=4))
    text = TEXT[:at] + piece + TEXT[at + data.draw(st.integers(0, 4)) :]
    try:
        read = from_text(text)
    except CertificateError as error:
        said = str(error)
    else:
        said = ""
        assert read == from_text(to_text(read))
    assert "\n" not in said


def changed(**values: object) -> str:
    head, _, rest = TEXT.partition("\n")
    return json.dumps({**json.loads(head), **values}) + "\n" + rest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "certificate: not JSON at line 1"),
        ("[]\n", 'format: this is not a "stage3-certificate" file'),
        (changed(version=2), "version: 2, but this stage3 reads version 1"),
        (changed(method="most"), "method: 'most' is not one of"),
        (changed(preemptions=1), "preemptions: 1 is not null"),
        (changed(executions=4), "lines of executions or more, and names 4; the file"),
        (changed(executions=2), "lines of executions or more, and names 2; the file"),
        (changed(executions=10**9), "executions: 1000000000 is not at most"),
        (changed(program={}), "program.digest: is missing"),
        (changed(more=1), "unknown field 'more'"),
        (TEXT.replace("\n2 3", "\n4 3"), "line 3: has 4 choices in common with one of 3"),
        (TEXT.replace("\n2 3", "\n2 -3"), "line 3: '2 -3 4' is no row of numbers"),
        (TEXT.replace("\n2 3", "\n2  3"), "is no row of numbers"),
        (TEXT.rstrip("\n"), "lines of executions or more, and names 3"),
    ],
)
def test_refused(text: str, words: str) -> None:
    """Each refusal names the field or line, shows the value, and says what to do."""
    with pytest.raises(CertificateError) as caught:
        from_text(text)

    assert words in str(caught.value)
    assert caught.value.remedy


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short text that expands to more choices than are read is stopped where it does."""
    monkeypatch.setattr(certificates, "MOST_CHOICES", 12)
    long = made(*[tuple(range(4))] * 4)

    with pytest.raises(CertificateError, match="line 5: there are more than 12 choices"):
        from_text(to_text(long))
    monkeypatch.setattr(certificates, "MOST_CHARACTERS", 20)
    with pytest.raises(CertificateError, match="characters, at most 20"):
        from_text(TEXT)
