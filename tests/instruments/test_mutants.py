"""The changes that a mutation run makes: each is another program, and the choice stays the same."""

import ast

from benchmarks.mutants import ROOT, TESTS, changed, chosen, mutants

TEXT = '''\
def both(a, b):
    """Say whether a < b, 1 time."""
    if not a or (b := a) < 1:
        raise ValueError("é")
    a += 1
    return a in b
'''


def test_kinds_of_changes():
    made = {changed(TEXT, one).splitlines()[one.line - 1].strip() for one in mutants("m", TEXT)}
    assert made >= {
        "if not a and (b := a) < 1:",
        "if (a) or (b := a) < 1:",
        "if False:",
        "if not a or (b := a) < 2:",
        "pass",
        "a += 2",
        "return a not in b",
    }
    assert not any("2 time" in line for line in made)


def test_every_module_has_changes_and_tests():
    for module, tests in TESTS.items():
        text = (ROOT / "src/parchunk" / f"{module}.py").read_text()
        drawn = chosen(module, text, 12, 0)
        assert drawn == chosen(module, text, 12, 0)
        assert 8 <= len(drawn) <= 12
        for one in drawn:
            assert ast.dump(ast.parse(changed(text, one))) != ast.dump(ast.parse(text)), one
        assert all((ROOT / "tests" / name).exists() for name in tests)
