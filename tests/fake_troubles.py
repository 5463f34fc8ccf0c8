"""What can go wrong at Gemini, word for word as it says so, and in the OpenAI protocol.

The bodies have the fields of google.rpc (ErrorInfo, QuotaFailure, RetryInfo). Knows errors;
``fake_gemini`` decides when they happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SILENT = ("no_candidates", "blocked", "safety", "recitation", "empty")
"""Answered 200, without a word."""
STATUS = (
    "wrong_key", "forbidden", "key_echoed", "minute", "day", "internal", "unavailable", "not_json",
)  # fmt: skip
WORDS = ("written", "simplified", "english", "refusal", "max_tokens", "half", "huge")
KINDS = (*STATUS, *SILENT, *WORDS, "hang", "cut")
AT_RANDOM = (
    "minute", "internal", "unavailable", "cut", "hang", "no_candidates", "blocked", "safety",
    "recitation", "empty", "max_tokens", "half", "written", "simplified", "english", "refusal",
)  # fmt: skip
"""What passes; a wrong key, a spent day and two megabytes come only when asked for."""
RPC = "type.googleapis.com/google.rpc"


@dataclass(frozen=True)
class Trouble:
    """An answer that is not 200."""

    status: int
    code: str
    message: str
    details: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def gemini(self) -> Any:
        if self.code == "NOT_JSON":
            return self.message
        said = {"code": self.status, "message": self.message, "status": self.code}
        return {"error": said | ({"details": self.details} if self.details else {})}

    def openai(self) -> Any:
        codes = {"RESOURCE_EXHAUSTED": "rate_limit_exceeded", "UNAUTHENTICATED": "invalid_api_key"}
        return {
            "error": {
                "message": self.message,
                "type": "invalid_request_error" if self.status < 429 else "server_error",
                "param": None,
                "code": codes.get(self.code, self.code.lower()),
            }
        }


def trouble(kind: str, retry_after: float, model: str, key: str) -> Trouble | None:
    """The error of a kind, or None where the answer is 200."""
    if kind == "wrong_key":
        return wrong_key()
    if kind == "key_echoed":
        return wrong_key(f" Provided: {key}")
    if kind == "forbidden":
        reason = "Your API key was reported as leaked. Please use another API key."
        return Trouble(403, "PERMISSION_DENIED", reason)
    if kind in ("minute", "day"):
        return _quota(kind, retry_after, model)
    return {
        "internal": Trouble(
            500, "INTERNAL",
            "An internal error has occurred. Please retry or report in "
            "https://developers.generativeai.google/guide/troubleshooting",
        ),
        "unavailable": Trouble(
            503, "UNAVAILABLE", "The model is overloaded. Please try again later."
        ),
        "not_json": Trouble(502, "NOT_JSON", "<html><title>Error 502</title></html>"),
    }.get(kind)  # fmt: skip


def wrong_key(more: str = "") -> Trouble:
    """Gemini answers a wrong key with 400, not 401. ``more`` is for a server that blabs."""
    message = "API key not valid. Please pass a valid API key." + more
    info = {
        "@type": f"{RPC}.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    local = {"@type": f"{RPC}.LocalizedMessage", "locale": "en-US", "message": message}
    return Trouble(400, "INVALID_ARGUMENT", message, [info, local])


def invalid(message: str) -> Trouble:
    return Trouble(400, "INVALID_ARGUMENT", message)


def no_model(model: str) -> Trouble:
    return Trouble(
        404, "NOT_FOUND",
        f"models/{model} is not found for API version v1beta, or is not supported for "
        "generateContent. Call ListModels to see the list of available models and their "
        "supported methods.",
    )  # fmt: skip


def _quota(kind: str, retry_after: float, model: str) -> Trouble:
    """Per minute or per day. Real per-day refusals carry a ``retryDelay`` of seconds too."""
    per, value = ("PerMinute", "15") if kind == "minute" else ("PerDay", "1500")
    wait = f"{retry_after:.3f}".rstrip("0").rstrip(".") + "s"
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violation = {
        "quotaMetric": metric,
        "quotaId": f"GenerateRequests{per}PerProjectPerModel-FreeTier",
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": value,
    }
    return Trouble(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details. "
        f"* Quota exceeded for metric: {metric}, limit: {value}\nPlease retry in {wait}.",
        [
            {"@type": f"{RPC}.QuotaFailure", "violations": [violation]},
            {
                "@type": f"{RPC}.Help",
                "links": [
                    {
                        "description": "Learn more about Gemini API quotas",
                        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                    }
                ],
            },
            {"@type": f"{RPC}.RetryInfo", "retryDelay": wait},
        ],
        {"Retry-After": str(max(1, round(retry_after)))} if kind == "minute" else {},
    )
