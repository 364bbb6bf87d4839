"""The table of where the time of a search went."""

from __future__ import annotations

from bloodtune.tuning.phase_profile import PARTS, Profiler


def test_the_parts_of_all_reports_add_up_to_the_workers_time() -> None:
    profiler = Profiler()
    for parts in ({"load": 2.0, "start": 1.5, "augment": 1.0}, {"augment": 3.0, "report": 0.5}):
        profiler.on_trial_result(0, [], None, {"parts": parts})
    profiler.on_trial_result(0, [], None, {"epoch": 1})
    table = profiler.table(20.0, suggest=0.5).set_index("part")
    assert list(table.index) == list(PARTS)
    assert table.seconds.to_dict() == {
        "suggest": 0.5,
        "start": 1.0,
        "load": 2.0,
        "augment": 4.0,
        "forward and backward": 0.0,
        "validate": 0.0,
        "report": 0.5,
        "idle": 12.0,
    }
    assert table.percent.sum() == 100
    assert table.percent["augment"] == 20
