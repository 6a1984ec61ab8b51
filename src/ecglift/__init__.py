"""ecglift reads ECGs off paper: an image or PDF of a 12-lead ECG in, calibrated millivolts out."""

__version__ = "0.1.0"

from ecglift.pipeline import Digitizer, Run, digitize, digitize_all
from ecglift.problem import Problem
from ecglift.recording import Recording, Segment
from ecglift.settings import Settings

__all__ = ["Digitizer", "Problem", "Recording", "Run", "Segment", "Settings", "__version__", "digitize", "digitize_all"]
