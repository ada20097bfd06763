#!/bin/sh
# Builds OUTPUT (trial.c with the in-target sources, hosted for once, and the starter's): build.sh OUTPUT, in the source tree.
set -e
arch=stubs/arch/$(uname -m)
out=$1
${CC:-cc} -I. -I"$arch" -O1 -ffreestanding -fno-builtin -fvisibility=hidden -c stubs/mem.c -o "$out.mem.o"
# shellcheck disable=SC2086 # flags are words
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I. -I"$arch" -Wall -Wextra -O1 -g $SAN -o "$out" tests/shadow/trial.c "$out.mem.o" \
    stubs/spawn.c stubs/record.c stubs/link.c "$arch/spawn_clone.S" restart/ckpt_fds*.c restart/ckpt_text.c stubs/lines.c \
    restart/starter_fds*.c restart/starter_spawn.c shadow/control*.c
rm "$out.mem.o"
