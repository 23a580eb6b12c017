"""Draw docs/page.png: the top of the page of the main job, as a browser shows it.

Run: prunekit report scl-oneshot-90 --compare dense,sparse --measure agreement --measure calibration --measure layers \
         --measure prediction_depth --html report.html
     python docs/draw_page.py report.html
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1180, 2320


def main() -> None:
    """Open the page and save what stands at its top."""
    page_file = Path(sys.argv[1]).resolve()
    with sync_playwright() as library:
        browser = library.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.screenshot(path=Path(__file__).with_name("page.png"))
        browser.close()


if __name__ == "__main__":
    main()
