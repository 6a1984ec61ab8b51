"""ecglift reads ECGs off paper: an image or PDF of a 12-lead ECG in, calibrated millivolts out."""

__version__ = "0.1.0"
