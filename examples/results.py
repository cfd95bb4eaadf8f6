"""Full-length results: each weight x activation combination on a whole test set.

    python examples/results.py                                 trains what has no record yet, of all studies
    python examples/results.py detector [COMBINATION ...]      of one
    python examples/results.py detector --time [...]           times the saved models again
    python examples/results.py --render                        writes the page from the stored records alone

All of them end with writing docs/results.md. A combination is the name of a slim file of the study. A run
that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import json

from flow import Flow, form_folders, runtime_file
from results_page import PAGE, page
from rich.console import Console
from studies import STUDIES, Study

from qcc.files import write_json, write_text
from qcc.train.config import load_config
from qcc.train.evaluation.compare import RUNTIMES, open_predictors, print_forms, time_forms
from qcc.train.evaluation.report import command_line, environment
from qcc.train.tasks.build import build_task


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("study", nargs="?", choices=sorted(STUDIES))
    arguments.add_argument("combination", nargs="*")
    what = arguments.add_mutually_exclusive_group()
    what.add_argument("--render", action="store_true", help="only write the page")
    what.add_argument("--time", action="store_true", help="only time the saved models again")
    options = arguments.parse_args()
    if options.render and options.study:
        arguments.error("--render takes no study.")
    console = Console(soft_wrap=True)
    studies = [] if options.render else [options.study] if options.study else list(STUDIES)
    for study in (STUDIES[name] for name in studies):
        for name in options.combination or study.combinations():
            if options.time:
                time_again(study, name)
            else:
                train(study, name, console)
    write_text(PAGE, page())
    console.print(f"wrote {PAGE}.")


def train(study: Study, name: str, console: Console) -> None:
    """Run one combination and store its record, unless there is one."""
    path = study.record(name)
    if path.exists():
        console.print(f"{path} is there already; remove it to run {name} again.")
        return
    flow = Flow(
        study.config,
        study.slim(name),
        study.output(name) / "forms",
        console,
        study.overrides,
        tuple(RUNTIMES),
    )
    write_json(path, flow.run())
    print_forms(console, flow.results, study.metric)


def time_again(study: Study, name: str) -> None:
    """Put new times into the record of a combination whose models are still there."""
    path, output = study.record(name), study.output(name)
    record = json.loads(path.read_text())
    transformed = output / "checkpoints" / str(record["best_epoch"]) / "eval_model"
    predictors = open_predictors(form_folders(output / "forms", transformed))
    example = build_task(load_config(study.config)).example()
    times = time_forms(predictors, example)
    for form in record["forms"]:
        form["float_ms"] = times.get((form["form"], "float"))
        form["int8_ms"] = times.get((form["form"], "int8"))
        for runtime, found in form["runtimes"].items():
            with RUNTIMES[runtime](runtime_file(output / "forms", form["form"], runtime)) as running:
                found["ms"] = running.milliseconds(example)
    record["timed"] = {"command": command_line(), "environment": environment()}
    write_json(path, record)


if __name__ == "__main__":
    main()
