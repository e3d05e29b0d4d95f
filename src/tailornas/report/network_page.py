"""The page on one network, trained without a search, as one HTML file that needs nothing else."""

from tailornas.report.figures import by_size
from tailornas.report.glossary import explained
from tailornas.report.page import own_words, render_template, stage_times
from tailornas.report.recognition import most_confused
from tailornas.report.sections import Section, class_section, confusion_section, recall_section, training_section
from tailornas.report.style import FOUND, TEST
from tailornas.report.summary import result, summarize_one
from tailornas.report.use import preparation
from tailornas.report.values import NetworkReport

__all__ = ["network_sections", "render_network"]


def render_network(report: NetworkReport) -> str:
    """Returns the page as HTML text, to be written as UTF-8; safe as :func:`tailornas.report.render` is."""
    network = report.network
    classes = network["metrics"]["per_class"]
    told, summary, figures = result(network), summarize_one(network), network_sections(report)
    words = own_words(row for rows in summary.values() for row in rows)
    return render_template(
        "network.html.j2",
        title=report.title,
        report=report,
        result=told,
        summary=summary,
        terms=explained([*words, *(figure.aid for figure in figures)], [network["loss"]]),
        sections=figures,
        classes=[classes[i] for i in by_size([entry["train"] for entry in classes])],
        confusions=most_confused(network["metrics"]),
        stages=stage_times(report.seconds),
        prepared=preparation(report.data),
    )


def network_sections(report: NetworkReport) -> list[Section]:
    """All figures of ``report`` in the page's order."""
    metrics = report.network["metrics"]
    return [
        class_section(report.data),
        recall_section(metrics),
        training_section(
            ("First stage: the network", report.train_log, FOUND),
            ("Second stage: its head, the rest frozen", report.head_log, TEST),
        ),
        confusion_section(metrics, report.network["name"]),
    ]
