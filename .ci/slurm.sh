#!/usr/bin/env bash
# A Slurm of one node for `pytest -m slurm`, on a machine of CI: `.ci/slurm.sh start`, `.ci/slurm.sh stop`.
# Installs Debian's packages and starts munged, slurmctld and slurmd, all as root and without a service manager.
# Ends with 75 where it cannot (not root, no apt-get, no network, a Slurm of the machine's own). No test calls this.
set -euo pipefail

state=/var/lib/vssl-slurm
conf=/etc/slurm/slurm.conf
CANNOT=75

cannot() {
    echo "no Slurm here: $1" >&2
    exit "$CANNOT"
}

install() {
    type slurmctld slurmd munged sbatch >/dev/null 2>&1 && return
    command -v apt-get >/dev/null || cannot "there is no apt-get"
    # The packages would start their services; here they are started below.
    local policy=/usr/sbin/policy-rc.d made=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1
    fi
    local code=0
    { apt update && apt install -y --no-install-recommends slurmctld slurmd slurm-client munge; } || code=$?
    [[ -z $made ]] || rm -f "$policy"
    ((code == 0)) || cannot "apt-get could not install it"
}

# Without a network it gives up at once instead of waiting for minutes.
apt() {
    DEBIAN_FRONTEND=noninteractive timeout 180 apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=15 \
        -o Acquire::https::Timeout=15 -o DPkg::Lock::Timeout=30 "$@" </dev/null >/dev/null
}

configure() {
    mkdir -p "$state"/{ctld,d} "${conf%/*}" /run/munge
    chown munge: /run/munge
    if [[ ! -s /etc/munge/munge.key ]]; then
        head -c 1024 /dev/urandom >/etc/munge/munge.key && chown munge: /etc/munge/munge.key
        chmod 0400 /etc/munge/munge.key
    fi
    cat >"$conf" <<CONF
ClusterName=vssl
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
KillWait=5
MinJobAge=30
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
}

answers() {
    [[ $(timeout 10 sinfo -h -o %t 2>/dev/null) == @(idle|mix|alloc) ]]
}

start() {
    [[ $(id -u) == 0 ]] || cannot "that takes root"
    [[ ! -e $conf ]] || grep -qx ClusterName=vssl "$conf" || cannot "$conf is not from this script"
    install
    answers && return
    configure
    if ! munge -n >/dev/null 2>&1; then
        setpriv --reuid=munge --regid=munge --clear-groups munged
        cp /run/munge/munged.pid "$state"
    fi
    slurmctld && slurmd
    for _ in $(seq 30); do
        answers && return
        sleep 1
    done
    tail -n 20 "$state"/*.log >&2
    stop
    cannot "it was started and does not answer"
}

# Ends what `start` started, by the numbers that the daemons wrote.
stop() {
    for daemon in slurmd slurmctld munged; do
        local file=$state/$daemon.pid
        [[ -s $file && $(cat "/proc/$(<"$file")/comm" 2>/dev/null) == "$daemon" ]] && kill "$(<"$file")" || true
    done
}

case ${1:-} in
    start | stop) "$1" ;;
    *)
        echo "usage: $0 start|stop" >&2
        exit 2
        ;;
esac
