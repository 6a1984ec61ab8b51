"""The shapes of P, QRS and T: sources in the heart that switch on and off, seen through a torso."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.press.torso import Torso, exact_leads

Values = NDArray[np.float64]

QT_UNIT_S: Final = 0.4
"""T waves are described for this QT interval and stretched in time to the beat's own."""


@dataclass(frozen=True)
class Wave:
    """A sum of bumps ``exp(−|d|^power / 2)``, d in widths from the centre, that may rise and fall at different rates.

    ``centre_s``, ``rise_s``, ``fall_s``, ``power``: (k,); ``seen_mv``: (9, k) height of each bump at each electrode.
    """

    centre_s: Values
    rise_s: Values
    fall_s: Values
    power: Values
    seen_mv: Values

    def at(self, t_s: Values) -> Values:
        """(9, n) mV at the times ``t_s`` (n,) after the wave's own zero."""
        d = t_s[:, None] - self.centre_s
        d = np.abs(d) / np.where(d < 0, self.rise_s, self.fall_s)
        return np.asarray(self.seen_mv @ np.exp(-0.5 * d**self.power).T)

    def scaled(self, factor: float) -> Wave:
        return replace(self, seen_mv=self.seen_mv * factor)

    def and_also(self, other: Wave) -> Wave:
        """Both waves at once."""
        mine = (self.centre_s, self.rise_s, self.fall_s, self.power, self.seen_mv)
        others = (other.centre_s, other.rise_s, other.fall_s, other.power, other.seen_mv)
        return Wave(*(np.concatenate([a, b], axis=-1) for a, b in zip(mine, others, strict=True)))

    def bounds_s(self, fraction: float) -> tuple[float, float, float]:
        """(onset, peak, end): where the largest deflection in any lead passes ``fraction`` of its peak, first and
        last; nan without any.
        """
        if not len(self.centre_s):
            return np.nan, np.nan, np.nan
        t = np.arange(np.min(self.centre_s - 4 * self.rise_s), np.max(self.centre_s + 4 * self.fall_s), 5e-4)
        leads = exact_leads(self.at(t))
        size = np.abs(leads).max(axis=0)
        if size.max() < 1e-3:
            return np.nan, np.nan, np.nan
        above = np.flatnonzero(size > fraction * size.max())
        peak = t[np.argmax((leads**2).sum(axis=0))]
        return float(t[above[0]]), float(peak), float(t[above[-1]])


@dataclass(frozen=True)
class Sources:
    """Bumps in the heart before a torso sees them: times (k,) s, ``moment`` (k, 3) mV, ``position_cm`` (k, 3)."""

    centre_s: Values
    rise_s: Values
    fall_s: Values
    moment: Values
    position_cm: Values
    power: float = 2.0

    def through(self, torso: Torso) -> Wave:
        seen = torso.sees(self.moment, self.position_cm)
        return Wave(self.centre_s, self.rise_s, self.fall_s, np.full(len(self.centre_s), self.power), seen)

    def net(self) -> Values:
        """(3,) mV·s: moment times duration, which the secondary T wave opposes."""
        return np.asarray((self.moment * (self.rise_s + self.fall_s)[:, None]).sum(axis=0))


def _sources(
    rows: list[tuple[float, float, tuple[float, float, float], tuple[float, float, float]]], power: float = 2.0
) -> Sources:
    """From rows (centre ms, width ms, moment, position)."""
    centre, width = np.array([r[0] for r in rows]) / 1e3, np.array([r[1] for r in rows]) / 1e3
    return Sources(centre, width, width.copy(), np.array([r[2] for r in rows]), np.array([r[3] for r in rows]), power)


def _varied(
    rng: np.random.Generator, s: Sources, time: float = 0.06, size: float = 0.2, turn: float = 0.12, place: float = 0.6
) -> Sources:
    """The same sources in another heart."""
    k = len(s.centre_s)
    span = float(np.ptp(s.centre_s)) if k > 1 else float(s.rise_s[0])
    moment = s.moment * rng.lognormal(0, size, (k, 1))
    moment = moment + rng.normal(0, turn, (k, 3)) * np.linalg.norm(moment, axis=1, keepdims=True)
    return Sources(
        s.centre_s + rng.normal(0, time * span, k),
        s.rise_s * rng.lognormal(0, 0.14, k),
        s.fall_s * rng.lognormal(0, 0.14, k),
        moment,
        s.position_cm + rng.normal(0, place, (k, 3)),
        s.power,
    )


