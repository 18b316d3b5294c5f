"""The reproduction report: Markdown, one self-contained HTML file, JSON and a job summary from one `SessionResult`.

pandas, matplotlib and Jinja2 are imported on the first report, not with the package.
"""

from mtlrepro.report.jsonfile import load_report
from mtlrepro.report.writer import write_report

__all__ = ["load_report", "write_report"]
