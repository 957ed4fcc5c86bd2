"""The live view: what it shows of events, on a terminal and without one."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from finetune import events
from finetune.events import (
    ComponentFinished,
    ComponentStarted,
    Epoch,
    Note,
    PhaseFinished,
    PhaseStarted,
    Progress,
    RunStarted,
    Step,
    emit,
)
from finetune_cli.live_view import RunView
from finetune_cli.run_state import Phase, Scores


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def pipe(width: int = 200) -> Console:
    return Console(file=io.StringIO(), width=width)


def terminal(width: int = 80, height: int = 40) -> Console:
    return Console(file=Terminal(), width=width, height=height, force_terminal=True, color_system="standard")


def text(console: Console) -> str:
    return console.file.getvalue()


def drawn(view: RunView, console: Console) -> list[str]:
    """The rows that the live view would draw now."""
    plain = Console(file=io.StringIO(), width=console.width, height=console.height)
    plain.print(view._render())
    return plain.file.getvalue().splitlines()


PHASE = PhaseStarted(
    component="Trainer",
    phase="head",
    index=0,
    phases=2,
    epochs=10,
    steps_per_epoch=16,
    trainable_parameters=6405,
    total_parameters=2264389,
    learning_rate=1e-3,
)
EPOCH = Epoch(
    component="Trainer",
    phase="head",
    epoch=1,
    epochs=10,
    number=1,
    learning_rate=1e-3,
    loss=0.5,
    accuracy=0.8,
    val_loss=0.4,
    val_accuracy=0.85,
    seconds=2.0,
)


def send_training() -> None:
    emit(RunStarted(components=("Gen", "Trainer", "Pusher"), log_file="/tmp/run.log"))
    emit(ComponentStarted(component="Gen"))
    emit(Progress(component="Gen", done=30, total=60, unit="files"))
    emit(ComponentFinished(component="Gen", state="cached", seconds=0.2))
    emit(ComponentStarted(component="Trainer"))
    emit(PHASE)
    emit(Step(component="Trainer", phase="head", epoch=1, step=3, loss=1.5, accuracy=0.3))
    emit(EPOCH)


def test_a_pipe_gets_one_plain_line_per_component_phase_and_epoch():
    console = pipe()
    with RunView(console, "flowers"):
        send_training()
        emit(
            PhaseFinished(
                component="Trainer",
                phase="head",
                epochs=1,
                stopped_early=True,
                best_epoch=1,
                val_loss=0.4,
                val_accuracy=0.85,
                seconds=2.0,
            )
        )
        emit(ComponentFinished(component="Trainer", state="ran", seconds=3.25))
    lines = [line.split(" ", 1)[1] for line in text(console).splitlines()]
    assert lines == [
        "flowers",
        "3 components to run; log: /tmp/run.log",
        "Gen: started",
        "Gen: cached after 0.2 s",
        "Trainer: started",
        "Trainer: phase 1/2 head started: up to 10 epochs, 6,405 of 2,264,389 parameters trainable, "
        "learning rate 0.001",
        "Trainer: head, epoch 1/10: loss 0.500, accuracy 0.800, val_loss 0.400, val_accuracy 0.850, 2.0 s, best so far",
        "Trainer: phase 1/2 head finished after 1 epoch (stopped early): best epoch 1, val_loss 0.400, "
        "val_accuracy 0.850, 2.0 s",
        "Trainer: ran after 3.2 s",
    ]


def test_of_a_fit_to_train_and_val_no_figures_of_validation_are_shown():
    console, terminal = pipe(), Console(file=io.StringIO(), force_terminal=True, width=60)
    for each in (console, terminal):
        with RunView(each, "flowers"):
            emit(ComponentStarted(component="Trainer"))
            emit(PHASE)
            emit(replace(EPOCH, trial="refit", val_is_trained_on=True))
            ended = {"component": "Trainer", "phase": "head", "epochs": 1, "stopped_early": False, "best_epoch": 1}
            emit(PhaseFinished(**ended, val_loss=0.4, val_accuracy=0.85, seconds=2.0, val_is_trained_on=True))
    lines = [line.split(" ", 1)[1] for line in text(console).splitlines()]
    assert lines[-2:] == [
        "Trainer: head, epoch 1/10: loss 0.500, accuracy 0.800, 2.0 s",
        "Trainer: phase 1/2 head finished after 1 epoch on train and val, 2.0 s",
    ]
    assert "0.400" not in text(terminal)
    assert "0.850" not in text(terminal)


@pytest.mark.parametrize("console", [pipe(), Console(file=io.StringIO(), force_terminal=True, width=60)])
def test_nothing_but_a_terminal_gets_escape_codes(console: Console):
    """The second console is what FORCE_COLOR, common in CI, makes of a pipe."""
    with RunView(console, "flowers"):
        send_training()
        emit(Note(text="a \x1b[31mred\x1b[0m name", level="warning"))
    assert "\x1b" not in text(console)
    assert "warning: a ?[31mred?[0m name" in text(console)


def test_lines_are_flushed_as_they_come():
    class Pipe(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    file = Pipe()
    with RunView(Console(file=file, width=80), "flowers"):
        emit(ComponentStarted(component="Gen"))
        assert "Gen: started" in file.flushed


def test_the_live_view_shows_states_and_training():
    console = terminal()
    with RunView(console, "flowers") as view:
        send_training()
        rows = "\n".join(drawn(view, console))
    for shown in (
        "flowers",
        "Gen      cached",
        "Trainer  running",
        "Pusher   waiting",
        "phase 1/2 head, epoch 1/10, step 16/16",
        "6.41 k of 2.26 M parameters train, rate 0.001",
        "train loss 0.500   accuracy 0.800",
        "val   loss 0.400   accuracy 0.850",
        "best  loss 0.400   accuracy 0.850  epoch 1",
        "log: /tmp/run.log",
    ):
        assert shown in rows


def test_a_running_component_shows_its_progress():
    console = terminal()
    with RunView(console, "flowers") as view:
        emit(ComponentStarted(component="Gen"))
        emit(Progress(component="Gen", done=1200, total=6000, unit="files"))
        assert "1,200/6,000 files" in "\n".join(drawn(view, console))
        emit(Progress(component="Gen", done=1200, total=None, unit="files"))
        assert any(row.strip() == "1,200 files" for row in drawn(view, console))


@pytest.mark.parametrize("width", [80, 50, 20, 8])
def test_the_live_view_fits_its_terminal(width: int):
    console = terminal(width=width, height=14)
    with RunView(console, "a rather long title for a view " * 3) as view:
        emit(RunStarted(components=tuple(f"Component{i}" for i in range(20)), log_file="/very/long" * 30))
        emit(ComponentFinished(component="Component0", state="ran", seconds=1.0))
        emit(ComponentStarted(component="Component1"))
        emit(replace(PHASE, component="Component1", phase="head" * 30))
        emit(replace(EPOCH, component="Component1", phase="head" * 30))
        rows = drawn(view, console)
    assert len(rows) < 14
    assert max(map(len, rows)) <= width


def test_a_low_terminal_folds_what_is_not_running():
    console = terminal(height=14)
    with RunView(console, "flowers") as view:
        emit(RunStarted(components=tuple(f"C{i}" for i in range(20)), log_file="log"))
        for index in range(3):
            emit(ComponentFinished(component=f"C{index}", state="ran", seconds=1.0))
        emit(ComponentStarted(component="C3"))
        rows = "\n".join(drawn(view, console))
    assert "3 finished" in rows
    assert "16 waiting" in rows
    assert "C3" in rows
    assert "C4" not in rows


def test_time_left_is_measured_from_the_first_step():
    phase = Phase("head", epochs=10, steps_per_epoch=10)
    assert phase.seconds_left(100.0) is None
    phase.epoch, phase.step = 1, 1
    phase.advanced(now=100.0)
    assert phase.seconds_left(100.0) is None
    phase.epoch, phase.step = 2, 1
    # 10 of 100 steps in 5 seconds since the first step, 89 steps to go.
    assert phase.seconds_left(105.0) == pytest.approx(44.5)


def test_the_best_epoch_has_the_lowest_validation_loss_and_nan_never_wins():
    console = pipe()
    with RunView(console, "flowers") as view:
        for number, loss in enumerate((float("nan"), 0.5, 0.7, 0.3, float("inf")), start=1):
            emit(replace(EPOCH, component="T", epoch=number, epochs=5, val_loss=loss))
        assert view._state.components["T"].phase.best == Scores(0.3, 0.85, 4)
    assert "val_loss nan" in text(console)
    assert "val_loss inf" in text(console)
    assert [line.count("best so far") for line in text(console).splitlines()[1:]] == [0, 1, 0, 1, 0]


def test_two_trainers_do_not_mix():
    console = terminal()
    with RunView(console, "flowers") as view:
        for name, loss in (("Trainer", 0.123), ("ScratchTrainer", 0.987)):
            emit(ComponentStarted(component=name))
            emit(replace(PHASE, component=name))
            emit(Step(component=name, phase="head", epoch=1, step=1, loss=loss, accuracy=0.5))
        rows = "\n".join(drawn(view, console))
    assert "loss 0.123" in rows
    assert "loss 0.987" in rows


@pytest.mark.parametrize(("error", "state"), [(ValueError("boom"), "failed"), (KeyboardInterrupt(), "stopped")])
def test_an_exception_ends_the_view_and_gives_the_terminal_back(error: BaseException, state: str):
    console = terminal()

    def run() -> None:
        with RunView(console, "flowers"):
            emit(ComponentStarted(component="Trainer"))
            raise error

    with pytest.raises(type(error)):
        run()
    assert text(console).rindex("\x1b[?25h") > text(console).rindex("\x1b[?25l"), "the cursor is hidden"
    assert state in text(console)
    assert events._subscriptions == ()
    for thread in threading.enumerate():
        if "refresh" in type(thread).__name__.lower():
            thread.join(timeout=5)
            assert not thread.is_alive(), "the view is still drawn"


def test_events_from_many_threads_are_all_counted():
    console = terminal()
    with RunView(console, "flowers") as view:

        def work(name: str) -> None:
            emit(ComponentStarted(component=name))
            for step in range(100):
                emit(Progress(component=name, done=step, total=100, unit="files"))
                if step % 20 == 0:
                    emit(Note(text=f"{name} is at {step}"))
            emit(ComponentFinished(component=name, state="ran", seconds=1.0))

        threads = [threading.Thread(target=work, args=(f"C{i}",)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert not any(thread.is_alive() for thread in threads), "deadlock between drawing and events"
        assert [view._state.components[f"C{i}"].state for i in range(6)] == ["ran"] * 6
    assert "C5 is at 80" in text(console)


def test_names_are_never_markup():
    console = terminal()
    with RunView(console, "[bold]t[/bold]") as view:
        emit(RunStarted(components=("[red]x[/red]", "[/]"), log_file="log"))
        emit(Note(text="skipped [/nope] [link=x]"))
        assert "[red]x[/red]" in "\n".join(drawn(view, console))
    assert "skipped [/nope] [link=x]" in text(console)


def test_an_ascii_console_does_not_end_the_run():
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80)
    with RunView(console, "Blüten"):
        emit(ComponentStarted(component="日本"))
    console.file.flush()
    assert b"Bl?ten" in raw.getvalue()


def test_importing_the_console_is_light():
    heavy = ["rich.live", "jinja2", "matplotlib", "tensorflow"]
    code = f"import sys, finetune_cli.live_view; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
