"""Models and adapters on the Hugging Face Hub: looked at first, then downloaded.

Downloads go to the usual Hub cache, which other tools share; files that are whole are
not fetched again. This module does not load models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.errors import (
    DownloadFailed,
    GatedModel,
    HubUnreachable,
    ModelNotFound,
    NoNetwork,
    WorkbenchError,
)
from workbench.events import Progress
from workbench.models.check import check_config, check_names, missing_shards, read_config
from workbench.models.convert import check_room
from workbench.models.reference import ModelReference
from workbench.models.watch import folder_bytes, watched
from workbench.settings import Settings

COMMIT = re.compile(r"[0-9a-f]{40}")
WANTED = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "spiece.model", "merges.txt"]
UNWANTED = ["original/*", "onnx/*", "openvino/*", "*.onnx.json", "consolidated*"]
WANTED_CODE = "*.py"


def is_pinned(reference: ModelReference) -> bool:
    """True when the reference names a commit whose files are all here."""
    if not (reference.revision and COMMIT.fullmatch(reference.revision)):
        return False
    try:
        folder, _ = snapshot(reference)
    except WorkbenchError:
        return False
    return any(folder.glob("*.safetensors")) and not missing_shards(folder)


def snapshot(reference: ModelReference) -> tuple[Path, str]:
    """The downloaded folder of a reference, and ``id@commit`` as its fingerprint.

    Raises:
        ModelNotFound: it has not been downloaded.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(
                reference.name,
                revision=reference.revision,
                allow_patterns=WANTED,
                ignore_patterns=UNWANTED,
                local_files_only=True,
            )
        )
    except Exception as error:
        raise ModelNotFound(model=str(reference.base)) from error
    return folder, f"{reference.name}@{folder.name}"


def download(
    reference: ModelReference, settings: Settings, adapter_for: str | None = None
) -> Iterator[Progress]:
    """Look at the repository, refuse what is not safe or not a model, bring the rest.

    Without a network, what an earlier download left is used.

    Raises:
        ModelNotFound, GatedModel, NoNetwork, DownloadFailed, DiskFull, ModelError.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils._paths import filter_repo_objects

    model = str(reference.base)
    wanted = [*WANTED, WANTED_CODE] if settings.trust_remote_code else WANTED
    try:
        sizes, commit = _look(reference, settings)
    except NoNetwork:
        snapshot_or_error(reference, model)
        return
    if adapter_for is None:
        check_names(set(sizes), model)
        check_config(_config(reference, commit, settings), model, settings.trust_remote_code)
    chosen = filter_repo_objects(sizes, allow_patterns=wanted, ignore_patterns=UNWANTED)
    total = sum(sizes[name] for name in chosen)
    place = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=reference.name, repo_type="model")
    check_room(max(0, total - folder_bytes(place / "blobs")), place)
    yield from watched(
        lambda: _guarded(
            model,
            lambda: snapshot_download(
                reference.name,
                revision=reference.revision,
                allow_patterns=wanted,
                ignore_patterns=UNWANTED,
                token=settings.token,
            ),
        ),
        lambda: folder_bytes(place / "blobs"),
        Progress("download", 0, total, "bytes", model),
    )


def config_of(reference: ModelReference, settings: Settings) -> dict[str, Any]:
    """config.json alone, for an estimate before anything large is downloaded."""
    try:
        sizes, commit = _look(reference, settings)
    except NoNetwork as error:
        try:
            folder, _ = snapshot(reference)
        except ModelNotFound:
            raise error from None
        return read_config(folder / "config.json", str(reference.base))
    check_names(set(sizes), str(reference.base))
    return _config(reference, commit, settings)


def snapshot_or_error(reference: ModelReference, model: str) -> Path:
    try:
        return snapshot(reference)[0]
    except ModelNotFound:
        raise HubUnreachable(model=model) from None


def _look(reference: ModelReference, settings: Settings) -> tuple[dict[str, int], str]:
    """Names and sizes of the repository's files, and the commit they belong to."""
    from huggingface_hub import HfApi

    info: Any = _guarded(
        str(reference.base),
        lambda: HfApi(token=settings.token).model_info(
            reference.name, revision=reference.revision, files_metadata=True, timeout=20
        ),
    )
    return {file.rfilename: file.size or 0 for file in info.siblings or []}, info.sha


def _config(reference: ModelReference, commit: str, settings: Settings) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download

    path: Any = _guarded(
        str(reference.base),
        lambda: hf_hub_download(
            reference.name, "config.json", revision=commit, token=settings.token
        ),
    )
    return read_config(Path(path), str(reference.base))


def _guarded(model: str, call: Any) -> Any:
    """Run one Hub call and turn what it raises into a sentence."""
    from huggingface_hub import errors as hub

    try:
        return call()
    except hub.GatedRepoError as error:
        raise GatedModel(model=model) from error
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.HFValidationError) as error:
        raise ModelNotFound(model=model) from error
    except hub.HfHubHTTPError as error:
        raise _refused(model, error) from error
    except hub.LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, hub.HfHubHTTPError):
            raise _refused(model, error.__cause__) from error
        raise HubUnreachable(model=model) from error
    except OSError as error:
        if error.errno == 28:
            raise
        raise HubUnreachable(model=model) from error
    except Exception as error:
        if _is_network(error):
            raise HubUnreachable(model=model) from error
        raise


def _refused(model: str, error: Any) -> GatedModel | DownloadFailed:
    status = getattr(error.response, "status_code", None)
    if status in (401, 403):
        return GatedModel(model=model)
    return DownloadFailed(model=model, reason=f"the Hub answered {status}")


def _is_network(error: BaseException) -> bool:
    """The Hub client lets the errors of its HTTP library (httpx or a fork) through."""
    family = type(error).__module__.split(".")[0]
    return family.startswith("httpx") or isinstance(error, ConnectionError)
