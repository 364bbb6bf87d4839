"""The table of the frontier of sizes and scores."""

from tables.files import Table


def test_frontier_table_has_the_smallest_first(tables: dict[str, Table]) -> None:
    frame = tables["table8_frontier"].frame.set_index("configuration")
    assert frame.parameters.is_monotonic_increasing and len(frame) == 11
    assert frame.loc["lightweight CNN", ["on_parameter_frontier", "on_speed_frontier"]].tolist() == [True, False]
    assert frame.loc["search #12", ["views", "images_per_second"]].tolist() == [8, 13_300 / 8]
    shown = tables["table8_frontier"].panels[0].frame.set_index("Configuration")
    assert shown.loc["lightweight CNN", ["Parameters", "Images/s", "On the frontier of"]].tolist() == [
        *("217,000", "4,600", "parameters")
    ]
    assert set(shown["On the frontier of"]) == {"parameters", "images/s", "both", "–"}
    assert "search #12 (chosen)" in shown.index
    assert "on one core of Some CPU; the median of 5 rounds. No choice depends" in tables["table8_frontier"].note