def _stretched(s: Sources, factor: float) -> Sources:
    return replace(s, centre_s=s.centre_s * factor, rise_s=s.rise_s * factor, fall_s=s.fall_s * factor)


# Ventricular activation in the order in which it runs: after Durrer et al., Circulation 41:899 (1970). Times in ms
# after the onset.
_NORMAL_QRS: Final = _sources(
    [
        (15, 5.5, (-0.13, -0.02, 0.17), (0.5, 0.0, 1.5)),  # septum, from left to right
        (30, 5.8, (0.36, 0.34, 0.16), (2.0, 2.0, 2.5)),  # apex and anterior wall
        (36, 6.5, (-0.12, 0.08, 0.08), (-2.5, 0.5, 2.5)),  # right free wall
        (42, 6.8, (0.88, 0.46, -0.60), (2.5, 0.5, -1.0)),  # left lateral wall
        (56, 6.8, (0.05, -0.16, -0.55), (1.0, -1.5, -2.5)),  # posterior base
        (66, 7.5, (-0.06, -0.14, -0.10), (-0.5, -2.0, -1.0)),  # last of all the base of the septum
    ]
)
_LBBB_QRS: Final = _sources(
    [
        (20, 9.0, (-0.05, 0.05, 0.25), (-2.5, 0.5, 2.5)),  # right wall alone
        (47, 13.0, (0.65, 0.35, -0.50), (0.5, 0.0, 1.0)),  # septum, from right to left
        (76, 15.0, (0.75, 0.25, -0.90), (2.5, 0.5, 0.0)),
        (104, 15.0, (0.85, 0.05, -0.60), (3.5, -0.5, -1.0)),
        (126, 12.0, (0.20, -0.20, -0.20), (2.5, -1.5, -2.0)),
    ]
)
_RBBB_LATE: Final = _sources(
    [(88, 12.0, (-0.42, 0.02, 0.50), (-2.5, 0.0, 2.5)), (108, 14.0, (-0.38, -0.05, 0.38), (-3.0, -1.0, 2.0))]
)
_PACED_QRS: Final = _sources(
    [
        (28, 11.0, (0.20, -0.30, -0.10), (-0.5, 2.5, 2.0)),  # from the apex of the right ventricle upwards
        (60, 16.0, (0.60, -0.75, -0.45), (1.0, 1.0, 1.0)),
        (95, 17.0, (0.65, -0.80, -0.70), (2.5, 0.0, -0.5)),
        (132, 15.0, (0.25, -0.25, -0.45), (2.5, -1.5, -2.0)),
    ]
)
_P: Final = _sources(
    [(40, 17.0, (0.035, 0.085, 0.045), (-2.5, -2.5, 1.0)), (66, 19.0, (0.075, 0.055, -0.045), (0.5, -3.0, -2.0))]
)

_T_DIRECTION: Final = np.array([0.52, 0.38, 0.58])
REGIONS: Final[dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    "anterior": ((0.25, 0.05, 0.95), (1.5, 0.5, 3.5)),
    "inferior": ((-0.15, 0.98, -0.1), (0.5, 3.0, -0.5)),
    "lateral": ((0.95, -0.2, 0.2), (4.0, -0.5, 0.5)),
    "septal": ((-0.35, 0.0, 0.9), (0.0, 0.0, 3.0)),
    "posterior": ((0.2, 0.1, -0.95), (1.5, 0.5, -3.5)),
}
"""Where a wall lies: its outward direction and its place in cm."""


@dataclass(frozen=True)
class Morphology:
    """How one kind of beat looks: waves that start at P onset, at QRS onset, and (for QT = :data:`QT_UNIT_S`) again at
    QRS onset.

    The bounds are (onset, peak, end) in seconds after each wave's own zero.
    """

    p: Wave
    qrs: Wave
    t: Wave
    p_bounds_s: tuple[float, float, float]
    qrs_bounds_s: tuple[float, float, float]
    t_bounds_s: tuple[float, float, float]


