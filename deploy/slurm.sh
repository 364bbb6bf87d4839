#!/usr/bin/env bash
# A search on nodes that Slurm lends: one Ray over all of them for as long as the job lasts.
#
#   sbatch --nodes=4 --gpus-per-node=4 --time=2:00:00 deploy/slurm.sh --budget 256 --data FILE.npz
#
# All arguments go to the search. Change the lines below for your site. The project must lie on a file system that all nodes
# see, with `make .venv/installed` done in it once. A job that ran into its time limit is resumed with
# `sbatch ... deploy/slurm.sh --resume latest`: Slurm sends SIGTERM two minutes before, and the search stops cleanly.
#SBATCH --job-name=bloodtune
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --signal=B:TERM@120
set -euo pipefail
cd "${BLOODTUNE_HOME:-$SLURM_SUBMIT_DIR}"

# A token of this job's own: no other user of these nodes may join.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(python3 -c "import secrets; print(secrets.token_hex(32))")
export PATH="$PWD/.venv/bin:$PATH"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may share a node
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | cut -d " " -f 1):$port
gpus=${SLURM_GPUS_ON_NODE:-0}

srun --nodes=1 --ntasks=1 -w "$head" \
  ray start --head --node-ip-address="${address%:*}" --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" \
  --num-gpus="$gpus" --include-dashboard=false --block &
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    bash -c "until ray health-check --address $address; do sleep 1; done 2>/dev/null
             ray start --address $address --num-cpus=$SLURM_CPUS_PER_TASK --num-gpus=$gpus --block" &
fi
# As many nodes as asked for, or a search would take what is there at its start for all that there is.
python - "$address" "$SLURM_JOB_NUM_NODES" <<'WAIT'
import sys, time
import ray

while True:
    try:
        ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
        break
    except ConnectionError:
        time.sleep(1)
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    time.sleep(1)
WAIT

python -m bloodtune.search --address "$address" "$@" &
search=$!
trap 'kill -TERM $search' TERM
code=0
wait $search || code=$?
wait $search || code=$? # the first one ends with the signal, the second one with the search
exit $code
