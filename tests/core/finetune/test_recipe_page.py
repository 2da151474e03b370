"""docs/recipe.md is what the code says, and every key that it lists does something."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
from dataclasses import fields

from release_tool.core.finetune.recipe import SECTIONS


def program(repository):
    """Return scripts/recipe-table as a module."""
    path = repository / "scripts" / "recipe-table"
    loader = importlib.machinery.SourceFileLoader("recipe_table", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("recipe_table", loader))
    loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository))  # the program does it, and what it did is undone
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    found = (repository / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert program(repository).page(found) == found, "run scripts/recipe-table"


def test_every_key_has_one_row_of_five_cells(repository):
    text = (repository / "docs" / "recipe.md").read_text(encoding="utf-8")
    for name, section in SECTIONS.items():
        table = text.partition(f"## [{name}]\n")[2].partition("\n## ")[0]
        rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| `")]
        assert [row[0].strip(" `") for row in rows] == [one.name for one in fields(section)]
        assert {len(row) for row in rows} == {5}


DECLARED = ("sections.py", "sections_training.py", "recipe.py", "stages.py")
"""Where keys are declared, or checked together: no reading that has an effect."""


def read_in_package(repository):
    """Return for each file the names that it reads as attributes or, by getattr, as texts."""
    # The functions of the AWS template read keys, too.
    for path in [*(repository / "release_tool").rglob("*.py"), *(repository / "templates").rglob("*.py")]:
        if path.name not in DECLARED:
            found = set()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.Name):
                    found.add(node.id)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
            yield found


def test_every_key_is_read_by_a_file_that_reads_its_section(repository):
    files = list(read_in_package(repository))
    dead = [
        f"{name}.{one.name}"
        for name, section in SECTIONS.items()
        for one in fields(section)
        if not any(one.name in found and {name, section.__name__} & found for found in files)
    ]
    assert dead == []


def test_recipes_on_the_pages_are_recipes(repository):
    from release_tool.core.finetune.recipe import parse_recipe

    text = (repository / "docs" / "recipe.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\n(# recipe.toml\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert parse_recipe(block.encode()).model.name == "acme-search"
