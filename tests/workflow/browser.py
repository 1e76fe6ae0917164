"""Snakemake's interactive report in a real browser, as a reader uses it."""

import shutil
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")


class Reader:
    """Clicks through a report."""

    def __init__(self, report: Path):
        options = webdriver.ChromeOptions()
        for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"):
            options.add_argument(option)
        options.binary_location = BROWSER
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.set_page_load_timeout(60)
        self.address = report.as_uri()
        self.home()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def home(self) -> None:
        self.driver.get(self.address)
        self.wait("Statistics")

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait(self, text: str) -> None:
        WebDriverWait(self.driver, 30).until(lambda _: text in self.text())

    def click(self, text: str) -> None:
        """Click the menu entry of this name."""
        path = f"//*[normalize-space(text())='{text}']"
        self._click(self.driver.find_elements(By.XPATH, path)[-1])

    def show(self, name: str, button: str = "eye") -> None:
        """Click a button in the row of a result: ``eye`` shows it, the other its caption."""
        rows = self.driver.find_elements(By.TAG_NAME, "tr")
        row = next(row for row in rows if name in row.text.split())
        self._click(row.find_element(By.CSS_SELECTOR, f"[iconname='{button}']"))

    def _click(self, element) -> None:
        self.driver.execute_script("arguments[0].click()", element)
        time.sleep(0.5)  # menus slide

    def picture_width(self) -> int:
        """Return the width in pixels of the picture that is shown, 0 if none loaded."""
        widest = "return Math.max(0, ...[...document.images].map(i => i.naturalWidth))"
        return self.driver.execute_script(widest)

    def errors(self) -> list[str]:
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))
