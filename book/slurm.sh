#!/bin/bash
# One chapter on any number of nodes. From the repository's root:
#
#   export CHAPTER=02-synthesis PROFILE=paper-imagenet
#   sbatch --nodes=2 book/slurm.sh --set teacher.path=/data/resnet50.pth
#
# Arguments go to `python -m dfnas compute`. Adapt the lines that say so.
#SBATCH --job-name=dfnas
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
set -euo pipefail

: "${CHAPTER:?set CHAPTER, as 02-synthesis}" "${PROFILE:?set PROFILE, as paper-imagenet}"
: "${DFNAS_DATA:?set DFNAS_DATA to the folder of the data set}"
export DFNAS_RUNS=${DFNAS_RUNS:-$PWD/runs}    # adapt: seen by all nodes
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}  # adapt: a node's cores by its GPUs

# five minutes before the time is up, the job queues itself again and goes on where it was
trap 'scontrol requeue "$SLURM_JOB_ID"' USR1

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=1 .venv/bin/torchrun \
    --nnodes="$SLURM_NNODES" --nproc-per-node="$SLURM_GPUS_ON_NODE" \
    --max-restarts=3 --rdzv-backend=c10d \
    --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$head:29500" \
    -m dfnas compute "$CHAPTER" --profile "$PROFILE" "$@" &
wait $!
