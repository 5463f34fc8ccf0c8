"""What is sent to a Space: exactly what runs, with no keys, in one commit."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def _module() -> Any:
    """``spaces`` is no package, so that it does not shadow the one Gradio imports."""
    spec = importlib.util.spec_from_file_location("deploy", ROOT / "spaces/deploy.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["deploy"] = module
    spec.loader.exec_module(module)
    return module


deploy = _module()


def planned(*more: str) -> Any:
    return deploy.plan(deploy.options_of(["--repo", "me/trilogy", *more]))


def test_the_files_are_what_runs_and_nothing_else() -> None:
    files = planned().files
    assert {"app.py", "README.md", "requirements.txt", "tabs/compare.py"} <= files.keys()
    heads = {path.split("/")[0] for path in files}
    assert heads == {
        "app.py",
        "LICENSE",
        "README.md",
        "requirements.txt",
        "workbench",
        "tabs",
        "assets",
    }
    assert not any("__pycache__" in path or "/." in path for path in files)
    assert not any(path.startswith(("workspace", "shared", "tests", "spaces")) for path in files)


def test_every_tracked_file_of_those_folders_is_sent() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "workbench", "tabs", "assets"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(tracked) - planned().files.keys() == set()


def test_links_hidden_files_and_odd_endings_stay_here(tmp_path: Path) -> None:
    for name in deploy.FILES:
        (tmp_path / name).write_text("x")
    for folder in deploy.FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "assets/link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "assets/.env").write_text("x")
    (tmp_path / "assets/model.safetensors").write_text("x")
    (tmp_path / "assets/fine.txt").write_text("x")
    assert set(deploy.collect(tmp_path)) == {*deploy.FILES, "assets/fine.txt"}


def test_a_file_with_a_key_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = deploy.collect(ROOT)
    key = b"token = 'hf_" + b"a" * 34 + b"'"
    monkeypatch.setattr(deploy, "collect", lambda root: {**whole, "assets/note.txt": key})
    with pytest.raises(deploy.Refused, match=r"assets/note.txt seems to hold a key"):
        planned()


def test_the_front_matter_is_what_the_hub_expects() -> None:
    text = planned("--title", 'My "own"').files["README.md"].decode()
    front = yaml.safe_load(text.split("---")[1])
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py"
    assert front["hf_oauth"] is True and front["title"] == "My 'own'"
    assert front["python_version"] == "3.12"
    pins = (ROOT / "requirements.txt").read_text()
    assert f"gradio=={front['sdk_version']}" in pins
    assert len(front["short_description"]) <= 60
    assert "{" not in text


@pytest.mark.parametrize(("hardware", "kind"), [("cpu-basic", "cpu"), ("t4-small", "gpu")])
def test_what_a_space_installs_is_what_everything_is_tested_with(hardware: str, kind: str) -> None:
    def pins(text: str) -> dict[str, str]:
        found = re.findall(r"^([\w.\-]+)(?:\[\w+\])?==([\w.]+)", text, re.MULTILINE)
        return dict(found)

    sent = pins(planned("--hardware", hardware).files["requirements.txt"].decode())
    assert sent == pins((ROOT / "requirements.txt").read_text())
    assert "gradio[oauth]" in planned("--hardware", hardware).files["requirements.txt"].decode()


def test_zerogpu_installs_the_torch_that_it_has_and_else_the_same() -> None:
    def lines(hardware: str) -> list[str]:
        sent: bytes = planned("--hardware", hardware).files["requirements.txt"]
        return [line for line in sent.decode().splitlines() if not line.startswith("#")]

    zero, gpu = lines("zero-a10g"), lines("t4-small")
    apart = [(one, other) for one, other in zip(zero, gpu, strict=True) if one != other]
    assert [one.split("==")[0] for pair in apart for one in pair] == ["torch", "torch"]
    minor = int(apart[0][0].split("==2.")[1].split(".")[0])
    assert 8 <= minor <= 11


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--repo", "nobody"], "OWNER/NAME"),
        (["--repo", "../x/y"], "OWNER/NAME"),
        (["--repo", "a/b", "--secret", "HF_TOKEN=hf_abc"], "never its value"),
    ],
)
def test_a_wrong_wish_is_one_sentence(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(options) == 2
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said


def test_a_dry_run_lists_and_sends_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "send", lambda *_: pytest.fail("it sent something"))
    options = ["--repo", "me/trilogy", "--dry-run", "--secret", "HF_TOKEN", "--allow", "a/b"]
    assert deploy.main(options) == 0
    said = capsys.readouterr().out
    assert "  app.py" in said and "  workbench/rights.py" in said
    assert "secret    HF_TOKEN: set its value on" in said
    assert said.rstrip().endswith("Nothing was sent.")


class Hub(ThreadingHTTPServer):
    """The few addresses of the Hub that a deploy needs; remembers what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.came: list[tuple[str, str, bytes]] = []


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def _take(self) -> bytes:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.came.append((self.command, self.path, raw))  # type: ignore[attr-defined]
        return raw

    def _say(self, document: Any) -> None:
        raw = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        self._take()
        old = [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in
               ("app.py", "old.py", ".gitattributes")]  # fmt: skip
        files = [{"rfilename": one["path"]} for one in old]
        self._say(old if "/tree/" in self.path else {"id": "me/trilogy", "siblings": files})

    def do_POST(self) -> None:
        raw = self._take()
        if self.path.endswith("/preupload/main"):
            common = {"uploadMode": "regular", "shouldIgnore": False}
            asked = [one["path"] for one in json.loads(raw)["files"]]
            self._say({"files": [{"path": path, **common} for path in asked]})
        elif "/commit/" in self.path:
            self._say({"commitOid": "0" * 40, "commitUrl": f"{self._space()}/commit/0"})
        elif self.path.endswith("/variables"):
            self._say({})
        else:
            self._say({"url": self._space(), "stage": "BUILDING", "hardware": {}})

    def _space(self) -> str:
        return f"http://{self.headers['host']}/spaces/me/trilogy"


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_one_commit_holds_exactly_the_planned_files(hub: Hub) -> None:
    from huggingface_hub import HfApi

    todo = planned("--hardware", "t4-small", "--allow", "a/b", "--owner", "me")
    api = HfApi(endpoint=f"http://127.0.0.1:{hub.server_port}", token="hf_test")
    assert deploy.send(todo, api, private=True).endswith("/spaces/me/trilogy")
    commits = [raw for _, path, raw in hub.came if "/commit/" in path]
    assert len(commits) == 1
    lines = [json.loads(line) for line in commits[0].decode().splitlines()]
    sent = {
        one["value"]["path"]: base64.b64decode(one["value"]["content"])
        for one in lines if one["key"] == "file"
    }  # fmt: skip
    assert sent == todo.files
    assert [one["value"]["path"] for one in lines if one["key"] == "deletedFile"] == ["old.py"]
    made = next(raw for _, path, raw in hub.came if path.endswith("/repos/create"))
    assert json.loads(made)["visibility"] == "private"
    told = b"".join(raw for _, path, raw in hub.came if "variables" in path)
    assert b"TRILOGY_ALLOWED_MODELS" in told and b"TRILOGY_SPACE_OWNER" in told
    assert any("hardware" in path for _, path, _ in hub.came)
    assert not any("secrets" in path for _, path, _ in hub.came)
