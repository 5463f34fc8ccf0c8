"""One test for each known class of hole in this field's apps, through what anybody can call.

Many are held more closely beside the code that closes them; here the list is whole.
"""

from __future__ import annotations

import ast
import csv
import http.server
import io
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import build, launch_options
from tabs import _serve
from tabs._asking import signed_in
from tabs._data_rows import conversation
from tabs._shared import House, failed, notice
from tests.data.bad_files import zip_bomb
from tests.data.desk import dataset_of, talk
from tests.security.serving import Caller, Served, served
from workbench import logs
from workbench.compare.history import History, Identity, export
from workbench.data.going_out import export_dataset
from workbench.data.hub import HubRequest
from workbench.data.importing import look
from workbench.errors import (
    BadReference,
    BadSettings,
    BadTemplate,
    DatasetUnavailable,
    FileTooLarge,
    InvalidName,
    LockedOut,
    ModelNotFound,
    NeedsRemoteCode,
    PickleWeights,
    WorkbenchError,
)
from workbench.models.check import check_folder
from workbench.models.reference import ModelReference
from workbench.models.tokenizer import rendered
from workbench.rights import Keys
from workbench.settings import Settings
from workbench.texts import HubColumn
from workbench.tune import checkpoints
from workbench.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_thisIsTheOwnersToken123"
ADDRESSES = (
    "http://127.0.0.1/", "http://169.254.169.254/latest/meta-data", "https://[::1]/",
    "//localhost/a", "file:///etc/passwd", "http://2130706433/", "a/b/../../../etc", "/etc", "../a",
)  # fmt: skip


class Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("house")
    settings = Settings(workspace=root, share=True, guest_upload_mb=0.2, hub_token=TOKEN)
    with served(settings) as running:
        yield running


# code and weights from strangers


def test_code_that_a_model_brings_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    config = {"model_type": "odd", "auto_map": {"AutoConfig": "code.C"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "code.py").write_text(f"open({str(mark)!r}, 'w')\nclass C: pass\n")
    with pytest.raises(NeedsRemoteCode):
        check_folder(tmp_path, "it", trust_remote_code=False)
    assert not mark.exists()


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    with pytest.raises(PickleWeights):
        check_folder(tmp_path, "it", trust_remote_code=False)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_that_was_tampered_with_is_not_resumed(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, 10, lambda folder: _put(folder / "optimizer.pt", b"fine"))
    checkpoints.write(tmp_path, 20, lambda folder: _put(folder / "optimizer.pt", b"fine"))
    evil = pickle.dumps(Trap(tmp_path / "ran"))
    (tmp_path / "step-000020" / "optimizer.pt").write_bytes(evil)
    found, damaged = checkpoints.newest_verified(tmp_path)
    assert found and found.step == 10 and len(damaged) == 1
    assert not (tmp_path / "ran").exists()


def _put(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def test_nothing_unpickles_by_itself() -> None:
    """``torch.load`` reads weights only, unless told otherwise, and nothing here tells it so."""
    for path in (ROOT / "workbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "weights_only":
                assert getattr(node.value, "value", None) is not False, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                assert called not in {"pickle.load", "pickle.loads", "yaml.unsafe_load"}, path


# names


@pytest.mark.parametrize(
    "name", ["../a", "a/b", "/etc", "..", ".hidden", "a\\b", "a\0b", "", "con", "x" * 81, "a\nb"]
)
def test_no_name_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path)
    for place in (workspace.dataset, workspace.run):
        with pytest.raises(InvalidName):
            place(name)


@pytest.mark.parametrize("name", ["; rm -rf ~", "$(id)", "`id`", "a && b", "a | b", "--flag x"])
def test_shell_characters_are_no_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidName):
        Workspace(tmp_path).run(name)


def test_nothing_starts_a_shell() -> None:
    for path in [*(ROOT / "workbench").rglob("*.py"), *(ROOT / "tabs").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.keyword) and node.arg == "shell"), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert f"{node.value.id}.{node.attr}" not in {"os.system", "os.popen"}, path


# requests that the server is made to send


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_name_of_a_model_or_dataset_can_be_an_address(address: str) -> None:
    with pytest.raises(WorkbenchError):
        HubColumn(address)
    with pytest.raises(DatasetUnavailable):
        HubRequest(address)
    if not address.startswith("file:"):
        with pytest.raises(BadReference):
            ModelReference.parse(address)


def test_a_folder_of_this_machine_is_no_dataset_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "private").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for ask in (HubColumn, HubRequest):
        with pytest.raises(DatasetUnavailable, match="OWNER/NAME"):
            ask("owner/private")


