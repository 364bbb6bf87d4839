#!/usr/bin/env bash
# A search as a Slurm job: one Ray cluster over all nodes of the job, for as long as it runs.
#
#   sbatch --nodes=4 --gpus-per-node=4 --time=2:00:00 deploy/slurm.sh --budget 256 --data FILE.npz
#
# All arguments go to the search. Change the #SBATCH lines for your site. The project must be on a file system that all
# nodes share; run `make .venv/installed` there once. Two minutes before the time limit Slurm sends SIGUSR1: the search
# stops cleanly, and the job goes back into the queue and resumes its run (slurm-JOBID, or that of --name), until the
# budget is used up. After scancel, `sbatch ... deploy/slurm.sh --resume NAME` goes on.
#SBATCH --job-name=bloodtune
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
cd "${BLOODTUNE_HOME:-$SLURM_SUBMIT_DIR}"

# A token per job, so that no other user of these nodes can join.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(python3 -c "import secrets; print(secrets.token_hex(32))")
export PATH="$PWD/.venv/bin:$PATH"
unset ROCR_VISIBLE_DEVICES # Slurm sets it in every step with GPUs, and Ray refuses to start with it
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # since Slurm 22.05 srun does not take it from sbatch

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may share a node
# The first IPv4 address that other nodes can reach; /etc/hosts often gives a host's own name 127.0.1.1.
address=$(srun --nodes=1 --ntasks=1 -w "$head" bash -c "hostname --ip-address; hostname --all-ip-addresses" |
  tr " " "\n" | grep -E "^[0-9]+(\.[0-9]+){3}$" | grep -v "^127\." | head -n 1) ||
  { echo "slurm.sh: node $head has no IPv4 address but its own loopback" >&2; exit 2; }
address=$address:$port
gpus=${SLURM_GPUS_ON_NODE:-0}

# A requeued job resumes its run, which keeps its recipe and its preparation of the data: it takes no flags for these.
name="" out=runs kept=() words=()
for word in "$@"; do
  if [[ $word == --*=* ]]; then words+=("${word%%=*}" "${word#*=}"); else words+=("$word"); fi
done
for ((i = 0; i < ${#words[@]}; i++)); do
  case ${words[i]} in
    --name | --resume) name=${words[++i]} ;;
    --recipe | --max-epochs | --warm-start | --size | --crop | --without | --folds) ((++i)) ;;
    --skip-unreadable | --drop-copies) ;;
    --out) out=${words[++i]} kept+=(--out "$out") ;;
    *) kept+=("${words[i]}") ;;
  esac
done
[ -n "$name" ] || set -- "$@" --name "${name:=slurm-$SLURM_JOB_ID}"
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && [ -f "$out/$name/provenance.json" ]; then
  set -- --resume "$name" ${kept[@]+"${kept[@]}"}
fi

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

code=0 requeue=""
python -m bloodtune.search --address "$address" "$@" &
search=$!
trap 'requeue=yes; kill -TERM $search' USR1 # the time limit is near
trap 'requeue=""; kill -TERM $search' TERM # scancel, or another job needs the nodes
while kill -0 $search 2> /dev/null; do # a signal ends the wait before the search has stopped
  code=0
  wait $search || code=$?
done
if [ -n "$requeue" ] && [ "$code" -eq 130 ]; then # stopped before its end
  if [ "$name" = latest ]; then
    echo "slurm.sh: not requeued, because latest may be another run by then; give its name" >&2
  else
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit $code
