"""How the reasons of jobs are grouped for display."""

from vicinal.running.estimate.display import reason_groups, shown_groups


def change(*reasons):
    return {"reasons": list(reasons)}


def test_reasons_are_grouped_by_number_and_consequences_by_stage():
    jobs = [
        change("recipe.lr: 0.1 → 0.2", "after teachers/a"),
        change("recipe.lr: 0.1 → 0.2"),
        change("after teachers/a", "after data/b"),
        change("after teachers/c", "after data/b"),
        change("after teachers/d", "after data/b"),
        change("missing: results/a"),
        change("older than teachers/a", "older than teachers/b"),
    ]
    assert reason_groups(jobs) == [
        ("after new or changed data, teachers", 3),
        ("recipe.lr: 0.1 → 0.2", 2),
        ("missing: made before, and gone", 1),
        ("older than their teachers", 1),
    ]
    many = shown_groups([change(f"new: seed {seed}") for seed in range(12)])
    assert (len(many), many[-1]) == (9, ("and 4 more (--all)", ""))
