#!/usr/bin/env bash
# A search as a Slurm job: one Ray cluster over all nodes of the job, for as long as it runs.
#
#   sbatch --nodes=4 --gpus-per-node=4 --time=2:00:00 deploy/slurm.sh --budget 256 --data FILE.npz
#
# All arguments go to the search. Change the #SBATCH lines for your site. The project must be on a file system that all
# nodes share; run `make .venv/installed` there once. Two minutes before the time limit Slurm sends SIGTERM, and the
# search stops cleanly; resume it with `sbatch ... deploy/slurm.sh --resume latest`.
#SBATCH --job-name=bloodtune
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --signal=B:TERM@120
set -euo pipefail
cd "${BLOODTUNE_HOME:-$SLURM_SUBMIT_DIR}"

# A token per job, so that no other user of these nodes can join.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(python3 -c "import secrets; print(secrets.token_hex(32))")
export PATH="$PWD/.venv/bin:$PATH"
unset ROCR_VISIBLE_DEVICES # Slurm sets it in every step with GPUs, and Ray refuses to start with it

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may share a node
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | cut -d " " -f 1):$port
gpus=${SLURM_GPUS_ON_NODE:-0}

srun --nodes=1 --ntasks=1 -w "$head" \
  env --unset=ROCR_VISIBLE_DEVICES ray start --head --node-ip-address="${address%:*}" --port="$port" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" --include-dashboard=false --block &
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    bash -c "until ray health-check --address $address; do sleep 1; done 2>/dev/null
             env --unset=ROCR_VISIBLE_DEVICES ray start --address $address --num-cpus=$SLURM_CPUS_PER_TASK \
               --num-gpus=$gpus --block" &
fi
# Wait for all nodes: the search uses only the nodes that it finds at its start.
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
if kill -0 $search 2> /dev/null; then # SIGTERM ended the wait; the search is stopping
  code=0
  wait $search || code=$?
fi
exit $code