P_FRACTION: Final = 0.06
QRS_FRACTION: Final = 0.025
T_FRACTION: Final = 0.13
"""A wave begins and ends where its largest deflection passes these fractions of its peak: what a careful reader sees
above the noise; for T it is where the tangent to the fall of a Gaussian meets the baseline (2 standard deviations).
"""


def morphology(p: Wave, qrs: Wave, t: Wave, u: Wave | None = None) -> Morphology:
    """The beat with its bounds, each wave moved so that P and QRS begin at their own zero and T ends at QT.

    A U wave moves with T and does not count for its end.
    """

    def from_zero(wave: Wave, fraction: float) -> Wave:
        onset = wave.bounds_s(fraction)[0]
        return wave if np.isnan(onset) else replace(wave, centre_s=wave.centre_s - onset)

    p, qrs = from_zero(p, P_FRACTION), from_zero(qrs, QRS_FRACTION)
    end = t.bounds_s(T_FRACTION)[2]
    shift = 0.0 if np.isnan(end) else QT_UNIT_S - end
    t = replace(t, centre_s=t.centre_s + shift)
    t_bounds = t.bounds_s(T_FRACTION)
    if u is not None:
        t = t.and_also(replace(u, centre_s=u.centre_s + shift))
    return Morphology(p, qrs, t, p.bounds_s(P_FRACTION), qrs.bounds_s(QRS_FRACTION), t_bounds)


def _fragments(rng: np.random.Generator, qrs: Sources, how_many: int, size: float) -> Sources:
    """Small quick notches within the QRS, as scars and slow fibres make them."""
    first, last = float(np.min(qrs.centre_s)), float(np.max(qrs.centre_s))
    k = max(how_many, 1)
    width = rng.uniform(2.5e-3, 6e-3, k)
    moment = rng.normal(0, size if how_many else 0.0, (k, 3))
    return Sources(
        rng.uniform(first, last + 0.01, k), width, width * rng.uniform(0.8, 1.3, k), moment, rng.normal(0, 2.2, (k, 3))
    )


def _t_wave(rng: np.random.Generator, torso: Torso, moment: Values, sharpness: float = 2.0) -> Wave:
    """A T wave of total ``moment`` from two parts of the heart that recover one after the other."""
    share = rng.uniform(0.35, 0.65)
    tilt = rng.normal(0, 0.2, 3) * np.linalg.norm(moment)
    peak = rng.uniform(0.285, 0.315)
    fall = (QT_UNIT_S - peak) / rng.uniform(2.3, 2.6)
    rise = fall * rng.uniform(1.35, 1.95)
    lag = rng.uniform(0.0, 0.018)
    parts = Sources(
        np.array([peak - lag, peak + lag]),
        np.array([rise, rise * 0.95]),
        np.array([fall, fall]),
        np.stack([moment * share + tilt / 2, moment * (1 - share) - tilt / 2]),
        np.array([[1.0, 0.5, 1.5], [2.0, 1.0, -0.5]]) + rng.normal(0, 0.8, (2, 3)),
        sharpness,
    )
    return parts.through(torso)


def _st_shift(torso: Torso, moment: Values, position_cm: Values, j_s: float, until_s: float = 0.30) -> Wave:
    """A plateau between the end of the QRS and the T wave."""
    middle, half = (j_s + until_s) / 2, (until_s - j_s) / 2
    plateau = Sources(
        np.array([middle]), np.array([half]), np.array([half * 1.5]), moment[None], position_cm[None], power=4.0
    )
    return plateau.through(torso)


@dataclass(frozen=True)
class Heart:
    """One patient's beats by kind: "normal", "ectopic-p" (as normal with another P), "pvc", "paced", "escape"."""

    beats: dict[str, Morphology]
    atrium: Wave
    spike_mv: Values