def test_a_guests_file_cannot_be_an_address_of_this_machine(house: Served) -> None:
    asked: list[str] = []

    class Inner(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"secret")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inner)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        number = next(
            n for n, event in house.page.fns.items()
            if event.fn is not None and event.fn.__qualname__.endswith(".look_at")
        )  # fmt: skip
        for path in (f"http://127.0.0.1:{server.server_port}/in", "/etc/passwd"):
            file = {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}
            heard = house.guest().call(number, ["en", file])
            assert not heard.went_well
            assert "secret" not in heard.text and "root:" not in heard.text
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_only_the_modules_that_ask_teachers_open_connections() -> None:
    """A new one must take only names, or addresses that the owner named."""
    known = {f"workbench/prompts/teachers/{name}.py" for name in ("compatible", "gemini")}
    for path in (ROOT / "workbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            opens = {"urllib.request", "requests", "httpx", "http.client", "aiohttp", "socket"}
            if opens & set(names):
                assert str(path.relative_to(ROOT)) in known, path


# templates and text from strangers


def test_a_template_that_never_ends_is_given_up_and_one_cannot_reach_python() -> None:
    from tests import tiny

    tokenizer = tiny.characters()
    talk_ = [{"role": "user", "content": "hi"}]
    tokenizer.chat_template = (
        "{% for a in range(10**9) %}{% for b in range(10**9) %}{% endfor %}{% endfor %}"
    )
    with pytest.raises(BadTemplate):
        rendered(tokenizer, talk_)
    tokenizer.chat_template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(BadTemplate):
        rendered(tokenizer, talk_)


def test_what_strangers_wrote_is_shown_as_text() -> None:
    evil = '<img src="http://evil.example/x.png" onerror="alert(1)"><script>alert(1)</script>'
    pages = (
        conversation("en", talk(evil, evil), [], 700),
        notice("info", evil),
        failed("en", ModelNotFound(model=evil)),
    )
    for page in pages:
        assert "<img" not in page and "<script" not in page


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_opens_holds_no_formula(tmp_path: Path, start: str) -> None:
    evil = f"{start}cmd|'/c calc'!A1"
    history = History(tmp_path / "results.sqlite")
    identity = Identity("continuation", evil, None, "f", "fp32", "cpu", evil, "0" * 64, {})
    history.add(identity, {"prompt": evil})
    written = export(history.search(), "csv")
    dataset = dataset_of([talk(evil, evil)], Workspace(tmp_path))
    out = tmp_path / "rows.csv"
    list(export_dataset(dataset, out, "csv", "", threading.Event()))
    for text in (written, out.read_text("utf-8")):
        for row in csv.reader(io.StringIO(text)):
            assert not any(cell.startswith(("=", "+", "@", "\t", "\r", "-c")) for cell in row)


# keys


def test_the_owners_keys_are_in_nothing_that_leaves(house: Served) -> None:
    settings = house.house.settings
    config = httpx.get(f"{house.url}/config").text
    front = httpx.get(house.url).text
    for text in (config, front, repr(settings), settings.model_dump_json(), str(house.house)):
        assert TOKEN not in text
    hidden = logs.hide_secrets(None, "info", {"said": f"with {TOKEN}", "owner_token": "abc"})
    assert TOKEN not in str(hidden) and "abc" not in str(hidden)
    assert launch_options(settings)["run_history"] is False


def test_a_guests_request_never_carries_the_owners_token(house: Served) -> None:
    assert house.house.settings_for().token is None
    assert house.house.settings.token == TOKEN


# the door


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_another_site_cannot_call(house: Served, headers: dict[str, str]) -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/owner"):
        answer = httpx.post(house.url + path, json={}, headers=headers)
        assert answer.status_code == 403
    same = httpx.post(f"{house.url}/gradio_api/queue/join", json={}, headers={"Origin": house.url})
    assert same.status_code != 403


def test_at_home_another_name_for_this_machine_is_not_answered(tmp_path: Path) -> None:
    """A site may give its own name the address 127.0.0.1 and call from the owner's browser."""
    with served(Settings(workspace=tmp_path)) as at_home:
        assert httpx.get(at_home.url).status_code == 200
        assert httpx.get(at_home.url, headers={"Host": "evil.example"}).status_code == 421


def test_a_token_cannot_be_tried_until_it_fits() -> None:
    now = [0.0]
    keys = Keys(b"secret", clock=lambda: now[0])
    token = keys.issue()
    for _ in range(5):
        assert keys.redeem("wrong", "here") is None
    with pytest.raises(LockedOut):
        keys.redeem(token, "here")
    now[0] = 61.0
    assert keys.is_owner(keys.redeem(token, "here"))
    assert keys.redeem(token, "here") is None, "it works once"
    assert not keys.is_owner("guessed") and not keys.is_owner(None)


def test_wrong_tokens_by_http_end_in_a_lock(tmp_path: Path) -> None:
    with served(Settings(workspace=tmp_path, share=True)) as shared:
        token = shared.house.keys.issue()
        answers = [httpx.post(f"{shared.url}/owner", content="wrong") for _ in range(6)]
        assert [one.status_code for one in answers] == [403] * 5 + [429]
        assert httpx.post(f"{shared.url}/owner", content=token).status_code == 429
        assert "set-cookie" not in answers[-1].headers


def test_the_owners_cookie_cannot_be_read_by_scripts(house: Served) -> None:
    answer = httpx.post(f"{house.url}/owner", content=house.house.keys.issue())
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie
    behind = {"x-forwarded-proto": "https"}
    answer = httpx.post(f"{house.url}/owner", content=house.house.keys.issue(), headers=behind)
    assert "; Secure" in answer.headers["set-cookie"]


def test_every_answer_forbids_the_page_to_fetch_elsewhere(house: Served) -> None:
    for path in ("/", "/config", "/gradio_api/queue/data", "/owner", "/nowhere"):
        headers = httpx.get(house.url + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "connect-src 'self'" in policy
        assert "http:" not in policy and "https:" not in policy and "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["vibe-edit/", "proxy=http://127.0.0.1/", "process_recording", "runs", "file=/etc/passwd",
     "file=../../../../etc/passwd", "file=app.py"],
)  # fmt: skip
def test_routes_that_nothing_uses_are_closed(house: Served, path: str) -> None:
    answer = house.guest().client.get(f"/gradio_api/{path}")
    assert answer.status_code in (403, 404, 405)
    assert "root:" not in answer.text


