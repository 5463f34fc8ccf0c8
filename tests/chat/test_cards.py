"""Cards in every variant come in and go out without loss, and bad ones are refused kindly."""

from __future__ import annotations

import base64
import json
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chat import cards_made as made
from workbench.chat import png
from workbench.chat.cards import FORMS, Form, natural_form, read_card, write_card
from workbench.chat.character import Character, Entry, Lorebook
from workbench.chat.documents import KEYS
from workbench.chat.shipped import shipped
from workbench.errors import (
    BrokenCard,
    CardTooLarge,
    LongField,
    NoCard,
    NoCharacterName,
    NotACard,
    WorkbenchError,
)

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "characters"
SAID = [one.name for one in fields(Character) if one.compare and one.name != "picture"]

VARIANTS: dict[str, bytes] = {
    "png v2": made.in_png(chara=made.as_json(made.TAVERN)),
    "png v3": made.in_png(ccv3=made.as_json(made.v3())),
    "png both": made.in_png(
        chara=made.as_json({**made.TAVERN, "data": made.v3()["data"]}),
        ccv3=made.as_json(made.v3()),
    ),
    "png v2 packed": made.in_png(b"zTXt", chara=made.as_json(made.TAVERN)),
    "png v2 international": made.in_png(b"iTXt", chara=made.as_json(made.TAVERN)),
    "json v2": made.as_json(made.TAVERN),
    "json v3": made.as_json(made.v3()),
    "json v2 indented, with a mark": b"\xef\xbb\xbf" + json.dumps(made.TAVERN, indent=4).encode(),
    "yaml": made.OOBA,
}  # fmt: skip


def said(character: Character) -> dict[str, Any]:
    return {name: getattr(character, name) for name in SAID}


def test_every_field_of_a_character_has_its_key() -> None:
    assert {*KEYS, "picture", "documents"} == {one.name for one in fields(Character)}


def inside(picture: png.Picture, keyword: str) -> Any:
    """The document in a chunk."""
    chunk = picture.find(keyword)
    assert chunk is not None
    return json.loads(base64.b64decode(chunk.data.split(b"\0", 1)[1]))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_card_that_was_not_changed_goes_out_byte_for_byte(name: str) -> None:
    raw = VARIANTS[name]
    character = read_card(raw, name)
    assert write_card(character, natural_form(character)) == raw


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_says_the_same_in_every_form(name: str, form: Form) -> None:
    character = read_card(VARIANTS[name], name)
    again = read_card(write_card(character, form), "again")
    assert said(again) == said(character)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "yaml"])
def test_unknown_keys_survive_a_change_in_their_order(name: str) -> None:
    character = replace(read_card(VARIANTS[name], name), greeting="早晨！", tags=("新",))
    spec = natural_form(character)[-2:]
    raw = write_card(character, "json-v3" if spec == "v3" else "json-v2")
    new = json.loads(raw)
    old = made.v3() if spec == "v3" else made.TAVERN
    for key, value in old["data"].items():
        if key not in ("first_mes", "tags"):
            assert json.dumps(new["data"][key]) == json.dumps(value), key
    assert [key for key in new["data"] if key in old["data"]] == [*old["data"]]
    assert [key for key in new if key in old] == [*old]
    assert new["data"]["first_mes"] == "早晨！"
    if "first_mes" in old:
        assert new["first_mes"] == "早晨！"


def test_both_chunks_are_kept_and_say_the_same_after_a_change() -> None:
    character = replace(read_card(VARIANTS["png both"], "both"), description="變咗")
    for form in ("png-v2", "png-v3"):
        picture = png.parse(write_card(character, form), "both")  # type: ignore[arg-type]
        for keyword in ("chara", "ccv3"):
            document = inside(picture, keyword)
            assert document["data"]["description"] == "變咗"
            assert document["data"]["x_future"] == {"second": 2, "first": 1}


def test_chunks_that_disagree_agree_when_they_go_out() -> None:
    stale = {**made.TAVERN, "data": {**made.TAVERN["data"], "scenario": "舊"}}
    raw = made.in_png(chara=made.as_json(stale), ccv3=made.as_json(made.v3()))
    character = read_card(raw, "stale.png")
    assert character.scenario == ""
    picture = png.parse(write_card(character, "png-v3"), "out")
    assert inside(picture, "chara")["data"]["scenario"] == ""
    assert picture.find("ccv3") == png.parse(raw, "in").find("ccv3")


def test_pixels_and_other_chunks_are_never_touched() -> None:
    character = replace(read_card(VARIANTS["png v2"], "x"), name="另一個")
    before = png.parse(VARIANTS["png v2"], "before")
    after = png.parse(write_card(character, "png-v3"), "after")
    others = [one for one in after.chunks if one.keyword not in ("chara", "ccv3")]
    assert others == [one for one in before.chunks if one.keyword != "chara"]
    assert after.tail == b"after the end"


