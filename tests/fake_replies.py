"""How an answer is written in the two protocols, and what a request says in each.

Knows JSON; ``fake_gemini`` knows HTTP.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MODELS = ("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro")
BLOCK = 60
"""Characters of a piece of a streamed answer."""
THOUGHTS = 40


def tokens(text: str) -> int:
    """About as Gemini counts: two Han characters in three are a token, four letters are one."""
    han = len(re.findall("[㐀-鿿]", text))
    return (2 * han + 2) // 3 + (len(text) - han + 3) // 4


@dataclass(frozen=True)
class Reply:
    """An answer, and how either protocol writes it."""

    model: str
    number: int
    text: str
    finish: str
    tokens_in: int
    thoughts: int
    kind: str

    @property
    def tokens_out(self) -> int:
        return tokens(self.text)

    def usage(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "promptTokenCount": self.tokens_in,
            "candidatesTokenCount": self.tokens_out,
            "totalTokenCount": self.tokens_in + self.tokens_out + self.thoughts,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": self.tokens_in}],
        }
        if self.thoughts:
            said["thoughtsTokenCount"] = self.thoughts
        if not self.tokens_out:
            del said["candidatesTokenCount"]
        return said

    def gemini(self, text: str | None = None, last: bool = True) -> dict[str, Any]:
        said: dict[str, Any] = {
            "usageMetadata": self.usage(),
            "modelVersion": self.model,
            "responseId": f"fake-{self.number}",
        }
        if self.kind == "blocked":
            return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **said}
        if self.kind == "no_candidates":
            return said
        words = self.text if text is None else text
        candidate: dict[str, Any] = {"index": 0}
        if words:
            candidate["content"] = {"parts": [{"text": words}], "role": "model"}
        elif self.kind == "empty":
            candidate["content"] = {"role": "model"}
        if last:
            candidate["finishReason"] = self.finish
        if self.kind == "safety":
            candidate["safetyRatings"] = [
                {
                    "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
                    "probability": "HIGH",
                    "blocked": True,
                }
            ]
        return {"candidates": [candidate], **said}

    def gemini_pieces(self) -> Iterator[dict[str, Any]]:
        starts = list(range(0, len(self.text), BLOCK)) or [0]
        for start in starts:
            yield self.gemini(self.text[start : start + BLOCK], start == starts[-1])

    def openai(self) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.text or None},
            "finish_reason": self._openai_finish,
        }
        silent = self.kind in ("no_candidates", "blocked")
        return {**self._openai_head("chat.completion"), "choices": [] if silent else [choice],
                "usage": self._openai_usage}  # fmt: skip

    def openai_pieces(self) -> Iterator[Any]:
        head = self._openai_head("chat.completion.chunk")
        for start in range(0, len(self.text), BLOCK):
            delta = {"content": self.text[start : start + BLOCK]}
            yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        last = {"index": 0, "delta": {}, "finish_reason": self._openai_finish}
        yield {**head, "choices": [last], "usage": self._openai_usage}
        yield "[DONE]"

    def _openai_head(self, kind: str) -> dict[str, Any]:
        return {"id": f"fake-{self.number}", "object": kind, "created": int(time.time()),
                "model": self.model}  # fmt: skip

    @property
    def _openai_finish(self) -> str:
        filters = {
            "MAX_TOKENS": "length",
            "SAFETY": "content_filter",
            "RECITATION": "content_filter",
        }
        return filters.get(self.finish, "stop")

    @property
    def _openai_usage(self) -> dict[str, int]:
        return {"prompt_tokens": self.tokens_in, "completion_tokens": self.tokens_out,
                "total_tokens": self.tokens_in + self.tokens_out}  # fmt: skip


def card(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": True,
    }


def gemini_prompt(body: dict[str, Any]) -> str:
    said = [body.get("systemInstruction") or {}, *(body.get("contents") or [])]
    return "\n".join(
        part["text"] for one in said for part in one.get("parts") or [] if part.get("text")
    )


def openai_prompt(body: dict[str, Any]) -> str:
    return "\n".join(str(one.get("content") or "") for one in body.get("messages") or [])


def schema_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """What structured output was asked for, in any of the three spellings."""
    settings = body.get("generationConfig") or {}
    asked = (body.get("response_format") or {}).get("json_schema") or {}
    found = settings.get("responseJsonSchema") or settings.get("responseSchema")
    schema: dict[str, Any] | None = found or asked.get("schema")
    return schema


def thought(settings: dict[str, Any], model: str) -> int:
    """Tokens thought; google-genai 3.4.0 spells the budget with an underscore."""
    wanted = settings.get("thinkingConfig") or {}
    budget = wanted.get("thinkingBudget", wanted.get("thinking_budget", -1))
    if budget == 0 and "pro" not in model:
        return 0
    return THOUGHTS if budget in (-1, 0) else min(THOUGHTS, int(budget))


def most_tokens(body: dict[str, Any]) -> int | None:
    settings = body.get("generationConfig") or {}
    asked = settings.get("maxOutputTokens") or body.get("max_tokens")
    found: int | None = asked or body.get("max_completion_tokens")
    return found


def shortened(
    said: str, thoughts: int, most: int | None, kind: str, finish: str
) -> tuple[str, str]:
    """Cut where the tokens end; thoughts are spent first, as Gemini does."""
    if kind == "max_tokens":
        return said[: len(said) // 2], "MAX_TOKENS"
    finish = {"safety": "SAFETY", "recitation": "RECITATION"}.get(kind, finish)
    if most is None or thoughts + tokens(said) <= most:
        return said, finish
    low, high = 0, len(said)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if tokens(said[:middle]) <= most - thoughts else (low, middle - 1)
        )
    return said[:low], "MAX_TOKENS"
