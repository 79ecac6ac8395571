"""Small inputs that once gave a wrong result (vectors/cases), and what each must print today.

    python tests/cases.py [NAME ...]

runs them, says which are right, and ends with 1 if one is not. Each has its test in its room too;
test_cases.py runs them all.
"""
# ruff: noqa: T201 - it prints what it found

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).parent / "vectors" / "cases"

RIGHT = {
    "add_with_set_if_absent": r"set_if_absent was used 1 times",
    "append_empty_id": r".*ConfigError: .*an id is a text and not empty.*",
    "attrs_private": r".*ConfigError: .*_token of Account is private.*",
    "cache_crossing_keys_hang": r"still waiting: \[False, False\]",
    "cache_dropped_key": r"new",
    "cache_failing_loader": r"loads: 1 last answer after 0\.\d s",
    "cache_loader_own_key": r"sync: inner\nasync: inner",
    "cache_stale_changes": r"age 300, ttl 60: new .* \| Store: new\n"
    r"age 1, ttl 60: set by Store .*",
    "cache_stale_if_error": r"v",
    "cache_two_tiers_hang": r"two tiers: v\ntenant falls back to default tenant: v",
    "codec_not_equal": r"(refused: SchemaMismatch\n?){4}",
    "dict_order": r"\['query', 'limit', 'after'\]\nb'\{\"z\":1,\"a\":2\}'",
    "export_lines_loses": r".*EncodeError: .*message 1: no JSON.*",
    "fork_with_held_lock": r"Cache on SQLiteKV: child ok\n"
    r"Store\.update on three methods: child ok",
    "handles_with_other_many": r"list: 1 but get_many -> \{'a': 1\}\n"
    r"OnlyGetMany set_many: no error; get -> 1\nMemcached set_many: OutcomeUnknown .*",
    "hashed_limit_renames": r"v",
    "index_grows": r"500 [1-4]\d{3} .*\n2000 [1-4]\d{3} .*\n8000 [1-4]\d{3} .*",
    "key_types_refused": r"<Keyspace 'k'>\n<Keyspace 'k'>\nConfigError .*Lang\.NONE.*",
    "keys_given_as_one_text": r".*ConfigError: .*several keys are wanted here.*",
    "keys_option_as_text": r".*ConfigError: .*keys=TemplateKeys\(\"user:\{id\}\"\).*",
    "log_late_writer": r"left after delete: \[\]",
    "log_rows_of_two_pasts": r".*read as if nothing had happened: 0",
    "mapping_races": r"\('b', 2\)\nFalse",
    "memoize_default": r"page home",
    "memoize_variadic": r".*ConfigError: .*functions of one argument.*give key=.*",
    "odd_objects_and_lines": r"EncodeError \nDecodeError ?",
    "one_class_two_handles": r"None\nNone",
    "prefix_over_keyerror": r"None\nNone",
    "pydantic_computed": r"(back: .* == True\n?){3}",
    "pydantic_not_equal": r".*SchemaMismatch: .*\$\._token.*",
    "pydantic_ordered_dict": r"True",
    "pydantic_secret_extras": r"ConfigError .*cipher=.*",
    "pydantic_secret_in_open_union": r"ConfigError .*give them a tag.*",
    "reindex_of_what_is_remembered": r"\['a'\]",
    "rewrap_skips_names": r".*may_drop\(old\): False\n.*skipped 1.*may_drop\(old\): False",
    "secret_beside_clear_field": r".*Tampered: .*\$\.token.*",
    "sqlite_deepcopy": r"TypeError an open SQLite file cannot be copied or pickled: .*",
    "sqlite_symlink_mode": r"0o600",
    "sqlite_timeout_inf": r".*ConfigError: timeout is a number of seconds.*",
    "store_on_a_log": r".*ConfigError: .*this keyspace holds logs.*",
    "subject_outlives_rotation": r"may_drop: True\nUnknownKey",
    "template_skips_legacy_names": r"prefs .*2 changed.* \['prefs/ada%40x%2Eorg', 'prefs/bob'\]",
    "unresolved_annotations": r"kvcodec\.errors\.ConfigError .*\nkvcodec\.errors\.ConfigError .*\n"
    r"<Keyspace 'k'>",
    "update_across_loops": r"\{'n/k': b'400'\}",
    "window_call_kinds": r"(\['assistant'\]\n?){6}",
    "window_retry_prompt": r"\['q1', 'not what the output type wants', 'fix it', 'good'\]",
}
"""What a case prints, as a pattern; of one that ends with an exception, with its traceback."""


def said(name: str) -> str:
    """Run a case in a process of its own, and return what it printed."""
    root = CASES.parent.parent.parent
    done = subprocess.run(
        # From Python 3.12 on a fork beside threads is warned of: it is what one case is about.
        [sys.executable, "-W", "ignore::DeprecationWarning", str(CASES / f"{name}.py")],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout.strip("\n")


def is_right(name: str, text: str) -> bool:
    """Whether a case has printed what it must."""
    return re.fullmatch(RIGHT[name], text, re.DOTALL) is not None


def main(names: list[str]) -> int:
    """Run the cases and say what came of each; return the exit code."""
    wrong = 0
    for name in names or sorted(RIGHT):
        text = said(name)
        right = is_right(name, text)
        wrong += not right
        print(f"{'right' if right else 'WRONG'}  {name}")
        if not right:
            print(text)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