def test_an_entry_of_the_lorebook_keeps_what_we_do_not_know() -> None:
    character = read_card(VARIANTS["png v2"], "x")
    book = character.lorebook
    assert book is not None
    new = replace(
        book, entries=(replace(book.entries[0], content="轉咗檔口。"), Entry(("魚",), "貴"))
    )
    raw = write_card(replace(character, lorebook=new), "json-v2")
    written = json.loads(raw)["data"]["character_book"]
    old = made.TAVERN["data"]["character_book"]
    assert written["x_book"] == "留低"
    assert written["entries"][0] == {**old["entries"][0], "content": "轉咗檔口。"}
    assert written["entries"][1]["keys"] == ["魚"]
    assert read_card(raw, "x").lorebook == new


def test_a_version_1_card_becomes_version_2_and_keeps_its_keys() -> None:
    flat = {"name": "阿芬", "description": "街坊", "first_mes": "食咗飯未？", "x_own": {"b": 1}}
    character = read_card(made.as_json(flat), "v1.json")
    assert (character.name, character.greeting) == ("阿芬", "食咗飯未？")
    new = json.loads(write_card(character, "json-v2"))
    assert new["x_own"] == {"b": 1}
    assert new["spec"] == "chara_card_v2"
    assert new["data"]["first_mes"] == "食咗飯未？"


def test_a_card_of_pygmalion_is_read() -> None:
    flat = {
        "char_name": "Fan",
        "char_persona": "cooks",
        "char_greeting": "Hi",
        "world_scenario": "s",
    }
    character = read_card(made.as_json(flat), "old.json")
    assert (character.name, character.description) == ("Fan", "cooks")
    assert (character.greeting, character.scenario) == ("Hi", "s")


def test_yaml_keeps_its_other_keys_through_every_form() -> None:
    character = read_card(made.OOBA, "fan.yaml")
    assert character.description.startswith("Ah Fan cooks")
    for form in FORMS:
        again = read_card(write_card(character, form), "again")
        text = write_card(replace(again, greeting="New"), "yaml").decode()
        assert "x_unknown: '2024-01-02'" in text or "x_unknown: 2024-01-02" in text
        assert text.index("z: 1") < text.index("a:\n")
        assert "greeting: New" in text


def test_yaml_that_somebody_wrote_in_wins_over_the_card_inside() -> None:
    raw = write_card(shipped()[0], "yaml").decode()
    assert read_card(raw.encode(), "k.yaml") == replace(shipped()[0], picture=b"")
    edited = raw.replace("廿六歲", "廿七歲", 1)
    character = read_card(edited.encode(), "k.yaml")
    assert "廿七歲" in character.description
    assert character.lorebook == shipped()[0].lorebook


def test_a_charx_brings_its_picture() -> None:
    document = made.v3()
    uri = "embeded://assets/icon/images/main.png"
    document["data"]["assets"] = [{"type": "icon", "name": "main", "uri": uri, "ext": "png"}]
    character = read_card(made.charx(document, made.picture()), "fan.charx")
    assert character.picture == made.picture()
    assert said(character) == said(read_card(made.as_json(document), "x"))
    assert read_card(write_card(character, "png-v3"), "x").nickname == "芬姐"


def test_a_picture_that_is_no_png_is_converted() -> None:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "JPEG")
    character = Character(name="阿芬", picture=out.getvalue())
    assert read_card(write_card(character, "png-v2"), "x").name == "阿芬"


@pytest.mark.parametrize("name", ["default_Seraphina.png", "ooba_Example.yaml"])
def test_the_cards_people_have_go_there_and_back(name: str) -> None:
    if not (REAL / name).exists():
        pytest.skip("no shared data here")
    raw = (REAL / name).read_bytes()
    character = read_card(raw, name)
    assert write_card(character, natural_form(character)) == raw
    for form in FORMS:
        assert said(read_card(write_card(character, form), "x")) == said(character)


def cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def flipped(raw: bytes) -> bytes:
    at = raw.index(b"chara\0") + 40
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def with_text(text: bytes, kind: bytes = b"tEXt") -> bytes:
    picture = png.parse(made.picture(), "x").put("chara", text)
    chunks = tuple(
        png.Chunk(kind, one.data) if one.keyword == "chara" else one for one in picture.chunks
    )
    return png.Picture(chunks).raw


