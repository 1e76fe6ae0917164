"""Snakemake's interactive report in a real browser, as a reader uses it."""

import shutil
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")


class Browser:
    """Shows one page."""

    def __init__(self, page: Path):
        options = webdriver.ChromeOptions()
        for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"):
            options.add_argument(option)
        options.binary_location = BROWSER
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.set_page_load_timeout(60)
        self.address = page.as_uri()
        self.driver.get(self.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def texts(self, selector: str) -> list[str]:
        return [found.text for found in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def press(self, selector: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def type(self, selector: str, text: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def errors(self) -> list[str]:
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))


class Reader(Browser):
    """Clicks through a report."""

    def home(self) -> None:
        self.driver.get(self.address)
        self.wait("Statistics")

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait(self, text: str) -> None:
        WebDriverWait(self.driver, 30).until(lambda _: text in self.text())

    def click(self, text: str) -> None:
        """Click the menu entry of this name."""
        path = f"//nav//*[normalize-space(text())='{text}']"
        self._click(self.driver.find_elements(By.XPATH, path)[-1])

    def rows(self) -> list[str]:
        """Return the labels of each result that is listed."""
        return self.texts("nav tbody tr")

    def show(self, labels: str, button: str = "eye") -> None:
        """Click a button in the row of a result: ``eye`` shows it, the other its caption."""
        rows = self.driver.find_elements(By.CSS_SELECTOR, "nav tbody tr")
        row = next(row for row in rows if labels in row.text)
        self._click(row.find_element(By.CSS_SELECTOR, f"[iconname='{button}']"))

    def _click(self, element: Any) -> None:
        self.script("arguments[0].click()", element)
        time.sleep(0.5)  # menus slide

    def inside(self, text: str) -> Any:
        """Run a script in the page that the report shows."""
        self.driver.switch_to.frame(self.driver.find_element(By.TAG_NAME, "iframe"))
        try:
            return self.script(text)
        finally:
            self.driver.switch_to.default_content()
