"""Build wherever functions run: python build_on_engines.py processes|ray|lithops|modal SRC OUT.

parchunk makes tasks, each of which is small, picklable and idempotent, and holds no secret; an
engine maps `parchunk.run_task` over them; whoever made them publishes. Workers reach SRC and OUT by
the same names, and find their credentials in their own environment. Dask: build_on_dask.py.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import parchunk


def processes(tasks: list[parchunk.Task]) -> list[parchunk.TaskResult]:
    """Those of this machine, or any other concurrent.futures.Executor."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        return list(executor.map(parchunk.run_task, tasks))


def ray(tasks: list[parchunk.Task]) -> list[parchunk.TaskResult]:
    import ray

    with ray.init(include_dashboard=False):
        run = ray.remote(max_retries=3)(parchunk.run_task)
        return ray.get([run.remote(task) for task in tasks])


def lithops(tasks: list[parchunk.Task]) -> list[parchunk.TaskResult]:
    import lithops

    with lithops.FunctionExecutor() as executor:  # which backend: Lithops' own configuration
        return executor.get_result(executor.map(parchunk.run_task, [(task,) for task in tasks]))


def modal(tasks: list[parchunk.Task]) -> list[parchunk.TaskResult]:
    import modal

    app = modal.App("references")
    image = modal.Image.debian_slim().pip_install("parchunk")
    run = app.function(image=image, secrets=[modal.Secret.from_name("object-store")], retries=3)(
        parchunk.run_task
    )
    with app.run():
        return list(run.map(tasks))


ENGINES: dict[str, Callable[[list[parchunk.Task]], list[parchunk.TaskResult]]] = {
    "processes": processes,
    "ray": ray,
    "lithops": lithops,
    "modal": modal,
}


def main(engine: str, source: str, out: str, parts: int = 20) -> None:
    tasks = parchunk.tasks(source, out, parts=parts)  # writes the plan; done ones are left out
    ENGINES[engine](tasks)
    result = parchunk.publish(out)
    print(f"{result.present} of {result.expected} chunks referenced in {result.url}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
