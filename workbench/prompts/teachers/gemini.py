"""Gemini through google-genai: one attempt, streamed, with everything it may answer told apart.

The library retries nothing unless told and passes over the server's ``retryDelay``, so both are
read here. Its answers have odd corners: a blocked prompt has no candidates, a blocked answer has
a candidate without text, and a quota says by its name whether the minute or the day is spent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import httpx

from workbench.errors import RequestRefused, TeacherDown, WorkbenchError, WrongKey
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

TEACHER = "Gemini"
CATEGORIES = (
    "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH", "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT", "HARM_CATEGORY_CIVIC_INTEGRITY",
)  # fmt: skip
BLOCKS = (
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "OTHER",
    "MODEL_ARMOR", "JAILBREAK", "IMAGE_SAFETY",
)  # fmt: skip
LIST_SECONDS = 20.0
_DELAY = re.compile(r"([0-9.]+)s")


class Gemini:
    """One model of the Gemini API, or of a server that speaks like it."""

    def __init__(self, choice: TeacherChoice, key: Key) -> None:
        from google import genai
        from google.genai import types

        self.model = choice.label
        self._key = key
        self._client = genai.Client(
            api_key=key.value,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=choice.place,
                httpx_client=httpx.Client(follow_redirects=False, trust_env=True),
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )

    def __repr__(self) -> str:
        return f"Gemini({self.model})"

    def models(self) -> list[str]:
        from google.genai import errors, types

        options = types.HttpOptions(timeout=int(LIST_SECONDS * 1000))
        config = types.ListModelsConfig(http_options=options)
        try:
            listed = list(self._client.models.list(config=config))
        except errors.APIError as error:
            self._raise_if_final(error)
            raise TeacherDown(
                teacher=TEACHER, seconds=round(LIST_SECONDS), reason=self._reason(error)
            ) from None
        except (httpx.HTTPError, OSError) as error:
            raise TeacherDown(
                teacher=TEACHER, seconds=round(LIST_SECONDS), reason=type(error).__name__
            ) from None
        answering = (
            one
            for one in listed
            if "generateContent" in (one.supported_actions or ["generateContent"])
        )
        return sorted((one.name or "").removeprefix("models/") for one in answering)

    def ask(
        self,
        prompt: str,
        options: Options,
        schema: Mapping[str, Any] | None,
        stop: Stoppable,
        said: Said,
    ) -> Reply:
        from google.genai import errors

        begun = time.monotonic()
        heard = _Heard(said)
        try:
            stream = self._client.models.generate_content_stream(
                model=self.model, contents=prompt, config=self._config(options, schema)
            )
            for chunk in stream:
                heard.take(chunk)
                if stop.is_set():
                    return heard.ended("stopped", begun)
                if time.monotonic() - begun > options.timeout:
                    return heard.ended("timeout", begun, "it did not end in time")
                if heard.length > MOST_REPLY:
                    break
        except errors.APIError as error:
            return self._failure(error, heard, begun)
        except httpx.TimeoutException as error:
            return heard.ended("timeout", begun, type(error).__name__)
        except httpx.ConnectError:
            return heard.ended("5xx", begun, "no connection")
        except (httpx.HTTPError, OSError) as error:
            return heard.ended("cut", begun, type(error).__name__)
        except WorkbenchError:
            raise
        except Exception as error:  # half a JSON, or an answer that is no JSON at all
            return heard.ended("malformed", begun, type(error).__name__)
        return heard.ended(heard.outcome(), begun)

    def _config(self, options: Options, schema: Mapping[str, Any] | None) -> Any:
        from google.genai import types

        chosen: dict[str, Any] = {}
        if options.safety != "default":
            chosen["safety_settings"] = [
                types.SafetySetting(
                    category=types.HarmCategory(category),
                    threshold=types.HarmBlockThreshold(options.safety),
                )
                for category in CATEGORIES
            ]
        if options.thinking >= 0:
            chosen["thinking_config"] = types.ThinkingConfig(thinking_budget=options.thinking)
        if schema is not None and options.structured:
            chosen["response_mime_type"] = "application/json"
            chosen["response_json_schema"] = dict(schema)
        return types.GenerateContentConfig(
            temperature=options.temperature,
            top_p=options.top_p,
            max_output_tokens=options.max_tokens,
            http_options=types.HttpOptions(timeout=int(options.timeout * 1000)),
            **chosen,
        )

    def _failure(self, error: Any, heard: _Heard, begun: float) -> Reply:
        """What an error of the service means."""
        self._raise_if_final(error)
        code = int(error.code or 0)
        reason = self._reason(error)
        if code == 429:
            outcome: Outcome = "429_day" if _is_daily(error.details) else "429_minute"
            return heard.ended(outcome, begun, reason, wait=_delay(error.details))
        if code in (408, 504):
            return heard.ended("timeout" if code == 408 else "5xx", begun, reason)
        return heard.ended("5xx", begun, reason, wait=_delay(error.details))

    def _raise_if_final(self, error: Any) -> None:
        code = int(error.code or 0)
        said = f"{error.status} {error.message} {error.details}"
        if code in (401, 403) or (code == 400 and "API_KEY" in said.upper().replace(" ", "_")):
            raise WrongKey(teacher=TEACHER) from None
        if 400 <= code < 500 and code not in (408, 409, 429):
            raise RequestRefused(
                teacher=TEACHER, code=code, reason=self._reason(error).rstrip(".")
            ) from None

    def _reason(self, error: Any) -> str:
        text = " ".join(str(error.message or error.status or error.code).split())
        return without(self._key, text)[:200] or str(error.code)


class _Heard:
    """What has come of an answer so far."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._told = 0.0
        self._parts: list[str] = []
        self.length = 0
        self.finish = ""
        self.blocked = ""
        self.tokens_in = self.tokens_out = 0

    def take(self, chunk: Any) -> None:
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            self.blocked = _named(feedback.block_reason)
        usage = chunk.usage_metadata
        if usage is not None:
            self.tokens_in = usage.prompt_token_count or self.tokens_in
            answered = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
            self.tokens_out = answered or self.tokens_out
        for candidate in (chunk.candidates or [])[:1]:
            if candidate.finish_reason is not None:
                self.finish = _named(candidate.finish_reason)
            parts = (candidate.content.parts if candidate.content else None) or []
            fresh = "".join(part.text or "" for part in parts if not part.thought)
            if fresh:
                self._parts.append(fresh)
                self.length += len(fresh)
                self._tell()

    def _tell(self) -> None:
        """Now and then: to join two megabytes at every word would take longer than the answer."""
        if time.monotonic() - self._told > TELL_SECONDS:
            self._said("".join(self._parts))
            self._told = time.monotonic()

    def outcome(self) -> Outcome:
        if self.blocked or self.finish in BLOCKS:
            return "blocked"
        if self.finish == "MAX_TOKENS":
            return "truncated"
        if not self.length:
            return "empty"
        if not self.finish:
            return "cut"
        return "ok" if self.finish == "STOP" else "malformed"

    def ended(self, outcome: Outcome, begun: float, reason: str = "", wait: float = 0.0) -> Reply:
        text = "".join(self._parts)[:MOST_REPLY]
        self._said(text)
        return Reply(
            outcome, text, self.blocked or self.finish,
            self.tokens_in, self.tokens_out, time.monotonic() - begun, wait, reason,
        )  # fmt: skip


def _named(reason: Any) -> str:
    return str(getattr(reason, "value", reason))


def _details(error: Any) -> list[dict[str, Any]]:
    inner = error.get("error", error) if isinstance(error, dict) else {}
    listed = inner.get("details") if isinstance(inner, dict) else None
    return [one for one in listed or [] if isinstance(one, dict)]


def _delay(error: Any) -> float:
    """Seconds that the server asks to wait, 0 where it does not say."""
    for detail in _details(error):
        found = _DELAY.fullmatch(str(detail.get("retryDelay", "")))
        if found:
            return float(found[1])
    return 0.0


def _is_daily(error: Any) -> bool:
    """Which quota is spent is told by its name: GenerateRequestsPerDayPerProjectPerModel."""
    for detail in _details(error):
        for violation in detail.get("violations") or []:
            said = f"{violation.get('quotaId', '')} {violation.get('quotaMetric', '')}"
            if re.search(r"per_?day|daily", said, re.IGNORECASE):
                return True
    return False
