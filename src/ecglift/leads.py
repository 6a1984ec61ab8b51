"""The twelve leads: names, spellings, order, the relations between them."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEADS: Final[tuple[str, ...]] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Standard names in the order in which every array of this package holds them."""

LIMB_LEADS: Final[tuple[str, ...]] = LEADS[:6]
CHEST_LEADS: Final[tuple[str, ...]] = LEADS[6:]
LEAD_INDEX: Final[dict[str, int]] = {name: k for k, name in enumerate(LEADS)}

CABRERA_LIMB_LEADS: Final[tuple[str, ...]] = ("aVL", "I", "-aVR", "II", "aVF", "III")
"""Limb leads of a Cabrera sheet from top to bottom; its aVR is printed inverted."""

_SPELLINGS: Final[dict[str, str]] = {
    **{name.upper(): name for name in LEADS},
    **{f"C{k}": f"V{k}" for k in range(1, 7)},
    **{name.upper(): f"aV{name[-1]}" for name in ("VR", "VL", "VF")},
    "1": "I",
    "2": "II",
    "3": "III",
}


def lead_name(text: str) -> str | None:
    """The standard name for a printed or written lead name, or None when it is none.

    Case, spaces and the usual variants ("AVR", "a VR", "C1", "D II", "Lead II", "MDC_ECG_LEAD_V1") are understood.
    A leading minus is not: see :func:`polarity`.
    """
    key = re.sub(r"[\s_.:]", "", text.upper())
    key = re.sub(r"^(MDCECGLEAD|ECGLEAD|LEAD|ABL|ABLEITUNG|D(?=[I1-3]))", "", key)
    return _SPELLINGS.get(key)


def polarity(text: str) -> tuple[str | None, int]:
    """(standard name or None, +1 or −1): a Cabrera sheet's "-aVR" is ("aVR", −1)."""
    stripped = text.strip()
    if stripped[:1] in {"-", "−", "–"}:
        return lead_name(stripped[1:]), -1
    return lead_name(stripped), 1


def limb_leads_from(i_mv: NDArray[np.float64], ii_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """All six limb leads from I and II: (6, n) mV, order I II III aVR aVL aVF.

    Einthoven: III = II − I.  Goldberger: aVR = −(I + II)/2, aVL = I − II/2, aVF = II − I/2.
    """
    i_mv, ii_mv = np.asarray(i_mv, float), np.asarray(ii_mv, float)
    return np.stack([i_mv, ii_mv, ii_mv - i_mv, -(i_mv + ii_mv) / 2, i_mv - ii_mv / 2, ii_mv - i_mv / 2])


LIMB_BASIS: Final[NDArray[np.float64]] = limb_leads_from(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
"""(6, 2): the limb leads are this times (I, II)."""

LIMB_RELATIONS: Final[NDArray[np.float64]] = np.array(
    [
        [1.0, -1.0, 1.0, 0.0, 0.0, 0.0],  # Einthoven: I − II + III = 0
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0],  # Goldberger: aVR + aVL + aVF = 0
        [0.5, 0.5, 0.0, 1.0, 0.0, 0.0],  # aVR = −(I + II)/2
        [-1.0, 0.5, 0.0, 0.0, 1.0, 0.0],  # aVL = I − II/2
    ]
)
"""(4, 6): each row times the limb leads is zero at every moment when all are measured together."""
