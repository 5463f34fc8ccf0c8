"""A Gemini of our own: the REST protocol as google-genai speaks it, over real HTTP.

    python -m tests.fake_gemini --delay-ms 400 --faults 0.05

It answers in Cantonese, plays every fault a person meets (singly, from a queue, or at random),
counts requests a minute, and keeps a log of what was paid for. The same port speaks the OpenAI
protocol (``/v1/chat/completions``, ``/v1/models``). Keys are compared and forgotten.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import itertools
import json
import random
import re
import select
import socket
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import fake_talk, fake_troubles
from tests.fake_replies import (
    MODELS,
    Reply,
    card,
    gemini_prompt,
    most_tokens,
    openai_prompt,
    schema_of,
    shortened,
    thought,
    tokens,
)

HUGE = 2_000_000


@dataclass(frozen=True)
class Plan:
    """What happens to one request."""

    kind: str = "ok"
    """One of ``fake_troubles.KINDS``, or ok, written, simplified, english."""
    text: str | None = None
    """The answer, word for word; None makes one up."""
    finish: str = "STOP"
    delay: float | None = None
    """Seconds before the answer; None is the server's own."""
    retry_after: float = 1
    """What a 429 tells the caller to wait, in seconds."""


@dataclass(frozen=True)
class Asked:
    """One request, as the server remembers it."""

    number: int
    at: float
    path: str
    model: str
    body: str
    """sha256 of the bytes that came."""
    prompt: str
    """sha256 of the text that was asked, without the settings."""
    kind: str
    status: int = 0
    """0: no answer was sent."""
    tokens_in: int = 0
    tokens_out: int = 0
    """Thoughts included."""
    paid: bool = False
    """Answered 200 with tokens, to somebody who was still there."""


@dataclass
class FakeGemini:
    """Serves on a free port of this machine."""

    port: int = 0
    delay: float = 0
    """Seconds before every answer."""
    faults: float = 0
    """The share of requests that something happens to."""
    kinds: tuple[str, ...] = fake_troubles.AT_RANDOM
    seed: int = 0
    keys: tuple[str, ...] = ()
    """The keys it knows; when empty, any without "wrong" in it."""
    requests_per_minute: int = 0
    requests_per_day: int = 0
    minute: float = 60
    """Seconds of a minute; tests make it short."""
    hang: float = 20
    always: Plan | None = None
    """For every request, until it is taken away."""
    log_file: Path | None = None
    queue: collections.deque[Plan] = field(default_factory=collections.deque)
    asked: list[Asked] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    most_per_minute: int = 0
    """The most requests that came within any one minute, refused ones included."""

    def __post_init__(self) -> None:
        server = self

        class Handler(_Handler):
            owner = server

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._lock = threading.Lock()
        self._draw = random.Random(self.seed)
        self._task = 0
        self.numbers = itertools.count()
        self._served: collections.deque[float] = collections.deque()
        self._came: collections.deque[float] = collections.deque()
        self._today = 0
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> FakeGemini:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def plan(self, *plans: Plan | str) -> None:
        """What happens to the next requests, in this order."""
        self.queue.extend(Plan(one) if isinstance(one, str) else one for one in plans)

    @property
    def paid(self) -> list[Asked]:
        """What was answered and has to be paid for."""
        with self._lock:
            return [one for one in self.asked if one.paid]

    def paid_twice(self) -> list[str]:
        """Hashes of bodies that were paid for more than once."""
        counted = collections.Counter(one.body for one in self.paid)
        return [body for body, times in counted.items() if times > 1]

    def accepts(self, key: str, needed: bool) -> bool:
        """True for a key it knows; a server of one's own may need none."""
        if self.keys:
            return key in self.keys
        return "wrong" not in key and bool(key or not needed)

    def next_plan(self) -> Plan:
        """From the queue, else for ever, else by chance; limits come before all of them."""
        with self._lock:
            now = time.monotonic()
            self._came.append(now)
            _forget(self._came, now - self.minute)
            self.most_per_minute = max(self.most_per_minute, len(self._came))
            _forget(self._served, now - self.minute)
            if self.requests_per_minute and len(self._served) >= self.requests_per_minute:
                return Plan("minute", retry_after=self._served[0] + self.minute - now)
            if self.requests_per_day and self._today >= self.requests_per_day:
                return Plan("day")
            self._served.append(now)
            self._today += 1
            if self.queue:
                return self.queue.popleft()
            if self.always:
                return self.always
            if self._draw.random() < self.faults:
                return Plan(self._draw.choice(self.kinds))
            return Plan()

    def answer(self, prompt: str, schema: dict[str, Any] | None, plan: Plan) -> str:
        """The words of a reply."""
        language = plan.kind if plan.kind in ("written", "simplified", "english") else "cantonese"
        with self._lock:
            number = self._task
            if schema is None:
                text, used = fake_talk.answer(prompt, number, self.seed, language)
            else:
                value = fake_talk.filled(schema, number, self.seed, language)
                text, used = json.dumps(value, ensure_ascii=False), 60
                if plan.kind == "half":
                    text = fake_talk.half(value)
            self._task += used
        if plan.text is not None:
            return plan.text
        if plan.kind == "half" and schema is None:
            return text[: int(len(text) * 0.7)]
        if plan.kind == "huge":
            return text + "\n" + fake_talk.LINE * (HUGE // len(fake_talk.LINE))
        return fake_talk.REFUSAL if plan.kind == "refusal" else text

    def remember(self, one: Asked) -> None:
        with self._lock:
            self.asked.append(one)
            if self.log_file:
                with self.log_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(one)) + "\n")


