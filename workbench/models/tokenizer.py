"""A model's tokenizer without its weights: to count tokens and to see what a model sees.

Chat templates come from strangers: they are rendered in a thread of their own and given
up after a few seconds. This module does not know what is rendered, nor why.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Generator
from typing import Any

from workbench.errors import BadTemplate, IncompleteModel
from workbench.events import Progress
from workbench.models.fetch import Fetched, fetch
from workbench.models.reference import ModelReference
from workbench.settings import Settings

SECONDS = 5
THREAD = "chat template"
# How tokenizers in the manner of SentencePiece write a byte for which they have no piece.
BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


def bring_tokenizer(
    reference: ModelReference, settings: Settings, stop: threading.Event
) -> Generator[Progress, None, Any]:
    """The tokenizer of a model, which is fetched first if it is not here.

    Raises:
        ModelError, NoNetwork, DownloadFailed, IncompleteModel, Stopped.
    """
    fetched: Fetched = yield from fetch(reference.base, settings, stop)
    try:
        return _tokenizer(str(fetched.folder), settings.trust_remote_code)
    except (OSError, ValueError) as error:
        raise IncompleteModel(model=str(reference), missing="a tokenizer") from error


@functools.lru_cache(maxsize=4)
def _tokenizer(folder: str, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        folder, trust_remote_code=trust_remote_code, local_files_only=True
    )


def rendered(tokenizer: Any, messages: list[dict[str, Any]], **options: Any) -> str:
    """A conversation as the model will see it, by the tokenizer's own chat template.

    Raises:
        BadTemplate: there is none, it refuses the conversation, or it does not end.
    """
    if not tokenizer.chat_template:
        raise BadTemplate(reason="this model brings none")
    return _within(
        SECONDS,
        lambda: str(tokenizer.apply_chat_template(messages, tokenize=False, **options)),
    )


def _within(seconds: float, work: Callable[[], str]) -> str:
    result: list[str] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name=THREAD, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _end(thread)
        raise BadTemplate(reason=f"it did not end within {seconds} seconds")
    if failure:
        reason = (str(failure[0]).strip().splitlines() or ["it failed"])[0][:160]
        raise BadTemplate(reason=reason.rstrip(".")) from failure[0]
    return result[0]


def _end(thread: threading.Thread) -> None:
    """Let a thread exit at its next step of Python, of which a template's loops are made."""
    import ctypes

    number = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(SystemExit))


def token_counts(tokenizer: Any, texts: list[str]) -> list[int]:
    """Tokens of each text, special tokens not counted. Shape [texts]."""
    if not texts:
        return []
    encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
    return [len(ids) for ids in encoded["input_ids"]]


def readable_token(tokenizer: Any, token: int) -> str:
    """What a token stands for; a part of a character shows its bytes, as ⟨E4 BB⟩."""
    text: str = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    if "\ufffd" not in text:
        return text
    piece: str = tokenizer.convert_ids_to_tokens(token)
    if fallback := BYTE_FALLBACK.fullmatch(piece):
        return f"⟨{fallback.group(1)}⟩"
    known = _byte_letters()
    if all(letter in known for letter in piece):
        return "⟨" + " ".join(f"{known[letter]:02X}" for letter in piece) + "⟩"
    return piece


@functools.cache
def _byte_letters() -> dict[str, int]:
    """The letters that byte-level tokenizers write bytes with."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}
