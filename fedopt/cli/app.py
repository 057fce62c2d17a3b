"""The commands: solve, verify, train, demo, devices fit, bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import fedopt
from fedopt.cli.output import answers, check_kept, make_folder, write_all
from fedopt.cli.show import INFEASIBLE, NOT_VERIFIED, fail, guarded, progress, show
from fedopt.report import groups, headline, holding
from solvers import allocation as level3
from solvers import duration as level2
from solvers import matching as level1

app = typer.Typer(
    name="fedopt",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Who trains which sub-model, for how long, at which CPU frequency and upload rate.",
)
devices = typer.Typer(no_args_is_help=True, help="Where a device table's numbers come from.")
app.add_typer(devices, name="devices")


def _method(level: Any) -> Any:
    return typer.Option(help="One of " + ", ".join(level.METHODS.names) + "; default: the scenario's, or the first.")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fedopt {fedopt.__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Exit codes: 0 an answer (the best so far at a time limit), 1 none (with the reason), 2 bad input.

    1: infeasible, stopped at a limit before any answer was found, or an answer that does not pass the judge. Also 2:
    output that cannot be written. 130: interrupted. 141: output that nobody reads.
    """


@app.command()
def solve(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.toml", help="The scenario; see docs/scenario.md.")],
    clients: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="A fleet instead of the scenario's.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write CSV, JSON and pictures here.")] = None,
    matching: Annotated[str | None, _method(level1)] = None,
    timing: Annotated[str | None, _method(level2)] = None,
    allocation: Annotated[str | None, _method(level3)] = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop the search then, with the best answer so far.")
    ] = None,
) -> None:
    """Solve a scenario: all three levels, judged."""
    from fedopt.plausible import hints
    from fedopt.scenario import read_scenario

    with guarded():
        fleet = None if clients is None else fedopt.Clients.from_csv(clients)
        given = read_scenario(scenario, clients=fleet)
        chosen = {"matching": matching, "timing": timing, "allocation": allocation}
        for hint in hints(given.problem.clients):
            print(f"fedopt: note: {hint}", file=sys.stderr)
        settings = {**given.settings, **{key: value for key, value in chosen.items() if value is not None}}
        if out is not None:
            make_folder(out)
            check_kept(answers(out, scenario.stem).values(), (scenario, clients, given.fleet))
        with progress(f"solving {scenario.name}") as report:
            solution = fedopt.solve(given.problem, **settings, progress=report, time_limit=time_limit)
        try:  # the files first: a closed pipe must not cost them, nor a full disk the answer
            written = [] if out is None else write_all(given.problem, solution, out, scenario.stem, **settings)
        finally:
            show(headline(given.problem, solution))
            if solution.allocation is not None:
                show(groups(given.problem, solution), holding(given.problem, solution))
        if written:
            print(f"Written: {', '.join(map(str, written))}")
        if solution.status is fedopt.Status.LIMIT and solution.allocation is not None:
            return
        if not solution.status.solved and sys.stdout.isatty():  # who reads the table need not read it twice
            raise typer.Exit(INFEASIBLE)
        if not solution.status.solved:
            fail(solution.reason, INFEASIBLE)


@app.command()
def verify(
    record: Annotated[Path, typer.Argument(metavar="SOLUTION.json", help="What solve --out wrote.")],
    tolerance: Annotated[float, typer.Option(help="Relative, of every constraint and proof.")] = 1e-9,
) -> None:
    """Verify an answer from the model's equations alone; exit code 0 verified, 1 not, 2 no such record."""
    from fedopt.files import read_json

    with guarded():
        given = read_json(record, judged=False)
        report = fedopt.verify(given.problem, given.solution, tolerance=tolerance)
    show(report.table())
    if not report.ok:
        raise typer.Exit(NOT_VERIFIED)


@app.command()
def train(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.toml", help="The scenario; see docs/training.md.")],
    clients: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="A fleet instead of the scenario's.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="History, pictures and the checkpoint.")] = Path("out/train"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that DIR has, if any.")] = False,
    algorithm: Annotated[str | None, typer.Option(help="mfl, fedavg, fedsgd, nested or rolling.")] = None,
    model: Annotated[str | None, typer.Option(help="paper-cnn, two-nn or fedavg-cnn.")] = None,
    data: Annotated[str | None, typer.Option(help="digits, mnist, or a folder with MNIST's four files.")] = None,
    split: Annotated[str | None, typer.Option(help="iid, sized, shards:EACH or dirichlet:ALPHA.")] = None,
    policy: Annotated[str | None, typer.Option(help="allocated, full, drop, random or fullspeed.")] = None,
    fading: Annotated[str | None, typer.Option(help="rayleigh or rician:K, drawn anew every round.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, plain, sidebyside, stacked or recorded.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, or cuda for a GPU.")] = None,
    rounds: Annotated[int | None, typer.Option(help="How many rounds.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of model, split, fading and order of samples.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of the first round.")] = None,
) -> None:
    """Train a federated model on a clock that counts the fleet's seconds and joules."""
    given: dict[str, Any] = {"algorithm": algorithm, "model": model, "data": data, "split": split, "policy": policy}
    given |= {"fading": fading, "engine": engine, "device": device, "rounds": rounds, "seed": seed, "rate": rate}
    with guarded():
        from fedopt.cli.train import train as train_scenario

        options = {key: value for key, value in given.items() if value is not None}
        train_scenario(scenario, clients, out, resume, options)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where CSV, JSON and pictures go.")] = Path("out/demo"),
) -> None:
    """The whole search on 64 real phones at 10 W and at 100 W, against the baselines."""
    from fedopt.cli.demo import run

    with guarded():
        run(out)


@devices.command("fit")
def devices_fit(
    source: Annotated[Path, typer.Argument(metavar="FOLDER_OR_CSV", help="Measured tables: <chip>/<run>/results.csv.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the fits to this CSV file.")] = None,
) -> None:
    """Fit capacitance and static power to measured frequency and power tables."""
    from fedopt.cli.devices import run

    with guarded():
        run(source, out)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The benchmark; without it, those there are.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run them all, one after another.")] = False,
) -> None:
    """Run a benchmark of a checkout; further arguments go to it."""
    folder = Path(fedopt.__file__).parents[1] / "benchmarks"
    found = _benchmarks(folder)
    if not found:
        fail("benchmarks are part of a checkout, not of the installed package: clone the repository and run it there")
    arguments = list(context.args)
    if name is not None and name.startswith("-"):  # --all --quick
        arguments, name = [name, *arguments], None
    if name is None and not everything:
        print("fedopt bench NAME, one of: " + ", ".join(found))
        return
    if name is not None and name not in found:
        fail(f"benchmark: expected one of {', '.join(found)}, found {name!r}")
    with guarded():
        module = "benchmarks" if everything else f"benchmarks.{name}"
        raise typer.Exit(subprocess.call([sys.executable, "-m", module, *arguments], cwd=folder.parent))


def _benchmarks(folder: Path) -> list[str]:
    """The modules of benchmarks/ that are commands: those with a main guard."""
    modules = sorted(folder.glob("[a-z]*.py")) if folder.is_dir() else []
    return [path.stem for path in modules if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