def draw_heart(
    rng: np.random.Generator, torso: Torso, conditions: tuple[str, ...], voltage: float, escape_wide: bool = False
) -> Heart:
    """A heart with the given ``conditions`` (names of :data:`ecglift.press.patients.CONDITIONS`); ``voltage``: size of
    all its waves, 1 is usual.
    """
    has = set(conditions)
    none = _sources([(0, 10, (0, 0, 0), (0, 0, 0))]).through(torso)
    p_sources = _varied(rng, _P, size=0.25, turn=0.18, place=0.8)
    p = p_sources.through(torso).scaled(voltage * rng.uniform(0.45, 1.1) * (1.7 if "large-p" in has else 1.0))

    speed = rng.uniform(1.0, 1.35)
    if "lbbb" in has:
        qrs_sources, secondary = (
            _stretched(_varied(rng, _LBBB_QRS, 0.03), rng.uniform(0.95, 1.15)),
            rng.uniform(0.35, 0.6),
        )
    else:
        qrs_sources, secondary = _stretched(_varied(rng, _NORMAL_QRS, 0.03, 0.22, 0.14), speed), 0.0
    if "lvh" in has:
        grown = np.array([1.0, 1.2, 1.0, 1.7, 1.7, 1.0])[: len(qrs_sources.centre_s)] * rng.uniform(0.9, 1.15)
        qrs_sources = replace(qrs_sources, moment=qrs_sources.moment * grown[:, None])
        secondary = max(secondary, rng.uniform(0.1, 0.4))
    qrs = qrs_sources.through(torso)
    net = qrs_sources.net()
    if "rbbb" in has:
        late = _stretched(_varied(rng, _RBBB_LATE, 0.1, 0.25), speed * rng.uniform(0.95, 1.15))
        qrs, net, secondary = qrs.and_also(late.through(torso)), late.net(), rng.uniform(0.15, 0.3)
    if "old-infarct" in has:
        outward, place = REGIONS[str(rng.choice(["anterior", "inferior", "lateral", "septal"]))]
        scar = _sources([(24, 9, outward, place), (36, 9, outward, place)])
        qrs = qrs.and_also(replace(scar, moment=-scar.moment * rng.uniform(0.25, 0.6)).through(torso))
    fragments = int(rng.integers(2, 7)) if "fragmented" in has else int(rng.integers(0, 3))
    qrs = qrs.and_also(
        _fragments(rng, qrs_sources, fragments, 0.13 if "fragmented" in has else 0.05).through(torso)
    ).scaled(voltage)

    direction = _T_DIRECTION + rng.normal(0, 0.14, 3)
    size = rng.lognormal(np.log(0.33), 0.35)
    sharpness = rng.uniform(1.8, 2.2)
    if "t-inversion" in has:
        outward, _ = REGIONS[str(rng.choice(["anterior", "inferior", "lateral"]))]
        direction = direction - np.array(outward) * rng.uniform(0.9, 1.8)
    if "t-flat" in has:
        size *= rng.uniform(0.08, 0.3)
    if "t-peaked" in has:
        size, sharpness = size * rng.uniform(1.6, 2.6), rng.uniform(1.4, 1.7)
    if "biphasic-t" in has:
        direction = direction * 0.4
    t_moment = direction / np.linalg.norm(_T_DIRECTION) * size
    if secondary:
        t_moment = t_moment * 0.5 - net / max(float(np.linalg.norm(net)), 1e-9) * secondary * rng.uniform(0.8, 1.4)
    j = qrs.bounds_s(QRS_FRACTION)[2]
    t = _t_wave(rng, torso, t_moment, sharpness)
    if "biphasic-t" in has:
        second = _t_wave(rng, torso, -t_moment * rng.uniform(0.6, 1.2), sharpness)
        t = t.and_also(
            replace(second, centre_s=second.centre_s - 0.06, fall_s=second.fall_s * 0.7, rise_s=second.rise_s * 0.7)
        )
    t = t.and_also(_st_shift(torso, t_moment * rng.uniform(-0.02, 0.12), np.array([1.5, 0.5, 1.0]), j))
    if secondary:
        t = t.and_also(
            _st_shift(
                torso, -net / max(float(np.linalg.norm(net)), 1e-9) * secondary * 0.35, np.array([1.5, 0.0, 1.0]), j
            )
        )
    for name in has:
        if name.startswith("st-elevation-"):
            outward, place = REGIONS[name.removeprefix("st-elevation-")]
            t = t.and_also(
                _st_shift(torso, np.array(outward) * rng.uniform(0.1, 0.4), np.array(place), j, rng.uniform(0.29, 0.33))
            )
    if "st-depression" in has:
        outward, place = REGIONS[str(rng.choice(["anterior", "lateral"]))]
        t = t.and_also(_st_shift(torso, -np.array(outward) * rng.uniform(0.07, 0.22), np.array(place), j))
    u = None
    if "u-wave" in has:
        hump = Sources(
            np.array([0.49]),
            np.array([0.03]),
            np.array([0.04]),
            t_moment[None] * rng.uniform(0.1, 0.25),
            np.array([[1.0, 0.5, 2.0]]),
        )
        u = hump.through(torso).scaled(voltage)
    t = t.scaled(voltage)

    normal = morphology(p, qrs, t, u)
    ectopic = _varied(
        rng, replace(_P, moment=_P.moment * np.array([1.0, rng.choice([-1.0, 1.0]), 1.0])), size=0.3, turn=0.4
    )
    pvc = _wide_beat(rng, torso, voltage)
    paced = _secondary_beat(rng, torso, _stretched(_varied(rng, _PACED_QRS, 0.03), rng.uniform(0.95, 1.15)), voltage)
    escape = _wide_beat(rng, torso, voltage * 0.8) if escape_wide else normal
    beats = {
        "normal": normal,
        "ectopic-p": morphology(ectopic.through(torso).scaled(voltage), qrs, t),
        "pvc": morphology(none, *pvc),
        "paced": morphology(p, *paced),
        "escape": morphology(none, escape.qrs, escape.t)
        if isinstance(escape, Morphology)
        else morphology(none, *escape),
    }
    flicker = Sources(
        np.zeros(3),
        np.ones(3),
        np.ones(3),
        np.array([[-0.01, 0.05, 0.06], [0.03, 0.05, 0.02], [-0.03, 0.02, 0.05]]) + rng.normal(0, 0.012, (3, 3)),
        np.array([[-3.0, -2.5, 1.5], [0.5, -3.0, -2.0], [-2.5, -1.0, 2.5]]),
    )
    spike = torso.sees(
        np.array([[0.5, 0.8, 0.3]]) * rng.uniform(0.15, 1.6) * rng.choice([-1, 1]), np.array([[-0.5, 2.0, 2.0]])
    )[:, 0]
    return Heart(beats, flicker.through(torso), spike)


