"""The run's report: one self-contained HTML page."""

from tailornas.report.page import render
from tailornas.report.summary import Row, Verdict, summarize, verdict
from tailornas.report.values import (
    Candidate,
    ClassRecall,
    Data,
    Group,
    Limits,
    LogLine,
    Metrics,
    Network,
    Plan,
    Report,
)

__all__ = [
    "Candidate",
    "ClassRecall",
    "Data",
    "Group",
    "Limits",
    "LogLine",
    "Metrics",
    "Network",
    "Plan",
    "Report",
    "Row",
    "Verdict",
    "render",
    "summarize",
    "verdict",
]
