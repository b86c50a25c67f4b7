"""A progress bar on a terminal, for what takes long enough to want one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cnr.client.cnr import Report, quiet
from cnr.client.fetch import Progress

SHOWN_FROM_BYTES = 1024 * 1024


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A Progress that draws a bar named `label` on standard error, if that is a terminal and the size above 1 MiB."""
    if not sys.stderr.isatty():
        yield lambda size: quiet
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    # What is printed meanwhile goes above the bars on a terminal, and must not go there from anywhere else.
    shared = sys.stdout.isatty()
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True, redirect_stdout=shared) as bars:

        def begin(size: int | None) -> Report:
            if size is not None and size <= SHOWN_FROM_BYTES:
                return quiet
            task, left = bars.add_task(label, total=size), size

            def report(passed: int) -> None:
                nonlocal left
                bars.update(task, advance=passed)
                left = None if left is None else left - passed
                if left == 0:
                    bars.update(task, visible=False)

            return report

        yield begin
