"""The printed layouts: every one names leads, and those of the twelve name each once."""

from __future__ import annotations

from ecglift.leads import LEADS, polarity
from ecglift.paper import TEMPLATES, Layout, Panel


def test_templates_name_leads() -> None:
    for name, template in TEMPLATES.items():
        assert template.name == name
        printed = [polarity(text)[0] for row in template.rows for text in row]
        assert None not in printed, name
        assert len(set(printed)) == len(printed), name
        if template.n_columns * len(template.rows) == len(LEADS):
            assert set(printed) == set(LEADS), name


def test_usual_layout_runs_down_its_columns() -> None:
    template = TEMPLATES["3x4+1"]
    assert template.rows == (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
    assert (template.n_rows, template.n_columns, template.rhythm_strips) == (4, 4, 1)


def test_cabrera_order_turns_avr() -> None:
    assert TEMPLATES["6x2-cabrera"].rows[2] == ("-aVR", "V3")


def test_rows_of_a_layout_stand_from_top_left() -> None:
    panels = (Panel("V1", 1, 1, 60, 110, 80), Panel("II", 1, 0, 10, 60, 80), Panel("I", 0, 0, 10, 60, 40))
    layout = Layout("custom", panels)
    assert [[panel.lead for panel in row] for row in layout.rows()] == [["I"], ["II", "V1"]]
    assert layout.leads == ("I", "II", "V1")
