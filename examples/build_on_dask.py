"""Build and audit on a Dask cluster, some regions a task. python build_on_dask.py SRC OUT."""

import sys

from distributed import Client, LocalCluster

import parchunk


def main(source: str, out: str) -> None:
    # Any cluster will do; its workers must reach SRC and OUT by the same names.
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        # workers=2 shares the plan out, so that both have a part of it.
        result = parchunk.build(parchunk.plan(source), out, executor=client, workers=2)
        report = parchunk.audit(out, executor=client, workers=2)
    print(f"{result.present} of {result.expected} chunks referenced in {result.url}")
    print(report.verdict)


if __name__ == "__main__":
    main(*sys.argv[1:3])
