"""Reports: a finished run as tables, sentences and one self-contained HTML page."""

from __future__ import annotations

from hasten.report.page import render, write
from hasten.report.story import Story, read
from hasten.report.values import Arm, Interval

__all__ = ["Arm", "Interval", "Story", "read", "render", "write"]