# too much


def test_a_guest_cannot_bring_more_than_is_allowed(house: Served) -> None:
    much = b"x" * 300_000
    guest, owner = house.guest(), house.owner()
    assert _upload(guest, much).status_code == 413
    assert _upload(guest, b"x").status_code == 200
    assert _upload(owner, much).status_code == 200


def test_an_upload_that_hides_its_length_is_cut_off(house: Served) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(100):
            yield b"x" * 10_000
        yield b"\r\n--b--\r\n"

    try:
        status = house.guest().client.post("/gradio_api/upload", content=body(), headers=kind)
        assert status.status_code >= 400
    except httpx.HTTPError:
        pass  # the connection was closed, which is as good


def _upload(caller: Caller, raw: bytes) -> httpx.Response:
    return caller.client.post("/gradio_api/upload", files={"files": ("a.txt", raw)})


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    zip_bomb(tmp_path / "bomb.zip")
    with pytest.raises(FileTooLarge):
        look(tmp_path / "bomb.zip", Settings(max_data_mb=50))


# starting open to all


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_owner_rights_are_never_open_to_all(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings, match="--share"):
        _serve.check(Settings(host=host))
    _serve.check(Settings(host=host, share=True))
    _serve.check(Settings(host="127.0.0.1"))
    monkeypatch.setenv("GRADIO_SERVER_NAME", host)
    with pytest.raises(BadSettings):
        _serve.check(Settings())


def test_agents_are_served_only_with_what_that_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_serve, "find_spec", lambda name: None)
    with pytest.raises(BadSettings, match=r"gradio\[mcp\]"):
        _serve.check(Settings(mcp=True))


def test_gradios_own_ways_to_open_the_page_are_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_SHARE", "True")
    assert launch_options(Settings(workspace=tmp_path))["share"] is False


def test_nobody_is_signed_in_by_a_header() -> None:
    import gradio as gr

    assert signed_in(gr.Request(session_hash="a", headers={"x-user": "owner"})) is None


def test_only_chosen_tabs_have_events(tmp_path: Path) -> None:
    page = build(Settings(workspace=tmp_path, demo="chat,compare"))
    modules = {event.fn.__module__ for event in page.fns.values() if event.fn is not None}
    assert not any("tune" in name or "data" in name or "prompts" in name for name in modules)
    with pytest.raises(BadSettings, match="no tab"):
        from workbench.settings import load

        load(demo="kitchen")


def test_two_houses_of_one_machine_do_not_share_a_session(tmp_path: Path) -> None:
    one = House.build(Settings(workspace=tmp_path / "a", share=True))
    other = House.build(Settings(workspace=tmp_path / "b", share=True))
    assert one.keys.owner_cookie != other.keys.owner_cookie
    assert not other.keys.is_owner(one.keys.redeem(one.keys.issue(), "here"))
    assert other.keys.guest(one.keys.name_guest()) is None


def test_a_guest_cannot_have_a_model_of_the_hub_loaded_by_another_way(house: Served) -> None:
    """The embedding of the Duplicates part is a model too."""
    event_of = {
        event.fn.__qualname__: (number, event)
        for number, event in house.page.fns.items()
        if event.fn is not None and event.fn.__module__ == "tabs._data_alike"
    }
    number, event = event_of["build_alike.<locals>.look"]
    asked = {"alike-method": "meaning", "alike-part": "whole"}
    values = [asked.get(one.elem_id or "") for one in event.inputs]
    values[0], values[5], values[6] = "en", "somebody/model", 0.95
    assert "Only the owner" in house.guest().call(number, values).text
