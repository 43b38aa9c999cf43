"""nbdcheck-run: from the command line to jobs, engine, reports and exit code."""

import os
import shlex
import signal
import sys

from . import options as command_line
from .board import Board
from .catalogue import check_waivers, find_nbdcheck, nbdkit_version, read_catalogue
from .common import (EXIT_CONFORMANT, EXIT_FAILED, EXIT_USAGE, BadInput, Failure, complain,
                     write_json)
from .job import Job, shard_of
from .matrix_file import default_name, program, read_matrix
from .model import Model
from .packaged import packaged_jobs
from .progress import choose_progress
from .rundir import RunDirectory
from .summary import read_summary, terminal_summary

EXIT_INTERRUPTED = 130
NO_JINJA = "python3-jinja2 is not installed"


class Interrupted(Exception):
    pass


def main(arguments, program_path):
    try:
        if arguments[:1] == ["worker"]:
            from . import worker
            chosen = command_line.worker_parser().parse_args(arguments[1:])
            return worker.main(chosen.directory, chosen.job, chosen.attempt, chosen.with_parent)
        if arguments[:1] == ["report"]:
            return report_command(command_line.report_parser().parse_args(arguments[1:]))
        if arguments[:1] == ["bisect"]:
            from .bisect import bisect_command
            return bisect_command(arguments[1:], program_path)
        return run_command(command_line.run_parser().parse_args(arguments), program_path)
    except BadInput as problem:
        complain(str(problem))
        return EXIT_USAGE
    except Failure as problem:
        complain(str(problem))
        return EXIT_FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FAILED
    except OSError as problem:  # a full disk, no permission
        complain(f"{problem.filename or 'writing'}: {problem.strerror}")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def values_of(options, nbdcheck):
    """(base, overrides): what holds where nobody says otherwise, and what was said here."""
    said = {"profiles": options.profile, "seeds": options.seeds, "nbdkit": options.nbdkit,
            "time": options.time, "limit": options.limit, "memory": options.memory,
            "cores": options.cores, "fail-on": options.fail_on,
            "waivers": os.path.abspath(options.waivers) if options.waivers else None}
    base = {"nbdcheck": nbdcheck, "more_options": tuple(options.options)}
    return base, {key: value for key, value in said.items() if value is not None}


def jobs_of(options, nbdcheck):
    """(jobs, notes) of all that was asked for."""
    base, overrides = values_of(options, nbdcheck)
    jobs, notes = [], []
    if options.all_packaged:
        jobs, notes = packaged_jobs(base, overrides)
    for what in options.what:
        if what.endswith(".toml"):
            jobs += read_matrix(what, base, overrides)
        else:
            jobs += command_line_jobs(what, base, overrides)
    if not jobs:
        raise BadInput("nothing to run: name a plugin or a matrix file, or --all-packaged "
                       "(see --help)")
    jobs = list({job.id: job for job in jobs}.values())
    if options.row:
        jobs = [job for job in jobs if options.row.search(job.row)]
    if options.shard:
        jobs = shard_of(jobs, options.shard)
    if not jobs:
        raise BadInput("no job is left after --row and --shard")
    for path in {job.waivers for job in jobs if job.waivers}:
        check_waivers(nbdcheck, path)
    return jobs, notes


def command_line_jobs(what, base, overrides):
    try:
        plugin, *arguments = shlex.split(what)
    except ValueError as problem:
        raise BadInput(f"{what!r}: {problem}") from None
    chosen = base | overrides
    for profile in chosen.get("profiles", ("quick",)):
        for nbdkit in chosen.get("nbdkit", ("",)):
            for seed in chosen.get("seeds", (1,)):
                yield Job(
                    name=default_name(plugin), plugin=plugin, arguments=tuple(arguments),
                    profile=profile, seed=seed, nbdcheck=base["nbdcheck"], nbdkit=nbdkit,
                    options=base["more_options"], time=chosen.get("time", 0),
                    fail_on=chosen.get("fail-on", "must"), waivers=chosen.get("waivers", ""),
                    limit=chosen.get("limit", 0), memory=chosen.get("memory", 0),
                    cores=chosen.get("cores", 1), directory=os.getcwd())


