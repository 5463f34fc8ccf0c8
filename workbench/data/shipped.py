"""The corpora that come with the workbench, and how they may be had.

HKCanCor is real spoken Cantonese; ``identity`` teaches a model its own name. This module
does not know how they are stored as datasets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from workbench.data import corpora
from workbench.data.formats.convert import to_examples
from workbench.data.formats.mapping import DEFAULTS
from workbench.data.rows import Example, filled
from workbench.errors import BadRecipe

IDENTITY = Path(__file__).resolve().parents[2] / "assets" / "data" / "identity.jsonl"
FORMS = {
    "hkcancor": ("exchanges", "utterances", "dialogues"),
    "identity": ("all", "yue", "en", "zh"),
}
"""Names, and the forms of each, the usual one first."""
LICENCES = {"hkcancor": corpora.LICENCE, "identity": "Apache-2.0"}
VALUES = {"identity": {"name": "Trilogy", "author": "the Trilogy workbench"}}
"""What fills the placeholders if nothing else is said."""


def examples(name: str, form: str, values: dict[str, str]) -> Iterator[Example]:
    """The rows of a corpus.

    Raises:
        BadRecipe: there is no such corpus or form.
    """
    if form not in FORMS.get(name, ()):
        raise BadRecipe(name=name, reason=f"there is no corpus {name} in the form {form}")
    if name == "hkcancor":
        return corpora.hkcancor(form)  # type: ignore[arg-type]
    return _identity(form, {**VALUES["identity"], **values})


def _identity(form: str, values: dict[str, str]) -> Iterator[Example]:
    slot = slot_of(values)
    for line in IDENTITY.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if form in ("all", record["language"]):
            for example in to_examples(record, DEFAULTS["messages"], "identity"):
                yield filled(example, slot, values)


def slot_of(values: dict[str, str]) -> re.Pattern[str]:
    """The placeholders ``{{name}}`` of these names."""
    names = "|".join(re.escape(name) for name in values)
    return re.compile(r"\{\{\s*(" + names + r")\s*\}\}")
