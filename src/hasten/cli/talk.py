"""What the command line says: data to stdout, talk to stderr, an exit code for programs.

0    done
1    done, and something was found (an obstacle, a stale recipe)
2    it was asked for in a way that cannot be done
3    a fault in hasten itself
130  stopped by Ctrl-C
"""

from __future__ import annotations

import enum
import json
import math
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from hasten.errors import HastenError, HastenWarning

OK, FINDING, USAGE, FAULT, STOPPED = 0, 1, 2, 3, 130

people = Console(stderr=True, highlight=False)
"""Where hasten talks."""


class Format(enum.StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


class Guarded(TyperGroup):
    """The command line, with every expected failure said on one screen and never as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; turn failures into words and an exit code."""
        try:
            with heard():
                return super().invoke(ctx)
        except HastenError as error:
            complain(error.what, error.where, error.hint)
            raise typer.Exit(USAGE) from error
        except KeyboardInterrupt as error:
            say("Stopped.")
            raise typer.Exit(STOPPED) from error
        except BrokenPipeError as error:
            # the reader of our stdout has gone (`hasten ... | head`); that is its right
            sys.stderr.close()
            raise typer.Exit(OK) from error
        except MemoryError as error:
            complain("out of memory", "", "ask for a smaller --batch")
            raise typer.Exit(USAGE) from error
        except OSError as error:
            reason = error.strerror or str(error)
            complain(reason[:1].lower() + reason[1:], str(error.filename or ""), "check this path")
            raise typer.Exit(USAGE) from error
        except Exception as error:
            # click's own exceptions (usage errors, exits) carry an exit code and are not faults
            if isinstance(getattr(error, "exit_code", None), int):
                raise
            if _out_of_device_memory(error):
                complain("out of memory on the device", "", "ask for a smaller --batch")
                raise typer.Exit(USAGE) from error
            sys.stderr.write(traceback.format_exc())
            complain(
                f"a fault in hasten: {type(error).__name__}: {error}",
                "",
                "please report it with the lines above",
            )
            raise typer.Exit(FAULT) from error


@contextmanager
def heard() -> Iterator[None]:
    """Our own warnings are said as hasten says things; others take their way."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", HastenWarning)
        other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, HastenWarning):
                say(f"warning     {message}", "yellow")
            else:
                other(message, category, *where)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def say(text: str, style: str = "") -> None:
    """One line to the user."""
    people.print(Text(text, style=style), soft_wrap=True)


def complain(what: str, where: str = "", hint: str = "") -> None:
    """What is wrong, where, and what to do about it, each on its own line."""
    people.print(Text("error       ", style="bold red") + Text(what, style="bold"), soft_wrap=True)
    for name, text in (("where", where), ("what to do", hint)):
        if text:
            people.print(Text(f"{name:<12}", style="dim") + Text(text), soft_wrap=True)


def file_stem(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "model"


def emit_json(data: Any) -> None:
    """One JSON value to stdout; infinities and nan become null, as JSON has no word for them."""
    sys.stdout.write(json.dumps(_finite(data), indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def emit_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, apart: bool = False
) -> None:
    """A table to stdout.

    Args:
        columns: Headings; columns whose heading begins with ``>`` are set to the right.
        rows: Cells.
        apart: Leave a line free above it.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            Text(name.removeprefix(">"), style="bold"),
            justify="right" if right else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    _print(table, apart=apart)


def small(value: str, detail: str) -> Text:
    """A cell with what belongs to its value below it, quieter."""
    return Text(value) + Text(f"\n{detail}", style="dim") if detail else Text(value)


def emit_facts(facts: Mapping[str, str], *, apart: bool = False) -> None:
    """Names and values to stdout, one a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(Text(name), Text(value))
    _print(grid, apart=apart)


def _print(what: Table, *, apart: bool) -> None:
    """To a screen as wide as it is; to a file wider, so that nothing in it is broken over lines."""
    out = Console(highlight=False)
    if apart:
        out.print()
    if out.is_terminal:
        out.print(what)
        return
    with (wide := Console(highlight=False, width=200)).capture() as capture:
        wide.print(what)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


class Advance(Protocol):
    """What a long piece of work calls as it goes on."""

    def __call__(
        self, done: float, total: float | None = None, text: str = "", detail: str = ""
    ) -> None:
        """Say how far it is.

        Args:
            done: What is done, in any unit.
            total: What there is to do in all, if known.
            text: What is being done now; time left is counted anew when this changes.
            detail: More about it, which may change all the time.
        """


@contextmanager
def progress(text: str) -> Iterator[Advance]:
    """A bar on stderr with the time passed and left; on a pipe, a plain line when the work changes.

    Args:
        text: What the work is called until it says more.
    """
    if not people.is_terminal:
        yield _Lines(text)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        _TimeLeft(),
        TextColumn("[dim]{task.fields[detail]}"),
    )
    with Progress(*columns, console=people, transient=True) as bar:
        task, now = bar.add_task(text, total=None, detail=""), text

        def advance(
            done: float, total: float | None = None, text: str = "", detail: str = ""
        ) -> None:
            nonlocal now
            if text and text != now:
                now = text
                bar.reset(task, description=text)
            bar.update(task, completed=done, total=total, detail=detail)

        yield advance


def part(advance: Advance, text: str) -> Callable[[int, int], None]:
    """One piece of the work, for what knows nothing but how much of how much is done."""
    return lambda done, total: advance(done, total, text)


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Work that Ctrl-C may stop and a command goes on with; that command is said.

    Args:
        command: What to type.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        say("Stopped. What is done is kept; this goes on with it:")
        say(f"  {command}")
        raise typer.Exit(STOPPED) from error


class _TimeLeft(ProgressColumn):
    """``1:20 left``, once that can be told."""

    def render(self, task: Task) -> Text:
        """The text for one task."""
        left = task.time_remaining
        if left is None or task.finished or not task.completed:
            return Text("")
        minutes, seconds = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return Text(f"{clock} left")


class _Lines:
    """Progress for a log file: the name of each stage once, nothing that moves."""

    def __init__(self, text: str) -> None:
        self._said = {text}
        say(f"{text} ...")

    def __call__(
        self, done: float, total: float | None = None, text: str = "", detail: str = ""
    ) -> None:
        del done, total, detail  # a file has no bar
        if text and text not in self._said:
            self._said.add(text)
            say(f"{text} ...")


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data


def _out_of_device_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # not imported here: without it, it cannot have failed
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
