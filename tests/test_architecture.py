"""The floors of the house: each imports only what is below it, and nothing heavy at start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("compare", "prompts", "data", "tune", "chat")
CORE = sorted((ROOT / "workbench").rglob("*.py"))
BESIDE = [
    path for path in sorted((ROOT / "workbench").glob("*.py")) if path.name not in ("__main__.py",)
]


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file, by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=named)
def test_the_core_knows_nothing_of_the_screen(path: Path) -> None:
    screen = ("gradio", "gradio_client", "tabs", "app")
    assert [name for name in imported(path) if any(below(name, one) for one in screen)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_do_not_import_one_another(package: str) -> None:
    others = [f"workbench.{other}" for other in PACKAGES if other != package]
    files = (ROOT / "workbench" / package).rglob("*.py")
    across = [
        (named(path), name)
        for path in files
        for name in imported(path)
        if any(below(name, other) for other in others)
    ]
    assert across == []


def test_models_know_nothing_of_the_packages_above() -> None:
    above = [*(f"workbench.{package}" for package in PACKAGES), "workbench.__main__"]
    across = [
        (named(path), name)
        for path in (ROOT / "workbench" / "models").rglob("*.py")
        for name in imported(path)
        if any(below(name, one) for one in above)
    ]
    assert across == []


@pytest.mark.parametrize("path", BESIDE, ids=named)
def test_the_files_beside_stand_on_the_ground(path: Path) -> None:
    above = [f"workbench.{package}" for package in (*PACKAGES, "models")]
    assert [name for name in imported(path) if any(below(name, one) for one in above)] == []


@pytest.mark.parametrize("path", CORE, ids=named)
def test_every_module_says_what_it_is(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said
    assert len(said.splitlines()[0]) <= 100


@pytest.mark.parametrize("path", CORE, ids=named)
def test_code_from_repositories_is_never_trusted_by_a_literal(path: Path) -> None:
    """``trust_remote_code`` is False or handed down from the owner's settings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert not isinstance(node.value, ast.Constant) or node.value.value is False


@pytest.mark.parametrize("path", CORE, ids=named)
def test_everything_loaded_from_pretrained_says_whether_it_trusts_code(path: Path) -> None:
    """None would ask on standard input, where nobody answers."""
    auto = ("AutoModelForCausalLM", "AutoTokenizer", "AutoConfig")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id in auto and node.func.attr != "for_model":
            assert "trust_remote_code" in [keyword.arg for keyword in node.keywords], node.lineno


@pytest.mark.parametrize(
    "module", ["workbench", "workbench.__main__", "workbench.models.pool", "tabs.compare"]
)
def test_importing_brings_in_neither_torch_nor_transformers(module: str) -> None:
    if module.startswith("tabs.") and not (ROOT / f"{module.replace('.', '/')}.py").exists():
        pytest.skip("this tab is not built yet")
    heavy = ("torch", "transformers", "datasets", "peft", "bitsandbytes")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