def _forget(times: collections.deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()


class _Handler(BaseHTTPRequestHandler):
    owner: FakeGemini
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Keep the output clean, and addresses out of it."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/log":
            self._json(200, [asdict(one) for one in list(self.owner.asked)])
        elif re.fullmatch(r"/(v1|v1beta)/models", path):
            self._models()
        elif found := re.fullmatch(r"/(?:v1|v1beta)/models/([^:/]+)", path):
            known = found[1] in MODELS
            self._json(200, card(found[1])) if known else self._unknown(found[1])
        else:
            self._json(404, {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        try:
            body = json.loads(raw)
        except ValueError:
            self._fail(fake_troubles.invalid("Invalid JSON payload received."))
            return
        found = re.fullmatch(r"/(?:v1|v1beta)/models/([^:/]+):(\w+)", path)
        if path.endswith("/chat/completions"):
            self._generate(raw, body, str(body.get("model")), openai_prompt(body))
        elif not found:
            self._json(404, {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}})
        elif not self._known():
            self._fail(fake_troubles.wrong_key())
        elif found[1] not in MODELS:
            self._unknown(found[1])
        elif found[2] == "countTokens":
            self._json(200, {"totalTokens": tokens(gemini_prompt(body))})
        elif found[2] in ("generateContent", "streamGenerateContent"):
            self._generate(raw, body, found[1], gemini_prompt(body))
        else:
            self._unknown(found[1])

    # --- who asks ---

    @property
    def _openai(self) -> bool:
        return "x-goog-api-key" not in self.headers and (
            "Authorization" in self.headers or self.path.endswith("/chat/completions")
        )

    def _key(self) -> str:
        if self._openai:
            return str(self.headers.get("Authorization", "")).removeprefix("Bearer ").strip()
        given = parse_qs(urlsplit(self.path).query).get("key", [""])[0]
        return self.headers.get("x-goog-api-key") or given

    def _known(self) -> bool:
        return self.owner.accepts(self._key(), needed=not self._openai)

    def _models(self) -> None:
        if not self._known():
            self._fail(fake_troubles.wrong_key())
        elif self._openai:
            listed = [{"id": name, "object": "model", "owned_by": "fake"} for name in MODELS]
            self._json(200, {"object": "list", "data": listed})
        else:
            self._json(200, {"models": [card(name) for name in MODELS]})

    # --- one request ---

    def _generate(self, raw: bytes, body: dict[str, Any], model: str, prompt: str) -> None:
        self.owner.bodies.append(body)
        plan = self.owner.next_plan() if self._known() else Plan("wrong_key")
        one = Asked(
            number=next(self.owner.numbers),
            at=time.time(),
            path=urlsplit(self.path).path,
            model=model,
            body=hashlib.sha256(raw).hexdigest(),
            prompt=hashlib.sha256(prompt.encode()).hexdigest(),
            kind=plan.kind,
        )
        trouble = fake_troubles.trouble(plan.kind, plan.retry_after, model, self._key())
        delay = self.owner.delay if plan.delay is None else plan.delay
        if plan.kind == "hang":
            self._wait(self.owner.hang)
            self._drop(one)
        elif plan.kind == "cut" and not self._streams(body):
            self._wait(delay)
            self._begin(200, "application/json", 9999)
            self.wfile.write(b'{"candidates": [{"content": {"parts": [{"text": "')
            self._drop(one)
        elif trouble:
            self.owner.remember(replace(one, status=trouble.status))
            self._fail(trouble)
        else:
            self._speak(one, body, prompt, plan, delay)

    def _speak(
        self, one: Asked, body: dict[str, Any], prompt: str, plan: Plan, delay: float
    ) -> None:
        settings = body.get("generationConfig") or {}
        said = "" if plan.kind in fake_troubles.SILENT else self.owner.answer(
            prompt, schema_of(body), plan
        )  # fmt: skip
        thoughts = thought(settings, one.model) if not self._openai else 0
        limit = None if plan.text is not None else most_tokens(body)
        said, finish = shortened(said, thoughts, limit, plan.kind, plan.finish)
        reply = Reply(one.model, one.number, said, finish, tokens(prompt), thoughts, plan.kind)
        gone = not self._wait(delay)
        spent = reply.tokens_in + reply.tokens_out + thoughts
        self.owner.remember(
            replace(
                one,
                status=0 if gone or plan.kind == "cut" else 200,
                tokens_in=reply.tokens_in,
                tokens_out=reply.tokens_out + thoughts,
                paid=not gone and spent > 0 and plan.kind != "cut",
            )
        )
        if gone:
            self.close_connection = True
        elif self._streams(body):
            self._stream(reply, plan)
        else:
            self._json(200, reply.openai() if self._openai else reply.gemini())

    def _streams(self, body: dict[str, Any]) -> bool:
        return "streamGenerateContent" in self.path or bool(body.get("stream"))

    def _stream(self, reply: Reply, plan: Plan) -> None:
        """Server-sent events in chunks; cut off in the middle if that is the plan."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces = list(reply.openai_pieces() if self._openai else reply.gemini_pieces())
        for place, piece in enumerate(pieces):
            if plan.kind == "cut" and place >= len(pieces) // 2:
                self._close()
                return
            line = piece if isinstance(piece, str) else json.dumps(piece, ensure_ascii=False)
            event = f"data: {line}\r\n\r\n".encode()
            if not self._write(b"%x\r\n%s\r\n" % (len(event), event)):
                return
        self._write(b"0\r\n\r\n")

    # --- bytes ---

    def _wait(self, seconds: float) -> bool:
        """Pause; False as soon as the other side has hung up."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            ready, _, _ = select.select([self.connection], [], [], max(0.0, min(left, 0.05)))
            if ready and not self.connection.recv(1, socket.MSG_PEEK):
                return False
            if left <= 0 or self.owner.closing.is_set():
                return True
            if ready:  # the next request is waiting already; there is nothing to watch
                time.sleep(min(left, 0.05))

    def _drop(self, one: Asked) -> None:
        self.owner.remember(one)
        self._close()

    def _close(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _unknown(self, model: str) -> None:
        self._fail(fake_troubles.no_model(model))

    def _fail(self, trouble: fake_troubles.Trouble) -> None:
        self._json(trouble.status, trouble.openai() if self._openai else trouble.gemini(),
                   trouble.headers)  # fmt: skip

    def _json(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(document, ensure_ascii=False).encode()
        self._begin(status, "application/json; charset=UTF-8", len(raw), headers)
        self._write(raw)

    def _begin(
        self, status: int, kind: str, size: int, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(size),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def _write(self, raw: bytes) -> bool:
        try:
            self.wfile.write(raw)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True


def main() -> None:
    """Serve until Ctrl-C, and say how to reach it."""
    options = argparse.ArgumentParser(
        prog="python -m tests.fake_gemini",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--port", type=int, default=8765)
    options.add_argument("--delay-ms", type=float, default=400)
    options.add_argument("--faults", type=float, default=0.05, help="share of requests, 0 to 1")
    options.add_argument("--kinds", nargs="+", choices=fake_troubles.KINDS,
                         default=fake_troubles.AT_RANDOM, help="which faults")  # fmt: skip
    options.add_argument("--rpm", type=int, default=0, help="requests allowed a minute")
    options.add_argument("--rpd", type=int, default=0, help="requests allowed in all")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--log", type=Path, help="append what was asked to this file")
    said = options.parse_args()
    server = FakeGemini(
        port=said.port, delay=said.delay_ms / 1000, faults=said.faults, kinds=tuple(said.kinds),
        seed=said.seed, requests_per_minute=said.rpm, requests_per_day=said.rpd, log_file=said.log,
    ).start()  # fmt: skip
    print(
        f"A Gemini of our own listens at {server.address}\n"
        f"  Gemini:            base URL {server.address}      (or GOOGLE_GEMINI_BASE_URL)\n"
        f"  OpenAI-compatible: base URL {server.address}/v1\n"
        '  key: anything without "wrong" in it, for example test-key\n'
        f"  what was paid for: {server.address}/log\n"
        f"{said.delay_ms:g} ms an answer, {said.faults:.0%} faults. Ctrl-C ends it.",
        flush=True,
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
