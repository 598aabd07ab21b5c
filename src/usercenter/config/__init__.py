"""The settings: read once, checked whole, and immutable from then on."""

from usercenter.config.findings import ConfigInvalid
from usercenter.config.loading import Loaded, load
from usercenter.config.model import Config

__all__ = ["Config", "ConfigInvalid", "Loaded", "load"]
