"""What a person's condition may hold, judged by the tree that DuckDB makes of it.

A query is stopped between blocks of rows only, never inside one expression: what can make
work out of nothing (long ranges, sleep) is therefore refused before it runs. This module
does not know the rows and runs nothing.
"""

from __future__ import annotations

from typing import Any

from workbench.errors import BadExpression

PLAIN = {
    "COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "FUNCTION", "CAST",
    "TYPE", "CASE", "BETWEEN", "COLLATE", "LAMBDA", "LAMBDA_REF", "BOUND_LAMBDA_REF",
}  # fmt: skip
"""Classes of nodes that an expression may have: no subquery, no parameter, no window."""

_OPERATORS = """
+ - * / // % ^ ** & | ~ << >> || ~~ !~~ ~~* !~~* ~~~ ->> -> ^@ && @> <@
"""
_NUMBERS = """
abs ceil ceiling floor round sign sqrt ln log log10 log2 pow power exp greatest least isnan
isinf isfinite mod even trunc
"""
_TEXTS = """
lower lcase upper ucase len length strlen char_length character_length octet_length
bit_length contains prefix suffix starts_with ends_with instr strpos position left right
substring substr left_grapheme right_grapheme trim ltrim rtrim reverse unicode ord ascii chr
concat concat_ws regexp_matches regexp_full_match regexp_extract regexp_extract_all split
string_split str_split string_to_array array_to_string md5 sha1 sha256 hash jaccard
strip_accents like_escape not_like_escape ilike_escape not_ilike_escape nullif
"""
_LISTS = """
list_value list_pack struct_pack row list_contains list_has array_contains array_has
list_has_any array_has_any list_has_all array_has_all list_position list_indexof
list_extract list_element array_extract struct_extract list_filter array_filter filter
list_transform array_transform list_apply array_apply apply list_sum list_min list_max
list_avg list_count list_first list_last list_any_value list_distinct list_unique list_sort
list_reverse list_slice array_slice list_concat list_bool_and list_bool_or flatten
array_length list_aggregate list_aggr map_extract element_at cardinality
"""
_JSON = """
json_extract json_extract_string json_extract_path json_extract_path_text json_exists
json_contains json_keys json_type json_valid json_array_length json_value
"""
_DATES = """
date_part year month day hour minute second date_trunc strftime strptime try_strptime
date_diff datediff
"""
FUNCTIONS = {
    name
    for group in (_OPERATORS, _NUMBERS, _TEXTS, _LISTS, _JSON, _DATES)
    for name in group.split()
}
"""Functions that always give the same, with work in proportion to the row they are given."""

LAMBDAS = 2
"""How deep one lambda may stand in another: each level goes through a whole list again."""


def check_tree(statements: list[dict[str, Any]]) -> None:
    """Refuse what is not one plain expression behind ``SELECT row FROM rows WHERE``.

    Args:
        statements: from ``json_serialize_sql``.

    Raises:
        BadExpression.
    """
    node = statements[0]["node"] if len(statements) == 1 else {"type": ""}
    if node["type"] != "SELECT_NODE" or _has_more(node):
        raise BadExpression(reason="it must be a single condition")
    waiting: list[tuple[Any, int]] = [(node["where_clause"], 0)]
    while waiting:  # not by recursion: a person may nest as deep as the database allows
        tree, lambdas = waiting.pop()
        if isinstance(tree, list):
            waiting += [(below, lambdas) for below in tree]
        elif isinstance(tree, dict):
            lambdas += tree.get("class") == "LAMBDA"
            _check_node(tree, lambdas)
            waiting += [(below, lambdas) for below in tree.values()]


def _has_more(node: dict[str, Any]) -> bool:
    """True if anything stands behind the condition: an order, a group, a sample."""
    after = ("modifiers", "group_expressions", "group_sets", "having", "sample", "qualify")
    return any(node.get(name) for name in after) or bool(node["cte_map"]["map"])


def _check_node(node: dict[str, Any], lambdas: int) -> None:
    kind = node.get("class")
    if kind == "SUBQUERY":
        raise BadExpression(reason="a SELECT inside it is not allowed")
    if kind == "PARAMETER":
        raise BadExpression(reason="a ? or $ stands for a value that nobody gives")
    if kind == "FUNCTION" and str(node["function_name"]).lower() not in FUNCTIONS:
        raise BadExpression(reason=f"the function {node['function_name']} cannot be used here")
    if isinstance(kind, str) and kind not in PLAIN:
        raise BadExpression(reason=f"{kind.lower().replace('_', ' ')} cannot be used here")
    if lambdas > LAMBDAS:
        raise BadExpression(reason=f"more than {LAMBDAS} lambdas stand in one another")
