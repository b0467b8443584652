"""Device sizes from VM descriptions: QEMU's own, nested and broken ones."""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mig import vmdesc

DATA = pathlib.Path(__file__).parents[1] / "data"
PACKAGED = DATA.parents[1] / "stress" / "data"
FIELD = {"name": "f", "type": "buffer", "size": 3}


def text(**device: object) -> bytes:
    """The description of one device `d` with two fields, changed by the keywords."""
    fixed = {"name": "d", "instance_id": 0, "version": 1, "fields": [FIELD, FIELD]}
    return json.dumps({"page_size": 4096, "devices": [{**fixed, **device}]}).encode()


@pytest.mark.parametrize(
    "name",
    ["pc16-dirty-plain", "none16-paused", "pc16-dirty-xbzrle", "microvm16-paused", "pc16-paused"],
)
def test_sections_of_a_real_stream(name: str) -> None:
    """Every device section of QEMU's stream has the described size, version and subsections."""
    path = (PACKAGED if name == "pc16-dirty-plain" else DATA) / f"{name}.mig.gz"
    stream = gzip.decompress(path.read_bytes())
    facts = json.loads((DATA / f"{name}.sections.json").read_text())
    start = vmdesc.find(stream)
    assert start is not None
    assert start == facts["vmdescription"]
    described = vmdesc.parse(stream[start + 5 :])
    assert len(described.devices) == len(facts["full"])
    for section, instance, version, offset, size in facts["full"]:
        device = described.device(section, instance)
        assert device is not None
        head = 14 + len(section)
        assert (device.version, head + device.body_size + 5) == (version, size)
        device.check(stream[offset + head : offset + size - 5])


def test_arrays_count_every_element() -> None:
    """A field with `array_len` is that many times its size; one with `index` counts once."""
    fields = [{**FIELD, "array_len": 4}, {**FIELD, "index": 0}, {**FIELD, "index": 1}]
    assert vmdesc.parse(text(fields=fields)).devices[0].body_size == 18


def test_subsections_have_heads() -> None:
    """A subsection adds its head; a body without it is refused."""
    sub = {"vmsd_name": "d/sub", "version": 2, "fields": [FIELD]}
    device = vmdesc.parse(text(subsections=[sub])).devices[0]
    body = bytes(6) + b"\x05\x05d/sub" + struct.pack(">I", 2) + bytes(3)
    assert device.body_size == len(body)
    device.check(body)
    with pytest.raises(vmdesc.DescriptionError, match="no subsection 'd/sub' at byte 6"):
        device.check(bytes(len(body)))


def test_structs_include_their_subsections() -> None:
    """The size of a struct field is compared with what stands in it."""
    sub = {"vmsd_name": "s/x", "version": 1, "fields": [FIELD]}
    inner = {"vmsd_name": "s", "version": 1, "fields": [FIELD], "subsections": [sub]}
    good = {"name": "s", "type": "struct", "size": 3 + 6 + 3 + 3, "struct": inner}
    assert vmdesc.parse(text(fields=[good])).devices[0].body_size == 15
    with pytest.raises(vmdesc.DescriptionError, match="size is 14, its fields add up to 15"):
        vmdesc.parse(text(fields=[{**good, "size": 14}]))


def nested(depth: int) -> dict[str, object]:
    """A field inside `depth` structs."""
    field: dict[str, object] = dict(FIELD)
    for _ in range(depth):
        field = {"name": "s", "type": "struct", "size": 3, "struct": {"fields": [field]}}
    return field


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "expected an object"),
        (b"{}", "devices is"),
        (text(name=""), "name is"),
        (text(name="x" * 256), "name is"),
        (text(instance_id=-1), "instance_id is '-1'"),
        (text(version=True), "version is 'True'"),
        (text(fields=None), "fields is"),
        (text(fields=[{"size": "3"}]), "fields[0].size is '3'"),
        (text(fields=[{**FIELD, "size": 1 << 40}]), "size is"),
        (text(fields=[{**FIELD, "size": 1 << 20, "array_len": 1 << 20}]), "the limit is"),
        (text(fields=[nested(100)]), "nested deeper"),
        (text(subsections=[{"version": 1, "fields": []}]), "vmsd_name is"),
        (json.dumps({"devices": [], "page_size": None}).encode(), "page_size is"),
        (
            json.dumps({"page_size": 1, "devices": json.loads(text())["devices"] * 2}).encode(),
            "2 devices are described under 1 names",
        ),
        (json.dumps({"page_size": 1, "devices": [0] * 5000}).encode(), "5000 devices"),
    ],
)
def test_broken_descriptions_are_refused(broken: bytes, what: str) -> None:
    """Each broken description is refused with the path and the value."""
    with pytest.raises(vmdesc.DescriptionError) as caught:
        vmdesc.parse(broken)
    assert what in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["fields", "size", "struct", "subsections", "vmsd_name", "version"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["name", "fields", "subsections"]), values))
def test_any_json_is_safe(device: dict[str, object]) -> None:
    """Any JSON value gives a bounded size or `DescriptionError`."""
    sizes = []
    with contextlib.suppress(vmdesc.DescriptionError):
        sizes = [entry.fields_size for entry in vmdesc.parse(text(**device)).devices]
    assert all(0 <= size <= vmdesc.MAX_BODY for size in sizes)


def test_find_takes_the_last_description() -> None:
    """Bytes of a device that look like a description do not win; nothing found gives None."""
    real = b"\0\x06" + struct.pack(">I", 2) + b"{}"
    assert vmdesc.find(real + real) == len(real) + 1
    assert vmdesc.find(real + b"x") is None
    assert vmdesc.find(b"") is None
