"""The README's picture, a screenshot of a report's first screen: python -m docs.generators.pictures REPORT_DIR

It needs Chromium with its driver (make system). The picture is at most 300 KB.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

PICTURE = Path(__file__).parents[1] / "images" / "report.png"
WIDTH, HEIGHT = 1280, 800
MOST_BYTES = 300_000
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")


def main() -> int:
    page = Path(sys.argv[1]).resolve() / "index.html"
    if not page.is_file():
        print(f"error: no {page}; write the report first: harness report RESULTS_DIR", file=sys.stderr)
        return 2
    image = Image.open(io.BytesIO(screenshot(page))).convert("RGB")
    PICTURE.parent.mkdir(exist_ok=True)
    image.save(PICTURE, optimize=True)
    size = PICTURE.stat().st_size
    print(f"{PICTURE}: {size:,} bytes")
    return int(size > MOST_BYTES)


def screenshot(page: Path) -> bytes:
    """Return the PNG of the page's first screen, in the light theme."""
    options = webdriver.ChromeOptions()
    if browser := shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"):
        options.binary_location = browser
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            light = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", light)
            driver.get(page.as_uri())
            drawn = "return document.documentElement.dataset.drawn"
            WebDriverWait(driver, 60).until(lambda one: one.execute_script(drawn))
            return driver.get_screenshot_as_png()
        finally:
            driver.quit()


if __name__ == "__main__":
    sys.exit(main())