def prepare(options, run, nbdcheck):
    """The jobs of this run that are still to be run; run.json is written."""
    if options.resume:
        if not run.exists:
            raise BadInput(f"{run.path}: there is no run to go on with")
        write_json(run.file("catalogue.json"), read_catalogue(nbdcheck))
        if options.what or options.all_packaged:
            jobs, notes = jobs_of(options, nbdcheck)
            run.load()
            about = run.about | {"notes": notes}
            # What was run before belongs to the run, also if the matrix has shrunk since.
            run.create(list({job.id: job for job in [*run.jobs, *jobs]}.values()), about)
        else:
            jobs = run.load().jobs
        return [job for job in jobs if not run.is_done(job)]
    jobs, notes = jobs_of(options, nbdcheck)
    if run.exists:
        raise BadInput(f"{run.path} holds an earlier run; --resume goes on with it, "
                       "--directory chooses another place")
    catalogue = read_catalogue(nbdcheck)
    os.makedirs(run.path, exist_ok=True)
    write_json(run.file("catalogue.json"), catalogue)
    run.create(jobs, {"nbdcheck": catalogue["nbdcheck"], "nbdkit": nbdkit_version(),
                      "host": os.uname().nodename, "notes": notes,
                      "cores": len(os.sched_getaffinity(0)), "engine": options.engine,
                      "shard": list(options.shard) if options.shard else None})
    return jobs


def engine_of(options):
    if options.engine == "slurm":
        from .engines.slurm import SlurmEngine
        return SlurmEngine(options)
    if options.engine == "parallel":
        from .engines.gnu_parallel import ParallelEngine
        return ParallelEngine(options)
    from .engines.local import LocalEngine
    return LocalEngine(options)


def can_write_html():
    try:
        import jinja2  # noqa: F401  (whether it is there)
    except ImportError:
        return False
    return True


def run_command(options, program_path):
    found = options.nbdcheck or find_nbdcheck(program_path)
    if not found:
        raise BadInput("nbdcheck is not found; --nbdcheck=PATH names it")
    nbdcheck = program(found, os.getcwd())
    if options.baseline:
        options.baseline = read_summary(options.baseline)  # what is wrong with it is told now
    if options.html and not can_write_html():
        raise BadInput(f"--html: {NO_JINJA}")
    if options.list:
        for job in jobs_of(options, nbdcheck)[0]:
            print(f"{job.id}  {job.row}  seed {job.seed}")
        return EXIT_CONFORMANT
    run = RunDirectory(options.directory or "nbdcheck-results")
    engine = engine_of(options)
    lock = run.lock()
    interrupted = False
    try:
        jobs = prepare(options, run, nbdcheck)
        interrupted = work(options, run, engine, jobs, program_path)
        if not options.html and can_write_html():
            options.html = os.path.join(os.path.relpath(run.path), "report.html")
        code = write_reports(options, [run])
    finally:
        lock.close()
    if interrupted:
        complain(f"interrupted; nbdcheck-run --resume --directory={shlex.quote(run.path)} "
                 "goes on from here")
        return EXIT_INTERRUPTED
    return code


def work(options, run, engine, jobs, program_path):
    """Runs the jobs; whether it was interrupted."""
    def stop(*_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # once is enough
        raise Interrupted

    # What is ignored stays so: nohup, and what a script runs with "&".
    before = {number: signal.signal(number, stop)
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) != signal.SIG_IGN}
    try:
        with choose_progress(run, jobs, engine.slots, options.progress) as progress:
            waiting = {job.id for job in jobs}
            if kept := sum(1 for job in run.jobs
                           if job.id not in waiting and run.result(job.id)):
                progress.note(f"{kept} of {len(run.jobs)} jobs have been run before")
            engine.work(Board(run, jobs, progress, options.retries, program_path))
    except Interrupted:
        return True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return False


def write_reports(options, runs):
    """All reports of one model; its exit code."""
    from .reports import writers
    model = Model(runs, options.baseline)
    code = model.exit_code
    for name in command_line.REPORTS:
        if path := getattr(options, name):
            try:
                writers.write(name, path, model)
            except OSError as problem:
                complain(f"{path}: {problem.strerror}")
                code = EXIT_FAILED
    print(terminal_summary(model), end="")
    if options.html:
        print(f"report: {options.html}")
    elif not can_write_html():
        print(f"no page: {NO_JINJA}")
    sys.stdout.flush()
    return code


def report_command(options):
    if options.html and not can_write_html():
        raise BadInput(f"--html: {NO_JINJA}")
    runs = [RunDirectory(path).load() for path in options.directories]
    if options.baseline:
        options.baseline = read_summary(options.baseline)
    return write_reports(options, runs)
