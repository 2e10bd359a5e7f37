"""The reports of made-up studies, and a browser that opens them: of the session, for all files of one worker."""

import os
import shutil
import tempfile

import pytest

from harness.report import write_report
from tests.unit.report.synthetic_study import big_parts, build, rich_parts, synthetic_study

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser():
    if not (BROWSER and DRIVER):
        pytest.skip("no chromium with chromedriver here: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed: pip install 'harness[dev]'"
    )
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    with tempfile.TemporaryDirectory() as profile:
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        yield driver
        driver.quit()


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    return write_report(synthetic_study(), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def report_dir(report):
    return report.parent


@pytest.fixture(scope="session")
def rich(tmp_path_factory):
    """Repeats, capacity searches, deployments, a price: every section and every kind of figure."""
    return write_report(build(*rich_parts()), tmp_path_factory.mktemp("rich"))


@pytest.fixture(scope="session")
def big(tmp_path_factory):
    """6 variants x 9 scenarios x 10 rates."""
    return write_report(build(*big_parts()), tmp_path_factory.mktemp("big"))
