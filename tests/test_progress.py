import io
import sys

import pytest

from lossatlas.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_silent_without_a_terminal(capsys):
    with progress("line", 3) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_counts_what_was_done_before(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("line", 5, done=3) as advance:
        advance(2)
    assert "line: 100%" in terminal.getvalue() and "5/5" in terminal.getvalue()
    assert "3/5" in terminal.getvalue()


def test_an_error_passes_and_closes_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(ValueError, match="stop"), progress("line", 5) as advance:
        advance(1)
        raise ValueError("stop")
    assert terminal.getvalue().endswith("\n")


def test_no_bar_where_a_command_was_told_to_be_quiet(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("LOSSATLAS_PROGRESS", "off")
    with progress("line", 3) as advance:
        advance(1)
    assert terminal.getvalue() == ""


def test_a_bar_below_others_has_its_own_row_and_is_wiped(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("LOSSATLAS_PROGRESS", "")
    with progress("all", 4, unit="stages", row=2) as advance:
        advance(4)
    drawn = terminal.getvalue()
    assert drawn.startswith("\n\n\rall:   0%") and drawn.endswith("\x1b[A\x1b[A")
    assert not drawn.rpartition("\r")[2].removesuffix("\x1b[A\x1b[A").strip()
