"""Build on a Dask cluster: every group of regions is a task. python build_on_dask.py SRC OUT."""

import sys

from distributed import Client, LocalCluster

import parchunk


def main(source: str, out: str) -> None:
    # Any cluster will do; its workers must reach SRC and OUT by the same names.
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        # pure=False: Dask would take two tasks with equal arguments for the same one.
        executor = client.get_executor(pure=False)
        # workers=2 shares each array out, so that both have a part of it.
        result = parchunk.build(parchunk.plan(source), out, executor=executor, workers=2)
    print(f"{result.present} of {result.expected} chunks referenced in {result.url}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
