"""How turns are written for a base: its own chat template, or a standard one that it lacks.

A standard template only uses end-of-turn tokens that the vocabulary already has, so that no
embedding has to be learned from nothing. It is stored with the adapter by whoever saves the
tokenizer. This module does not know which tokens are learned from.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from workbench.errors import BadRecipeField, BadTemplate, WorkbenchError
from workbench.models.tokenizer import rendered

GEMMA = """\
{{- bos_token or '' -}}
{%- set held = namespace(system='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set held.system = held.system + message['content'] | trim + '\\n\\n' -%}
{%- else -%}
{{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' -}}
{%- if message['role'] != 'assistant' -%}
{{- held.system -}}
{%- set held.system = '' -%}
{%- endif -%}
{{- message['content'] | trim -}}
{%- if message['tool_calls'] -%}{{- message['tool_calls'] | tojson -}}{%- endif -%}
{{- '<end_of_turn>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}
"""
"""As Google publishes it for Gemma's chat models, system text in front of what the user says."""

CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] -}}
{%- if message['tool_calls'] -%}{{- message['tool_calls'] | tojson -}}{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

PLAIN = """\
{{- bos_token or '' -}}
{%- set names = {'system': 'System', 'user': 'User', 'assistant': 'Assistant', 'tool': 'Tool'} -%}
{%- for message in messages -%}
{{- names.get(message['role'], message['role']) + ':\\n' + message['content'] | trim -}}
{%- if message['tool_calls'] -%}{{- message['tool_calls'] | tojson -}}{%- endif -%}
{{- eos_token if message['role'] == 'assistant' else '' -}}
{{- '\\n\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:\\n' -}}{%- endif -%}
"""
"""For a vocabulary without turns: names in words, and the end of text after every answer."""

STANDARD = {"gemma": GEMMA, "chatml": CHATML, "plain": PLAIN}
NEEDED = {
    "gemma": ("<start_of_turn>", "<end_of_turn>"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "plain": (),
}
"""Tokens that the vocabulary must have."""

TRIAL = (
    [{"role": "user", "content": "食咗飯未？"}, {"role": "assistant", "content": "食咗喇。"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "聽日見。"},
        {"role": "assistant", "content": "好。"},
    ],
)


def chat_template_for(tokenizer: Any, name: str = "auto") -> str:
    """The Jinja text of a template: the base's own for ``auto``, else the standard one that fits.

    Raises:
        BadTemplate: the vocabulary lacks what a template by that name needs.
        BadRecipeField: there is no template by that name.
    """
    if name == "auto":
        return own_template(tokenizer) or STANDARD[standard_for(tokenizer)]
    if name not in STANDARD:
        allowed = f"one of auto, {', '.join(STANDARD)}"
        raise BadRecipeField(field="template", value=name[:80], allowed=allowed)
    lacking = [token for token in NEEDED[name] if not _knows(tokenizer, token)]
    if name == "plain" and not tokenizer.eos_token:
        lacking = ["end-of-text token"]
    if lacking:
        raise BadTemplate(reason=f"the vocabulary of this base has no {lacking[0]}")
    return STANDARD[name]


def own_template(tokenizer: Any) -> str:
    """What the base brings, empty if nothing; of several named ones the default."""
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default") or next(iter(own.values()), "")
    return str(own or "")


def standard_for(tokenizer: Any) -> str:
    """The name of the standard template whose tokens the vocabulary has.

    Raises:
        BadTemplate: it has no end-of-text token either, so no answer could ever end.
    """
    for name, tokens in NEEDED.items():
        if tokens and all(_knows(tokenizer, token) for token in tokens):
            return name
    if not tokenizer.eos_token:
        raise BadTemplate(reason="the vocabulary of this base has no token that ends a turn")
    return "plain"


def with_template(tokenizer: Any, template: str) -> Any:
    """The same tokenizer writing turns in this template; the one given is not changed.

    What ``save_pretrained`` of it writes is what belongs beside the adapter.
    """
    other = copy.copy(tokenizer)
    other.chat_template = template
    return other


def stop_tokens(tokenizer: Any, template: str) -> list[int]:
    """Ids at which an answer written in this template ends, for ``generate``; sorted."""
    found = {tokenizer.eos_token_id, *_ends_of_turn(tokenizer, template)}
    return sorted(int(token) for token in found if token is not None)


def differs(tokenizer: Any, template: str) -> bool:
    """True if the base brings a template and this one writes the same conversation otherwise."""
    own = own_template(tokenizer)
    if not own or own == template:
        return False
    return any(
        written(tokenizer, own, trial) != written(tokenizer, template, trial) for trial in TRIAL
    )


def written(tokenizer: Any, template: str, messages: list[dict[str, Any]]) -> str | None:
    """A conversation in this template; None when the template refuses it."""
    try:
        return rendered(with_template(tokenizer, template), messages)
    except WorkbenchError:
        return None


def _ends_of_turn(tokenizer: Any, template: str) -> list[int]:
    """The control token that follows an answer, if one does."""
    text = written(tokenizer, template, TRIAL[0])
    answer = TRIAL[0][-1]["content"]
    if text is None or answer not in text:
        return []
    after = text[text.rindex(answer) + len(answer) :].lstrip()
    tokens = tokenizer.get_added_vocab()
    starts = [token for token in tokens if token and after.startswith(token)]
    return [tokens[max(starts, key=len)]] if starts else []


def _knows(tokenizer: Any, token: str) -> bool:
    """True if the text of a token is read as that one token."""
    ids = tokenizer(token, add_special_tokens=False)["input_ids"]
    return len(ids) == 1 and tokenizer.convert_ids_to_tokens(ids[0]) == token


def control_pattern(tokenizer: Any) -> re.Pattern[str] | None:
    """Finds control tokens spelled out in a text, which the tokenizer would take for real ones."""
    texts = {text for text in tokenizer.all_special_tokens if text and not text.isspace()}
    texts |= {token for tokens in NEEDED.values() for token in tokens if _knows(tokenizer, token)}
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first))) if texts else None