def _secondary_beat(rng: np.random.Generator, torso: Torso, sources: Sources, voltage: float) -> tuple[Wave, Wave]:
    """(QRS, T) of a beat whose repolarisation follows its abnormal activation: ST and T point the other way."""
    qrs = sources.through(torso).scaled(voltage)
    net = sources.net()
    away = -net / float(np.linalg.norm(net))
    size = float(np.linalg.norm(sources.moment.sum(axis=0))) * rng.uniform(0.16, 0.3)
    j = qrs.bounds_s(QRS_FRACTION)[2]
    t = _t_wave(rng, torso, away * size).and_also(
        _st_shift(torso, away * size * rng.uniform(0.2, 0.45), np.array([1.0, 0.0, 0.5]), j)
    )
    return qrs, t.scaled(voltage)


def _wide_beat(rng: np.random.Generator, torso: Torso, voltage: float) -> tuple[Wave, Wave]:
    """A beat that starts in the muscle: slow, large, from any place to any direction."""
    direction = rng.normal(0, 1, 3)
    direction /= np.linalg.norm(direction)
    side = np.cross(direction, rng.normal(0, 1, 3))
    side /= np.linalg.norm(side)
    size, length = rng.uniform(0.9, 1.8), rng.uniform(0.95, 1.3)
    bend = rng.uniform(0.2, 0.8)
    rows = []
    for centre, width, along in ((24, 10.0, 0.35), (52, 14.0, 0.9), (84, 16.0, 1.0), (118, 14.0, 0.4)):
        swing = np.cos(centre / 118 * np.pi) * bend
        moment = size * along * (direction + swing * side)
        place = direction * (centre - 70) / 30
        rows.append((centre * length, width * length, tuple(moment), tuple(place)))
    return _secondary_beat(rng, torso, _varied(rng, _sources(rows), 0.03), voltage)
