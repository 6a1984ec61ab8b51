"""Speed and gain from print, pulses and columns: what is believed and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.models.sheetmap import DENSE, DENSE_CHANNELS, WHOLE_NUMBERS, SheetMap
from ecglift.models.words import GAINS, WORDS
from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S
from ecglift.reading.marks import PrintedScale, Pulse, find_scales, paired
from ecglift.reading.scales import find_gain, find_speed

_NO_IDEA = np.full(3, 1 / 3, np.float32)


def _print(value: float, usual: tuple[float, ...], sure: float, chance: float) -> PrintedScale:
    p = np.full(len(usual), (1 - sure) / (len(usual) - 1))
    p[usual.index(value)] = sure
    return PrintedScale(100.0, 10.0, np.log(p), chance, 0.0)


def test_clear_print_is_believed() -> None:
    gain = find_gain([_print(20.0, GAINS_MM_MV, 0.95, 0.95)], ())
    assert (gain.value, gain.how) == (20.0, "printed")


def test_what_is_hardly_print_is_not_taken_for_a_gain() -> None:
    """A line of header on a real photo was read as 20 mm/mV with a third of certainty, and doubled every amplitude."""
    gain = find_gain([_print(20.0, GAINS_MM_MV, 0.67, 0.34)], ())
    assert (gain.value, gain.how) == (10.0, "assumed")


def test_four_columns_of_125_mm_are_50_mm_s() -> None:
    speed = find_speed((), (), _NO_IDEA, 4, 125.0)
    assert speed.value == 50.0
    assert [p.code for p in speed.problems] == ["speed-guessed"]


def test_print_wins_over_an_unusual_column() -> None:
    speed = find_speed([_print(50.0, SPEEDS_MM_S, 0.99, 1.0)], (), _NO_IDEA, 4, 60.0)
    assert (speed.value, speed.how) == (50.0, "printed")


def test_print_is_believed_where_a_column_lasts_half_as_long_as_usual() -> None:
    """Four columns of 1.25 s fill a sheet at 50 mm/s; the network takes them for 2.5 s at 25."""
    network = np.array([0.003, 0.99, 0.007], np.float32)
    speed = find_speed([_print(50.0, SPEEDS_MM_S, 0.99, 1.0)], (), network, 4, 62.5)
    assert (speed.value, speed.how, [p.code for p in speed.problems]) == (50.0, "printed", ["speed-conflict"])
    assert find_speed((), (), network, 4, 62.5).value == 25.0


def test_several_pulses_of_one_height_stand_against_a_misread_print() -> None:
    """5 mm/mV was read at 0.79 where 10 is printed and four pulses are 10 mm high."""
    misread = [_print(5.0, GAINS_MM_MV, 0.88, 0.9)]
    pulses = [Pulse(-10.0, 30.0 * k, 4.6, 10.0 + 0.05 * k, 0.9) for k in range(4)]
    found = find_gain(misread, pulses)
    assert (found.value, found.how, [p.code for p in found.problems]) == (10.0, "pulse", ["gain-conflict"])
    assert find_gain(misread, pulses[:2]).value == 5.0


def test_print_that_may_be_none_does_not_outweigh_what_is_usual() -> None:
    """A heart rate read as 50 mm/s with a chance of 0.46 made pages of 25 mm/s twice as fast."""
    assert find_speed([_print(50.0, SPEEDS_MM_S, 0.95, 0.46)], (), _NO_IDEA, 1, 250.0).value == 25.0
    assert find_speed([_print(50.0, SPEEDS_MM_S, 0.95, 0.98)], (), _NO_IDEA, 1, 250.0).value == 50.0


def test_a_speed_is_believed_beside_a_gain() -> None:
    rate, speed = (replace(_print(v, SPEEDS_MM_S, 0.95, 0.9), y_mm=y) for v, y in ((50.0, 10.0), (25.0, 200.0)))
    gain = replace(_print(10.0, GAINS_MM_MV, 0.95, 0.9), x_mm=115.0, y_mm=200.5)
    first, second = paired([rate, speed], [gain], 0.4)
    assert (first, second.chance) == (speed, pytest.approx(0.36))
    on_the_spot = replace(gain, x_mm=102.0)
    assert paired([speed], [on_the_spot], 0.4)[0].chance == pytest.approx(0.36)


def test_of_two_gains_on_one_line_the_second_is_the_chest_leads() -> None:
    limb, chest = _print(10.0, GAINS_MM_MV, 0.95, 0.98), replace(_print(5.0, GAINS_MM_MV, 0.95, 0.97), x_mm=124.0)
    found = find_gain([limb, chest], ())
    assert (found.value, found.chest) == (10.0, 5.0)
    # On another line, or before the first, or not half of it, it says nothing of them.
    for other in (replace(chest, y_mm=60.0), replace(chest, x_mm=70.0), replace(limb, x_mm=124.0)):
        assert find_gain([limb, other], ()).chest is None


def test_a_pulse_measured_on_its_ink_outweighs_what_is_read() -> None:
    pulse = Pulse(-10.0, 30.0, 4.6, 19.97, 0.9, inked=True, exact=True)
    found = find_gain([_print(10.0, GAINS_MM_MV, 0.97, 0.99)], [pulse])
    assert (found.value, found.how, [p.code for p in found.problems]) == (20.0, "pulse", ["gain-conflict"])


def test_pulses_measured_from_line_to_line_are_asked_alone() -> None:
    """One that hung together with the row below was 20 mm high, two others 5 mm: gain 10 was used."""
    exact = [Pulse(240.0, y, 4.6, height, 0.9, inked=True, exact=True) for y, height in ((40.0, 5.1), (60.0, 5.2))]
    found = find_gain([], [*exact, Pulse(240.0, 80.0, 4.6, 20.0, 0.9, inked=True)])
    assert (found.value, found.how, found.problems) == (5.0, "pulse", ())


def test_what_is_hardly_print_contradicts_nothing() -> None:
    """A spot that reads as 50 mm/s with a chance of a third made every tenth page one with a conflict."""
    for chance, codes in ((0.3, []), (0.9, ["speed-conflict"])):
        speed = find_speed([_print(50.0, SPEEDS_MM_S, 0.95, chance)], (), _NO_IDEA, 4, 62.5)
        assert speed.value == 25.0
        assert [p.code for p in speed.problems] == codes


@pytest.mark.parametrize(("value", "chance", "used"), [(2.5, 0.7, 10.0), (2.5, 0.999, 2.5), (20.0, 0.95, 20.0)])
def test_the_rarest_gain_is_believed_in_clear_print_only(value: float, chance: float, used: float) -> None:
    """ "QRS 90 ms" in a heading looks a little like 2.5 mm/mV, which hardly anybody prints."""
    dense = np.full((DENSE_CHANNELS, 40, 200), -8.0, np.float32)
    dense[DENSE["gain_heat"], 10, 50] = 3.0
    words = np.zeros(len(WORDS))
    words[0], words[GAINS.start + GAINS_MM_MV.index(value)] = 1 - chance, chance
    answer = SheetMap(dense, np.zeros(WHOLE_NUMBERS, np.float32), 0.5, 0.5)
    printed = find_scales(answer, "gain", lambda places: np.tile(words, (len(places), 1)))
    assert find_gain(printed, ()).value == used
