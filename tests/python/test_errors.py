"""The codes of errors: what shows them, and that each has a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineshaft import App, JobNotFound, LineshaftError, NoServer, ResultExpired, _errors

ERRORS = Path(__file__).resolve().parents[2] / "docs" / "errors"


def test_codes_of_exceptions_have_pages():
    classes = [getattr(_errors, name) for name in _errors.__all__]
    codes = {cls.code for cls in classes if issubclass(cls, LineshaftError) and cls.code}
    assert codes == {"LS0020", "LS0021"}
    assert all((ERRORS / f"{code}.md").is_file() for code in codes)


def test_an_exception_begins_with_its_code(shop):
    with pytest.raises(JobNotFound) as missing:
        shop.app.job("01a0c450-6c7b-7800-8000-000040000001").refresh()
    assert missing.value.code == "LS0020"
    assert str(missing.value) == (
        "LS0020: job 01a0c450-6c7b-7800-8000-000040000001 is not known\n"
        "  hint: it never existed here, was deleted, or is older than the history kept; "
        f"here is {shop.app.url}"
    )


def test_a_server_that_cannot_start_shows_both_codes(home):
    home.mkdir()
    (home / "FORMAT").write_text("something else")
    with pytest.raises(NoServer) as refused:
        App(home).job("01a0c450-6c7b-7800-8000-000040000001").refresh()
    assert refused.value.code == "LS0010"
    assert str(refused.value).startswith("LS0010: ")
    assert "error[LS0003]: the home has format" in str(refused.value)


def test_a_result_that_is_gone_has_its_code():
    assert str(ResultExpired("job 7 completed")) == "LS0021: job 7 completed"
