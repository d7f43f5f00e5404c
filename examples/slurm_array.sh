#!/bin/bash
# Build references with an array job of SLURM:  sbatch slurm_array.sh SRC OUT [OPTION...]
#
# Every job does its part, and whichever finds the last receipt publishes. Where jobs failed or ran
# into the wall, submit the same line again: only what has no receipt is done. Progress, from any
# machine: parchunk status OUT --watch
#SBATCH --job-name=references
#SBATCH --array=1-20
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --requeue
set -euo pipefail

# Credentials are those of the environment that sbatch hands on (AWS_ACCESS_KEY_ID, ...).
exec parchunk build "$@" --part auto --memory 1GiB --no-progress
