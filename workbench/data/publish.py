"""A dataset on the Hugging Face Hub: its card, and the upload.

The card says where every row came from, under which licence, and what was done to it.
This module does not know how the files were made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import DatasetUnavailable, HubUnreachable

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
LARGER = ((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))
UPLOADED = ["*.parquet", "*.jsonl", "*.json", "*.csv", "*.txt", "README.md"]


def card(
    name: str,
    sources: Sequence[tuple[str, str, int]],
    steps: Sequence[str],
    counts: Mapping[str, int],
    languages: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> str:
    """The README of a dataset: YAML front matter, then plain sentences.

    Args:
        sources: name, licence (an SPDX id, or empty if not known) and rows of each.
        steps: what was done, in order, a line each.
        counts: rows by split or by label; ``rows`` is the total.
        languages: ISO codes, ``yue`` for Cantonese.
    """
    import yaml

    rows = counts.get("rows", sum(counts.values()))
    front = {
        "pretty_name": name,
        "license": _licence([licence for _, licence, _ in sources]),
        "language": list(languages),
        "size_categories": [_size(rows)],
        "tags": list(tags),
    }
    shown = {key: value for key, value in front.items() if value}
    matter = yaml.safe_dump(shown, allow_unicode=True, sort_keys=False)
    parts = [f"---\n{matter}---\n", f"# {_line(name)}\n", _sources(sources)]
    parts += [_steps(steps), _counts(counts)]
    return "\n".join(part for part in parts if part)


def _licence(licences: Sequence[str]) -> str:
    """One licence if all sources share it; ``other`` where a reader has to look."""
    known = {licence.strip().lower() for licence in licences}
    if not known or known == {""}:
        return "unknown"
    return known.pop() if len(known) == 1 else "other"


def _size(rows: int) -> str:
    return next((label for most, label in (*SIZES, *LARGER) if rows < most), "1B<n<10B")


def _line(text: str) -> str:
    """One line that breaks no table."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def _sources(sources: Sequence[tuple[str, str, int]]) -> str:
    if not sources:
        return ""
    rows = [
        f"| {_line(name)} | {_line(licence) or 'not known'} | {count:,} |"
        for name, licence, count in sources
    ]
    return "\n".join(["## Sources\n", "| source | licence | rows |", "|---|---|---:|", *rows, ""])


def _steps(steps: Sequence[str]) -> str:
    if not steps:
        return ""
    listed = [f"{number}. {_line(step)}" for number, step in enumerate(steps, 1)]
    return "\n".join(["## What was done\n", *listed, ""])


def _counts(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    rows = [f"| {_line(name)} | {count:,} |" for name, count in counts.items()]
    return "\n".join(["## Counts\n", "| what | rows |", "|---|---:|", *rows, ""])


def push_to_hub(folder: Path, repo: str, token: str | None, private: bool = True) -> str:
    """Upload a folder's data files and README as a dataset; the address it has then.

    Args:
        repo: OWNER/NAME; made if it is not there yet.

    Raises:
        DatasetUnavailable: the Hub refuses. HubUnreachable: there is no network.
    """
    from huggingface_hub import HfApi
    from huggingface_hub import errors as hub

    api = HfApi(token=token)
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        done: Any = api.upload_folder(
            folder_path=folder,
            repo_id=repo,
            repo_type="dataset",
            allow_patterns=UPLOADED,
            commit_message="Upload from Trilogy",
        )
    except hub.HfHubHTTPError as error:
        raise DatasetUnavailable(name=repo, reason=_reason(error)) from error
    except (hub.HFValidationError, ValueError) as error:
        raise DatasetUnavailable(name=repo, reason="that is not OWNER/NAME") from error
    except Exception as error:
        if _is_network(error):
            raise HubUnreachable(model=repo) from error
        raise
    return str(getattr(done, "repo_url", "") or f"{api.endpoint}/datasets/{repo}")


def _reason(error: Any) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "the access token may not write there"
    return f"the Hub answered {status}"


def _is_network(error: BaseException) -> bool:
    """The Hub client lets the errors of its HTTP library (httpx or a fork) through."""
    family = type(error).__module__.split(".")[0]
    return family.startswith("httpx") or isinstance(error, OSError)
