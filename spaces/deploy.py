"""Make or update a Hugging Face Space with what it needs and nothing else.

    python spaces/deploy.py --repo OWNER/NAME --dry-run      the exact files; nothing is sent
    python spaces/deploy.py --repo OWNER/NAME --hardware t4-small --allow Qwen/Qwen3-0.6B-Base

Files come from a list of folders, never from "everything but": a workspace, tests or
notes of your own are not on it. A file that seems to hold a key stops the deploy.
Secrets are only named; their values are set on the Space's own settings page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = ("app.py", "LICENSE")
FOLDERS = ("workbench", "tabs", "assets")
ENDINGS = {
    ".py", ".yaml", ".yml", ".json", ".jsonl", ".txt", ".md", ".css", ".js", ".svg", ".png",
    ".toml", ".csv", ".jinja", ".tsv", ".parquet",
}  # fmt: skip
KEY = re.compile(rb"hf_[A-Za-z0-9]{30,}|AIza[A-Za-z0-9_-]{30,}|-----BEGIN [A-Z ]*PRIVATE KEY")
CPU = ("cpu-basic", "cpu-upgrade")
NAME = re.compile(r"[\w\-][\w.\-]*/[\w\-][\w.\-]*", re.ASCII)


class Refused(Exception):
    """One sentence for whoever deploys."""


@dataclass(frozen=True)
class Plan:
    """All that will be done."""

    repo: str
    hardware: str
    files: dict[str, bytes]
    """Path on the Space to content."""
    variables: dict[str, str]
    secrets: tuple[str, ...]
    """Names whose values the owner sets on the Space's settings page."""


def plan(options: argparse.Namespace) -> Plan:
    """Decide everything, and read every file.

    Raises:
        Refused: a name is no name, the hardware cannot be used, or a file holds a key.
    """
    if not NAME.fullmatch(options.repo):
        raise Refused(f"“{options.repo}” is not OWNER/NAME.")
    for secret in options.secret:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", secret):
            raise Refused("--secret takes the name of a secret, like HF_TOKEN, never its value.")
    variables = {"TRILOGY_ALLOWED_MODELS": json.dumps(options.allow)} if options.allow else {}
    if options.owner:
        variables["TRILOGY_SPACE_OWNER"] = options.owner
    if options.demo:
        variables["TRILOGY_DEMO"] = options.demo
    files = collect(ROOT)
    kind = kind_of(options.hardware)
    files["requirements.txt"] = (ROOT / f"spaces/requirements-{kind}.txt").read_bytes()
    files["README.md"] = front_page(options.title, options.hardware).encode()
    for path, content in files.items():
        if KEY.search(content):
            raise Refused(f"{path} seems to hold a key. Take it out first.")
    return Plan(options.repo, options.hardware, files, variables, tuple(options.secret))


def kind_of(hardware: str) -> str:
    """cpu, gpu or zero: what is installed differs in torch alone."""
    if hardware.startswith("zero"):
        return "zero"
    return "cpu" if hardware in CPU else "gpu"


def collect(root: Path) -> dict[str, bytes]:
    """What runs: the files and folders of the list, no links, nothing hidden."""
    found = {name: (root / name).read_bytes() for name in FILES}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            inside = path.relative_to(root)
            hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
            if path.is_file() and not path.is_symlink() and not hidden and path.suffix in ENDINGS:
                found[inside.as_posix()] = path.read_bytes()
    return found


def front_page(title: str, hardware: str) -> str:
    """The Space's README, which begins with its settings."""
    text = (ROOT / "spaces/space.md").read_text("utf-8")
    pins = (ROOT / "requirements.txt").read_text("utf-8")
    version = re.search(r"^gradio==(\S+)", pins, re.MULTILINE)
    assert version
    for name, value in {
        "title": title.replace('"', "'"), "gradio": version[1], "hardware": hardware,
        "description": "Choose a base, feed it, tune it, talk to it",
    }.items():  # fmt: skip
        text = text.replace(f"{{{name}}}", value)
    return text


def send(todo: Plan, api: Any, private: bool) -> str:
    """Make the Space if it is not there, and put exactly these files on it in one commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(
        todo.repo, repo_type="space", space_sdk="gradio", exist_ok=True, private=private
    )
    there = api.list_repo_files(todo.repo, repo_type="space")
    gone = [path for path in there if path not in todo.files and path != ".gitattributes"]
    changes: list[Any] = [CommitOperationAdd(path, content) for path, content in todo.files.items()]
    changes += [CommitOperationDelete(path) for path in gone]
    api.create_commit(todo.repo, changes, repo_type="space", commit_message="Update the workbench")
    for key, value in todo.variables.items():
        api.add_space_variable(todo.repo, key, value)
    if todo.hardware != "cpu-basic":
        api.request_space_hardware(todo.repo, todo.hardware)
    return f"{api.endpoint}/spaces/{todo.repo}"


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python spaces/deploy.py", description="Make or update a Hugging Face Space."
    )
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME")
    parser.add_argument(
        "--hardware", default="cpu-basic", help="cpu-basic, t4-small, zero-a10g, ..."
    )
    parser.add_argument("--title", default="Trilogy 三步曲")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--allow", action="append", default=[], metavar="MODEL",
                        help="a model that visitors may load besides the bundled")  # fmt: skip
    parser.add_argument("--owner", help="who may sign in as the owner, if an organization owns it")
    parser.add_argument("--demo", help="tabs to show: chat,compare")
    parser.add_argument("--secret", action="append", default=[], metavar="NAME",
                        help="name of a secret to set on the Space's page")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="list the files, send nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Deploy; 0 done, 2 refused, 1 the Hub said no."""
    options = options_of(arguments)
    try:
        todo = plan(options)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    for path, content in sorted(todo.files.items()):
        print(f"{len(content):>9,}  {path}")
    size = sum(map(len, todo.files.values()))
    print(f"{len(todo.files)} files, {size / 1e6:.1f} MB, on {todo.hardware}")
    for key, value in todo.variables.items():
        print(f"variable  {key}={value}")
    settings = f"https://huggingface.co/spaces/{todo.repo}/settings"
    for name in todo.secrets:
        print(f"secret    {name}: set its value on {settings}")
    if options.dry_run:
        print("Nothing was sent.")
        return 0
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        print(send(todo, HfApi(token=os.environ.get("HF_TOKEN")), options.private))
    except (HfHubHTTPError, OSError) as error:
        print(f"The Hub refused: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
