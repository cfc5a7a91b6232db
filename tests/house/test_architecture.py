"""The rules of the house, as searches over its text; each rule is also fed a small sample that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from architecture import RULES, Rule, read_tree

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tree() -> dict[str, str]:
    """Every file the rules speak of: path below the root -> text."""
    return read_tree(ROOT)


def test_the_tree_is_read(tree: dict[str, str]) -> None:
    assert {"kernels/core/ptx.cuh", "csrc/launch.cuh", "csrc/bindings.cpp", "pylayers/errors.py"} <= set(tree)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule, tree: dict[str, str]) -> None:
    assert list(rule(tree)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_can_fail(rule: Rule) -> None:
    for sample in rule.broken:
        assert list(rule(sample)), f"{rule.__name__} lets this pass: {sample}"
