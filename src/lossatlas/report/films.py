"""Figures, one after another, as a GIF or an MP4 file through Matplotlib's writers."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.figure import Figure
from PIL import Image

from lossatlas.files import write_bytes

DPI = 100
SECONDS = 8.0  # a film lasts about this long, where that needs neither a slow nor a fast rate
SLOWEST, FASTEST = 2.0, 15.0  # frames per second
REST = 2.0  # seconds that the last frame stays
ENDINGS = (".gif", ".mp4")
_SAMPLE = 4  # frames that the colours of a GIF come from


class _Gif(PillowWriter):
    """Frames of one palette without dithering, a fraction of the size; the last one stays for a while."""

    _frames: list[Image.Image]

    def finish(self) -> None:
        """Write the file."""
        frames = self._frames
        chosen = [frames[round(i * (len(frames) - 1) / (_SAMPLE - 1))] for i in range(_SAMPLE)]
        width, height = frames[0].size
        sheet = Image.new("RGB", (width, _SAMPLE * height))
        for i, frame in enumerate(chosen):
            sheet.paste(frame, (0, i * height))
        palette = sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
        pause = round(1000 / self.fps)
        pauses: Any = [*[pause] * len(others), pause + round(1000 * REST)]
        first.save(self.outfile, save_all=True, append_images=others, duration=pauses, loop=0, optimize=True)


class Film:
    """A file that grows by a frame per figure; figures may be different ones of one size."""

    def __init__(self, path: Path | str, frames: int, fps: float | None = None) -> None:
        """Choose the writer.

        Args:
            path: the file; `.gif`, or `.mp4` where ffmpeg is installed.
            frames: how many there will be.
            fps: frames per second; absent, the film lasts about eight seconds.

        Raises:
            ValueError: another ending, no ffmpeg, or an impossible rate.
        """
        self.path = Path(path)
        kind = self.path.suffix.lower()
        if kind not in ENDINGS:
            raise ValueError(f"cannot write {self.path.name!r}: endings of films are {', '.join(ENDINGS)}")
        if kind == ".mp4" and not FFMpegWriter.isAvailable():
            raise ValueError(f"{self.path.name} needs ffmpeg, which is not on the path; install it, or write a .gif")
        if fps is not None and not 0 < fps <= 100:
            raise ValueError(f"fps = {fps!r} is impossible; allowed: a number above 0, up to 100")
        rate: Any = fps or min(max(frames / SECONDS, SLOWEST), FASTEST)  # matplotlib's types know whole rates only
        self._writer: AbstractMovieWriter = _Gif(rate) if kind == ".gif" else FFMpegWriter(rate, codec="h264")
        self._begun = False

    def __enter__(self) -> Film:
        """Make room for the file that is being written."""
        self._folder = tempfile.TemporaryDirectory()
        self._draft = Path(self._folder.name) / f"film{self.path.suffix.lower()}"
        return self

    def add(self, figure: Figure) -> None:
        """Draw a figure as the next frame."""
        if not self._begun:
            self._writer.setup(figure, str(self._draft), dpi=DPI)
            self._begun = True
        self._writer.fig = figure
        self._writer.grab_frame()

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Put the finished file in its place; after an error there is none."""
        with self._folder:
            if not self._begun:
                return
            if kind is not None:
                self._abandon()
                return
            try:
                self._rest()
            except BaseException:
                self._abandon()
                raise
            self._writer.finish()
            write_bytes(self.path, self._draft.read_bytes())

    def _rest(self) -> None:
        """Let the last frame stay; a GIF says so itself."""
        if isinstance(self._writer, FFMpegWriter):
            for _again in range(round(REST * self._writer.fps)):
                self._writer.grab_frame()

    def _abandon(self) -> None:
        """End the writer's process; what it says then must not hide the error that came first."""
        with suppress(Exception):
            self._writer.finish()
