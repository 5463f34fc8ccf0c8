"""A Hub of our own: the few addresses that a download needs, over real HTTP.

It remembers what was asked, with which token, and can be slow or refuse.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class Repository:
    """One model on the fake Hub."""

    files: dict[str, bytes]
    error: tuple[int, str] | None = None
    """A status and an X-Error-Code with which everything is refused without the token."""
    token: str | None = None
    pause: float = 0
    """Seconds between two blocks of a weight file."""


@dataclass
class FakeHub:
    """Serves repositories on a free port of this machine."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """METHOD and path of every request."""
    broken: int = 0
    """When set, every answer has this status."""

    def __post_init__(self) -> None:
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def clear(self) -> None:
        self.repositories.clear()
        self.asked.clear()
        self.broken = 0

    def offer(self, name: str, folder: Path, **more: Any) -> Repository:
        """Put a folder's files on the Hub, as people do: with a README beside them."""
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        files |= {"README.md": b"# A model\n", ".gitattributes": b"*.safetensors lfs\n"}
        self.repositories[name] = Repository(files, **more)
        return self.repositories[name]

    def downloads(self, ending: str = "") -> list[str]:
        """Names of the files whose contents were asked for."""
        got = [line.split()[1] for line in self.asked if line.startswith("GET ")]
        return [
            path.rsplit("/", 1)[-1] for path in got if "/resolve/" in path and path.endswith(ending)
        ]


class _Handler(BaseHTTPRequestHandler):
    owner: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.owner.asked.append(f"{self.command} {path}")
        if self.owner.broken:
            self._say(self.owner.broken, b"", {})
            return
        name, rest = _split(path)
        repository = self.owner.repositories.get(name)
        if repository is None:
            self._say(401, b"", {"X-Error-Code": "RepoNotFound"})
            return
        allowed = repository.token and self.headers["Authorization"] == f"Bearer {repository.token}"
        if repository.error and not allowed and not path.startswith("/api/"):
            status, code = repository.error
            self._say(status, b"", {"X-Error-Code": code})
        elif path.startswith("/api/") and rest.startswith("tree/"):
            self._json([_entry(file, raw) for file, raw in repository.files.items()])
        elif path.startswith("/api/") and rest.split("/")[-1] in ("", "main", COMMIT):
            self._json(_information(name, repository))
        elif path.startswith("/api/"):
            self._say(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            self._file(repository, rest.split("/", 2)[-1], body)

    def _file(self, repository: Repository, name: str, body: bool) -> None:
        raw = repository.files.get(name)
        if raw is None:
            self._say(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        headers = {"ETag": f'"{_sha(raw)}"', "X-Repo-Commit": COMMIT}
        pause = repository.pause if name.endswith(".safetensors") else 0
        self._say(200, raw, headers, body=body, pause=pause)

    def _json(self, document: Any) -> None:
        self._say(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _say(
        self,
        status: int,
        raw: bytes,
        headers: dict[str, str],
        body: bool = True,
        pause: float = 0,
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(key, value)
        self.end_headers()
        if not body or self.command == "HEAD":
            return
        try:
            for start in range(0, len(raw), 4096) if pause else [0]:
                self.wfile.write(raw[start : start + 4096] if pause else raw)
                self.wfile.flush()
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def _split(path: str) -> tuple[str, str]:
    """``/api/models/a/b/tree/main`` or ``/a/b/resolve/main/file`` -> (``a/b``, the rest)."""
    parts = path.removeprefix("/api/models").strip("/").split("/")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _information(name: str, repository: Repository) -> dict[str, Any]:
    siblings = [
        {"rfilename": file, "size": len(raw), "blobId": _sha(raw)[:40]}
        for file, raw in repository.files.items()
    ]
    return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}


def _entry(file: str, raw: bytes) -> dict[str, Any]:
    return {"type": "file", "path": file, "size": len(raw), "oid": _sha(raw)[:40]}


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
