"""Roadworthy takes an AI proof of concept onto the road and keeps it roadworthy."""

from roadworthy.core.release import pickled
from roadworthy.core.remote import remote
from roadworthy.core.views import view

__all__ = ["pickled", "remote", "view"]
__version__ = "0.1.0"
