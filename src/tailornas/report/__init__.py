"""Reports, each one self-contained HTML page: of a search, and of one network."""

from tailornas.report.network_page import render_network
from tailornas.report.page import render
from tailornas.report.summary import Row, Verdict, result, summarize, summarize_one, verdict
from tailornas.report.values import (
    Candidate,
    ClassRecall,
    Data,
    DifferenceErrors,
    Group,
    Limits,
    LogLine,
    Metrics,
    Network,
    NetworkReport,
    Plan,
    Report,
)

__all__ = [
    "Candidate",
    "ClassRecall",
    "Data",
    "DifferenceErrors",
    "Group",
    "Limits",
    "LogLine",
    "Metrics",
    "Network",
    "NetworkReport",
    "Plan",
    "Report",
    "Row",
    "Verdict",
    "render",
    "render_network",
    "result",
    "summarize",
    "summarize_one",
    "verdict",
]
