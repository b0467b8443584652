"""A headless Chromium that notes what its pages ask for and complain about; where there is none, tests are skipped."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
DRIVER = shutil.which("chromedriver")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
)
WIDTH, HEIGHT = 1280, 800
SWITCHES = {"mobile": False, "deviceScaleFactor": 1}

needed = [
    pytest.mark.skipif(
        find_spec("selenium") is None or find_spec("selenium_axe_python") is None,
        reason="no selenium: pip install selenium selenium-axe-python",
    ),
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no chromium and chromedriver on PATH: apt-get install chromium-driver",
    ),
    # Selenium leaves the socket of its own driver to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Browser:
    """One browser of 1280 by 800 pixels; use as a context manager."""

    def __init__(self) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for option in OPTIONS:
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        self.driver.set_script_timeout(50)
        self.size(WIDTH, HEIGHT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.driver.quit()

    def size(self, width: int, height: int) -> None:
        """Make the view so large."""
        what = {"width": width, "height": height, **SWITCHES}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", what)

    def media(self, feature: str, value: str) -> None:
        """Let the system prefer `value`, such as dark for prefers-color-scheme."""
        what = {"features": [{"name": feature, "value": value}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", what)

    def open(self, path: Path, behind: str = "") -> None:
        """Load a page afresh, with `behind` after its address."""
        self.driver.get("about:blank")
        self.complaints()
        self.requests()
        self.driver.get(f"{path.as_uri()}{behind}")

    def run(self, script: str) -> Any:
        """Return what a script in the page returns."""
        return self.driver.execute_script(script)

    def keys(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """Return what the console has said since it was last asked."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since it was last asked."""
        log = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        sent = [each["params"] for each in log if each["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent]

    def _log(self, kind: str) -> list[dict[str, str]]:
        log: list[dict[str, str]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call] # Selenium has no types here
        return log

    def violations(self) -> list[str]:
        """Return what axe-core, the accessibility checker, has against the page."""
        from selenium_axe_python.axe import Axe

        axe = Axe(self.driver)
        axe.inject()  # type: ignore[no-untyped-call] # the package is half typed
        found = axe.run()["violations"]
        return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]
