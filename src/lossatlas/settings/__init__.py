"""The settings as frozen, validated classes: what `params.yaml` may hold."""

from lossatlas.settings.preset import Params
from lossatlas.settings.runs import DataSettings, RunSettings

__all__ = ["DataSettings", "Params", "RunSettings"]
