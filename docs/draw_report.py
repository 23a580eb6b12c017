"""Draw ``docs/report.svg``: the terminal report of the main job, as its results stand in a store.

prunekit run recipes/scl_onshot_90.yaml
python docs/draw_report.py [runs]
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from prunekit.report.build import build_report
from prunekit.report.load import load_study
from prunekit.report.terminal import print_report

COLUMNS = 104
INK, ACCENT = (36, 41, 47), (27, 124, 131)
LIGHT = TerminalTheme((255, 255, 255), INK, [INK, INK, INK, INK, INK, INK, ACCENT, INK])
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"


def main() -> None:
    """Draw the comparison of dense and sparse."""
    study = load_study(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"), "scl-oneshot-90")
    report = build_report(study, [study.compare("dense", "sparse")])
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    print_report(report, console)
    svg = console.export_svg(title="prunekit report --compare dense,sparse", theme=LIGHT)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no font is fetched from elsewhere
    svg = svg.replace("Fira Code, monospace", FONTS)
    Path(__file__).with_name("report.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