BOMB = zlib.compress(b"\0" * 300_000_000, 9)
BAD: dict[str, tuple[Callable[[], bytes], type[WorkbenchError]]] = {
    "nothing": (lambda: b"", NotACard),
    "a picture without a card": (made.picture, NoCard),
    "a picture cut short": (lambda: cut(VARIANTS["png v2"]), BrokenCard),
    "a wrong checksum": (lambda: flipped(VARIANTS["png v2"]), BrokenCard),
    "broken base64": (lambda: with_text(b"eyJ*uYW1l!"), BrokenCard),
    "base64 of no JSON": (lambda: with_text(base64.b64encode(b"hello")), BrokenCard),
    "base64 of a list": (lambda: with_text(base64.b64encode(b"[1]")), NotACard),
    "a bomb": (lambda: with_text(b"\0" + BOMB, b"zTXt"), CardTooLarge),
    "a broken bomb": (lambda: with_text(b"\0" + b"no zlib", b"zTXt"), BrokenCard),
    "50 MB of description": (
        lambda: b'{"name":"a","description":"' + b"x" * 50_000_000 + b'"}', CardTooLarge),
    "a long description": (
        lambda: made.as_json({"name": "a", "description": "長" * 500_000}), LongField),
    "no name": (lambda: made.as_json({"name": " ", "description": "x"}), NotACard),
    "a name as long as a book": (lambda: made.as_json({"name": "x" * 300}), NoCharacterName),
    "half JSON": (lambda: b'{"name": "a", ', BrokenCard),
    "deep JSON": (lambda: b'{"name":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}", BrokenCard),
    "deeper JSON": (lambda: b'{"a":' * 200_000, BrokenCard),
    "JSON in UTF-16": (lambda: '{"name":"a"}'.encode("utf-16"), NotACard),
    "text": (lambda: b"just a note", NotACard),
    "a list in YAML": (lambda: b"- a\n- b\n", NotACard),
    "YAML of aliases": (lambda: b"a: &a [1,1]\nb: &b [*a,*a]\nname: x\n", BrokenCard),
    "deep YAML": (lambda: b"name: a\nx: " + b"[" * 100_000, BrokenCard),
    "YAML that builds objects": (
        lambda: b"name: a\nx: !!python/object/apply:os.getcwd []\n", BrokenCard),
    "a zip that is none": (lambda: b"PK\x03\x04" + b"x" * 100, BrokenCard),
    "a zip without a card": (lambda: made.charx({"name": ""}).replace(b"card.json", b"nope.json"),
                             NotACard),
    "a huge chunk": (
        lambda: png.SIGNATURE + struct.pack(">I", 2**31) + b"IHDR" + b"x" * 50, BrokenCard),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_card_is_one_sentence(name: str) -> None:
    make, error = BAD[name]
    raw = make()
    begun = time.monotonic()
    with pytest.raises(error) as caught:
        read_card(raw, "card.png")
    assert time.monotonic() - begun < 5
    assert len(str(caught.value)) < 300


def test_a_zip_bomb_is_not_unpacked() -> None:
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", b" " * 100_000_000)
    with pytest.raises(CardTooLarge):
        read_card(out.getvalue(), "bomb.charx")


TEXT = st.text(max_size=60)
NAME = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
ENTRIES = st.builds(
    Entry,
    keys=st.lists(NAME, max_size=3).map(tuple),
    content=TEXT,
    secondary_keys=st.lists(NAME, max_size=2).map(tuple),
    selective=st.booleans(),
    enabled=st.booleans(),
    constant=st.booleans(),
    case_sensitive=st.booleans(),
    use_regex=st.booleans(),
    insertion_order=st.integers(-1000, 1000),
    priority=st.integers(-10, 10),
    position=st.sampled_from(["before", "after"]),
    name=TEXT,
)
CHARACTERS = st.builds(
    Character,
    name=NAME,
    description=TEXT,
    personality=TEXT,
    scenario=TEXT,
    greeting=TEXT,
    alternate_greetings=st.lists(TEXT, max_size=3).map(tuple),
    examples=TEXT,
    system_prompt=TEXT,
    post_history=TEXT,
    lorebook=st.none()
    | st.builds(
        Lorebook,
        entries=st.lists(ENTRIES, max_size=2).map(tuple),
        name=TEXT,
        scan_depth=st.none() | st.integers(0, 50),
        token_budget=st.none() | st.integers(0, 5000),
        recursive=st.booleans(),
    ),
    nickname=TEXT,
    tags=st.lists(TEXT, max_size=3).map(tuple),
    creator=TEXT,
    creator_notes=TEXT,
    version=TEXT,
    extensions=st.dictionaries(st.text(max_size=8), PLAIN, max_size=3),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHARACTERS, st.sampled_from(FORMS))
def test_any_character_goes_there_and_back(character: Character, form: Form) -> None:
    assert said(read_card(write_card(character, form), "x")) == said(character)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.text(max_size=8).filter(lambda key: key not in made.TAVERN["data"]), PLAIN),
    TEXT,
    st.sampled_from(["png-v2", "png-v3", "json-v2", "json-v3"]),
)
def test_any_unknown_keys_survive_a_change_in_any_form(
    unknown: dict[str, Any], greeting: str, form: Form
) -> None:
    document = {**made.TAVERN, "data": {**made.TAVERN["data"], **unknown}}
    character = replace(read_card(made.as_json(document), "x"), greeting=greeting)
    read = read_card(write_card(character, form), "x")
    new = json.loads(write_card(read, "json-v3" if form.endswith("v3") else "json-v2"))
    assert {key: new["data"][key] for key in unknown} == unknown


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), st.integers(0, 3))
def test_any_bytes_are_a_card_or_a_sentence(raw: bytes, kind: int) -> None:
    heads = (b"", png.SIGNATURE, b"PK\x03\x04", b"{")
    try:
        assert read_card(heads[kind] + raw, "noise").name.strip()
    except WorkbenchError as error:
        assert str(error)
