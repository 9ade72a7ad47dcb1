"""Capacity planning: short real loads on one worker, and what they say of a rate: cores, memory, storage and money."""

from __future__ import annotations

from roadworthy.capacity.plan import Asked, evidence_of, make_plan

__all__ = ["Asked", "evidence_of", "make_plan"]
