#!/usr/bin/env bash
# A Slurm of one node for `pytest -m slurm`, on a machine of CI: `.ci/slurm.sh start`, `.ci/slurm.sh stop`.
# Installs Debian's packages and starts munged, slurmctld and slurmd, all as root and without a service manager.
# Ends with 75 where it cannot (not root, no apt-get, no network): the tests then skip. No test calls this.
set -euo pipefail

state=/var/lib/vssl-slurm
CANNOT=75

cannot() {
    echo "no Slurm here: $1" >&2
    exit "$CANNOT"
}

install() {
    command -v slurmctld slurmd munged sbatch >/dev/null && return
    command -v apt-get >/dev/null || cannot "there is no apt-get"
    # The packages would start their services; here they are started below.
    local policy=/usr/sbin/policy-rc.d made=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1
    fi
    local code=0
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge; } >/dev/null || code=$?
    [[ -z $made ]] || rm -f "$policy"
    ((code == 0)) || cannot "apt-get could not install it"
}

configure() {
    mkdir -p "$state"/{ctld,d} /etc/slurm /run/munge
    chown munge: /run/munge
    [[ -s /etc/munge/munge.key ]] || { head -c 1024 /dev/urandom >/etc/munge/munge.key && chown munge: /etc/munge/munge.key; }
    chmod 0400 /etc/munge/munge.key
    cat >/etc/slurm/slurm.conf <<CONF
ClusterName=vssl
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
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
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=2048 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
}

start() {
    [[ $(id -u) == 0 ]] || cannot "that takes root"
    install
    configure
    pgrep -x munged >/dev/null || setpriv --reuid=munge --regid=munge --clear-groups munged
    slurmctld
    slurmd
    for _ in $(seq 30); do
        if [[ $(sinfo -h -o %t 2>/dev/null) == @(idle|mix|alloc) ]]; then
            sinfo
            return
        fi
        sleep 1
    done
    tail -n 20 "$state"/*.log >&2
    echo "Slurm was started and does not answer" >&2
    exit 1
}

# Ends what `start` started, by the numbers that the daemons wrote.
stop() {
    for file in "$state"/slurmd.pid "$state"/slurmctld.pid /run/munge/munged.pid; do
        [[ -s $file ]] && kill "$(<"$file")" 2>/dev/null || true
    done
}

case ${1:-} in
    start | stop) "$1" ;;
    *)
        echo "usage: $0 start|stop" >&2
        exit 2
        ;;
esac
