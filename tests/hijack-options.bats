#!/usr/bin/env bats
# Hijacks in other ways than the usual: with dlopen called in the program, of a program with a seccomp filter.

load lib

setup() { work_begin; }
teardown() { work_end; }

# The case that the safe point is for; many: scripts/soak-alloc.sh ROUNDS dlopen
@test "--loader=dlopen on a program that lives in malloc: hijacked, checkpointed, released" {
    HIJACK_OPTIONS=(--loader=dlopen)
    start_target alloc "$DIR/lines"
    rounds 5
    finish
}

# A filter that has nothing against us.
start_filtered() {
    gcc -O1 -x c -o "$DIR/filtered" - <<<'#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(void) {
    struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
    while (access("stop", F_OK)) usleep(10000);
}'
    start_program "$DIR/filtered"
    wait_until grep -q '^Seccomp:.*2' "/proc/$PID/status"
}

@test "--trust-seccomp: a program with a harmless filter is hijacked and released" {
    start_filtered
    snapshot before
    HIJACK_OPTIONS=(--trust-seccomp)
    hijack
    release
    same_but_maps
    finish
}

@test "--trust-seccomp: a checkpoint is refused by name, for the filter would be lost; the program goes on" {
    start_filtered
    HIJACK_OPTIONS=(--trust-seccomp)
    hijack
    expect 1 gdb_hijack checkpoint "$PID" -o "$DIR/job.ckpt" --exit
    [[ $errors == *"the program has a seccomp filter, which a checkpoint cannot keep"* ]] || complain "$errors"
    [ ! -e "$DIR/job.ckpt" ]
    untraced
    release
    finish
}
