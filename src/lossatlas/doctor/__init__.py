"""`lossatlas doctor`: looks at an installation and says what to do; changes nothing and computes nothing."""

from lossatlas.doctor.examine import examine
from lossatlas.doctor.finding import Finding

__all__ = ["Finding", "examine"]
