"""Where electrodes and cardiac sources stand, and what each electrode sees of each source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import limb_leads_from

Vectors = NDArray[np.float64]

ELECTRODES: Final[tuple[str, ...]] = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of every array with one row per electrode. Body axes everywhere in the press: x to the left, y to the feet, z
to the front.
"""

_DOWER: Final = np.array(
    [
        [0.632, -0.235, -0.059],  # I
        [0.235, 1.066, 0.132],  # II
        [-0.515, 0.157, 0.917],  # V1
        [0.044, 0.164, 1.387],
        [0.882, 0.098, 1.277],
        [1.213, 0.127, 0.601],
        [1.125, 0.127, 0.086],
        [0.831, 0.076, -0.230],  # V6
    ]
)
"""What a unit dipole at the heart's centre shows in I, II, V1 to V6: Dower et al., J Electrocardiol 13:81 (1980), with
z turned to the front.
"""

_REACH_CM2: Final = 100.0
"""Strength of the field: with it a chest electrode of Dower's strength stands 8 to 11 cm from the heart's centre."""

_FROM_ELECTRODES: Final = np.array(
    [
        [-1, 1, 0, 0, 0, 0, 0, 0, 0],  # I = LA − RA
        [-1, 0, 1, 0, 0, 0, 0, 0, 0],  # II = LL − RA
        *([-1 / 3, -1 / 3, -1 / 3, *np.eye(6)[k]] for k in range(6)),  # V against Wilson's terminal
    ]
)

_QUANTUM_MV: Final = 2.0**-15
"""I and II are rounded to this, so that every limb lead is exact in float32 and the relations hold without any
rounding error.
"""


def _twelve(eight: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([limb_leads_from(eight[0], eight[1]), eight[2:]])


def exact_leads(potential_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """(12, n) mV from potentials (9, n) in the order of :data:`ELECTRODES`, unrounded."""
    return _twelve(_FROM_ELECTRODES @ potential_mv)


def leads_from_electrodes(potential_mv: NDArray[np.float64]) -> NDArray[np.float32]:
    """(12, n) float32 mV from potentials (9, n); Einthoven and Goldberger hold to the last bit."""
    eight = np.round(_FROM_ELECTRODES @ potential_mv / _QUANTUM_MV) * _QUANTUM_MV
    return _twelve(eight).astype(np.float32)


def rotation(frontal_deg: float, horizontal_deg: float, sagittal_deg: float) -> Vectors:
    """(3, 3) turn of the heart in the chest: positive frontal angles turn the axis clockwise (towards the feet), as
    read on an ECG.
    """
    f, h, s = np.radians([frontal_deg, horizontal_deg, sagittal_deg])
    about_z = np.array([[np.cos(f), -np.sin(f), 0], [np.sin(f), np.cos(f), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(h), 0, -np.sin(h)], [0, 1, 0], [np.sin(h), 0, np.cos(h)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(s), -np.sin(s)], [0, np.sin(s), np.cos(s)]])
    return np.asarray(about_z @ about_y @ about_x)


@dataclass(frozen=True)
class Torso:
    """One body. ``electrodes_cm``: (9, 3) around the heart's centre; ``turn``: (3, 3) rotation of the heart."""

    electrodes_cm: Vectors
    turn: Vectors

    def sees(self, moment: Vectors, position_cm: Vectors) -> Vectors:
        """(9, k) mV: what electrodes see of dipoles ``moment`` (k, 3) at ``position_cm`` (k, 3), both in the heart's
        own axes.

        The field of a dipole in a homogeneous conductor; at the heart's centre it is Dower's matrix, and a source
        nearer to a
        chest electrode weighs more there: this is what makes neighbouring chest leads differ in shape and not only in
        size.
        """
        moment, position = moment @ self.turn.T, position_cm @ self.turn.T
        away = self.electrodes_cm[:, None, :] - position[None]
        distance = np.linalg.norm(away, axis=2)
        return np.asarray(_REACH_CM2 * np.einsum("eki,ki->ek", away, moment) / np.maximum(distance, 4.0) ** 3)


def _standard_electrodes() -> Vectors:
    i, ii = _DOWER[:2]
    ra = -(i + ii) / 3
    fields = np.stack([ra, i + ra, ii + ra, *_DOWER[2:]])
    strength = np.linalg.norm(fields, axis=1, keepdims=True)
    return np.asarray(fields / strength * np.sqrt(_REACH_CM2 / strength))


STANDARD_ELECTRODES_CM: Final = _standard_electrodes()
"""(9, 3): the places at which a dipole in a homogeneous conductor shows exactly Dower's lead vectors."""


def draw_torso(rng: np.random.Generator) -> Torso:
    """A body with its own heart position and with electrodes placed as well as in practice (1 cm off)."""
    electrodes = STANDARD_ELECTRODES_CM.copy()
    electrodes[3:] += rng.normal(0, 0.8, (6, 3)) + rng.normal(0, 0.5, 3)
    electrodes[3:] *= rng.lognormal(0.0, 0.07)
    electrodes[:3] *= rng.lognormal(np.log(0.85), 0.07, (3, 1))
    return Torso(electrodes, rotation(rng.normal(-10, 20), rng.normal(-8, 11), rng.normal(0, 8)))
