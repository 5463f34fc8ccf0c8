"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, LM Studio, OpenAI.

httpx, which the Gemini client brings anyway, instead of the official client: that one retries
twice behind the caller's back, and here every attempt must be in the ledger.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from workbench.errors import RequestRefused, TeacherDown, WrongKey
from workbench.models.decoding import Stoppable
from workbench.prompts.teachers import (
    MOST_REPLY,
    TELL_SECONDS,
    Key,
    Options,
    Outcome,
    Reply,
    Said,
    TeacherChoice,
    without,
)

LIST_SECONDS = 20.0
DAY = ("per day", "daily", "insufficient_quota", "rpd", "tpd")


class Compatible:
    """One model of one server."""

    def __init__(self, choice: TeacherChoice, key: Key) -> None:
        self.model = choice.model
        self._key = key
        self._name = httpx.URL(choice.place).host or "The server"
        headers = {"Authorization": f"Bearer {key.value}"} if key else {}
        self._client = httpx.Client(base_url=f"{choice.place}/", headers=headers)

    def __repr__(self) -> str:
        return f"Compatible({self.model})"

    def models(self) -> list[str]:
        try:
            answer = self._client.get("models", timeout=LIST_SECONDS)
            self._raise_if_final(answer)
            answer.raise_for_status()
            return sorted(str(one["id"]) for one in answer.json()["data"])
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise TeacherDown(
                teacher=self._name, seconds=round(LIST_SECONDS), reason=type(error).__name__
            ) from None

    def ask(
        self,
        prompt: str,
        options: Options,
        schema: Mapping[str, Any] | None,
        stop: Stoppable,
        said: Said,
    ) -> Reply:
        begun = time.monotonic()
        heard = _Heard(said)
        quiet = options.timeout
        try:
            with self._client.stream(
                "POST", "chat/completions", json=self._body(prompt, options, schema),
                timeout=httpx.Timeout(quiet, connect=min(quiet, 10.0)),
            ) as answer:  # fmt: skip
                if answer.status_code >= 400:
                    answer.read()
                    self._raise_if_final(answer)
                    return self._failure(answer, heard, begun)
                for line in answer.iter_lines():
                    if not heard.take(line):
                        break
                    if stop.is_set():
                        return heard.ended("stopped", begun)
                    if time.monotonic() - begun > options.timeout:
                        return heard.ended("timeout", begun, "it did not end in time")
        except httpx.TimeoutException as error:
            return heard.ended("timeout", begun, type(error).__name__)
        except httpx.ConnectError:
            return heard.ended("5xx", begun, "no connection")
        except (httpx.HTTPError, OSError) as error:
            return heard.ended("cut", begun, type(error).__name__)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return heard.ended("malformed", begun, type(error).__name__)
        return heard.ended(heard.outcome(), begun)

    def _body(
        self, prompt: str, options: Options, schema: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": options.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if schema is not None and options.structured:
            named = {"name": "items", "schema": dict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def _failure(self, answer: httpx.Response, heard: _Heard, begun: float) -> Reply:
        reason = self._reason(answer)
        wait = _seconds(answer.headers.get("retry-after", ""))
        if answer.status_code == 429:
            spent: Outcome = "429_minute"
            if any(word in answer.text.lower() for word in DAY):
                spent = "429_day"
            return heard.ended(spent, begun, reason, wait)
        return heard.ended("5xx", begun, reason, wait)

    def _raise_if_final(self, answer: httpx.Response) -> None:
        about_key = answer.status_code == 400 and "api key" in answer.text.lower()
        if answer.status_code in (401, 403) or about_key:
            raise WrongKey(teacher=self._name)
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 409, 429):
            reason = self._reason(answer).rstrip(".")
            raise RequestRefused(teacher=self._name, code=answer.status_code, reason=reason)

    def _reason(self, answer: httpx.Response) -> str:
        try:
            said = answer.json()["error"]
            text = str(said["message"] if isinstance(said, dict) else said)
        except (ValueError, KeyError, TypeError):
            text = answer.text
        flat = " ".join(text.split())
        return without(self._key, flat)[:200] or str(answer.status_code)


class _Heard:
    """What has come of an answer so far."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._told = 0.0
        self._parts: list[str] = []
        self.length = 0
        self.finish = ""
        self.tokens_in = self.tokens_out = 0

    def take(self, line: str) -> bool:
        """One line of server-sent events; False at the end."""
        if not line.startswith("data:"):
            return True
        body = line.removeprefix("data:").strip()
        if body == "[DONE]":
            return False
        chunk = json.loads(body)
        if usage := chunk.get("usage"):
            self.tokens_in = int(usage.get("prompt_tokens") or 0)
            self.tokens_out = int(usage.get("completion_tokens") or 0)
        for choice in (chunk.get("choices") or [])[:1]:
            self.finish = choice.get("finish_reason") or self.finish
            fresh = (choice.get("delta") or {}).get("content") or ""
            if fresh:
                self._parts.append(fresh)
                self.length += len(fresh)
                self._tell()
        return self.length <= MOST_REPLY

    def _tell(self) -> None:
        """Now and then: to join two megabytes at every word would take longer than the answer."""
        if time.monotonic() - self._told > TELL_SECONDS:
            self._said("".join(self._parts))
            self._told = time.monotonic()

    def outcome(self) -> Outcome:
        if self.finish == "content_filter":
            return "blocked"
        if self.finish == "length":
            return "truncated"
        if not self.length:
            return "empty"
        return "ok" if self.finish else "cut"

    def ended(self, outcome: Outcome, begun: float, reason: str = "", wait: float = 0.0) -> Reply:
        text = "".join(self._parts)[:MOST_REPLY]
        self._said(text)
        return Reply(
            outcome, text, self.finish, self.tokens_in,
            self.tokens_out, time.monotonic() - begun, wait, reason,
        )  # fmt: skip


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
