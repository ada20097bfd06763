/*
 * ckpt_layout.c - where everything goes in the image, and its head: ELF header, program headers,
 * notes.
 *
 * Segments follow the mappings. Within anonymous memory a hole of more than `gap` bytes starts a
 * new segment, a smaller one is a hole in the file; file mappings are split exactly at what is
 * stored, because a debugger reads the rest from the file only where a segment has no bytes at all.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/utsname.h>

#include "restart/checksum.h"
#include "restart/ckpt.h"
#include "restart/ckpt_arch.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/resume.h"
#include "stubs/agent.h"
#include "stubs/mem.h"
#include "stubs/raw.h"
#include "stubs/record.h"

#define SEGMENTS_MAX 65000 /* e_phnum has 16 bits */

/* --- segments --- */

static uint64_t gap; /* longest hole within a segment of anonymous memory */

static Elf64_Phdr *segment(const struct image_map *map, uint64_t address)
{
    Elf64_Phdr *s = &ckpt.segments[ckpt.segment_count++];
    *s = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = address, .p_align = IMAGE_PAGE};
    s->p_flags = (map->prot & PROT_READ ? PF_R : 0) | (map->prot & PROT_WRITE ? PF_W : 0) |
                 (map->prot & PROT_EXEC ? PF_X : 0);
    return s;
}

/* Ends segment `s` at `end`; in a file mapping what is not stored becomes a segment of its own. */
static void close_segment(const struct image_map *map, Elf64_Phdr *s, uint64_t end)
{
    s->p_memsz = end - s->p_vaddr;
    if (map->kind == IMAGE_FILE && s->p_filesz && s->p_filesz < s->p_memsz) {
        s->p_memsz = s->p_filesz;
        s = segment(map, s->p_vaddr + s->p_filesz);
        s->p_memsz = end - s->p_vaddr;
    }
}

static int fits(const struct image_map *map, const Elf64_Phdr *s, const struct image_run *run)
{
    uint64_t hole = run->address - (s->p_vaddr + s->p_filesz);
    return hole == 0 || (map->kind != IMAGE_FILE && s->p_filesz && hole <= gap);
}

static void segments_of(const struct image_map *map)
{
    Elf64_Phdr *s = segment(map, map->start);
    const struct image_run *run = ckpt.runs + map->run, *end = run + map->runs;
    for (; run < end && ckpt.segment_count + 4 < ckpt.segment_limit; run++) {
        if (run->flags & IMAGE_RUN_GUARD)
            continue;
        if (!fits(map, s, run)) {
            close_segment(map, s, run->address);
            s = segment(map, run->address);
        }
        s->p_filesz = run->address + run->length - s->p_vaddr;
    }
    close_segment(map, s, map->end);
}

static long make_segments(void)
{
    for (gap = 16 * IMAGE_PAGE; gap; gap *= 4) {
        ckpt.segment_count = 0;
        for (size_t i = 0; i < ckpt.map_count && ckpt.segment_count + 4 < ckpt.segment_limit; i++)
            segments_of(&ckpt.maps[i]);
        if (ckpt.segment_count + 4 < ckpt.segment_limit && ckpt.segment_count < SEGMENTS_MAX)
            return 0;
    }
    return ckpt_fail(-ENOMEM, "the memory is too fragmented", "");
}

/* Both lists rise by address, so one walk places segments and runs. */
static void place(uint64_t data)
{
    struct image_run *run = ckpt.runs, *end = ckpt.runs + ckpt.run_count;
    uint64_t at = data;
    for (Elf64_Phdr *s = ckpt.segments; s < ckpt.segments + ckpt.segment_count; s++) {
        s->p_offset = at;
        for (; run < end && run->address < s->p_vaddr + s->p_memsz; run++)
            run->offset = run->flags & IMAGE_RUN_GUARD ? 0 : at + (run->address - s->p_vaddr);
        at += s->p_filesz;
    }
    ckpt.header.data = data;
    ckpt.header.end = at;
}

/* --- head --- */

static size_t used; /* bytes of the head so far, counted on when they no longer fit */

static unsigned char *reserve(size_t size)
{
    unsigned char *at = used + size <= ckpt.head_limit ? ckpt.head + used : NULL;
    used += size;
    return at;
}

static void put(const void *bytes, size_t size)
{
    unsigned char *at = reserve(size);
    if (at)
        memcpy(at, bytes, size);
}

static void pad(size_t to)
{
    static const unsigned char zeros[IMAGE_PAGE];
    put(zeros, (to - used % to) % to);
}

/* Notes are aligned to 4 bytes, in 64-bit files too, as the kernel does it. */
static void note(const char *owner, uint32_t type, const void *bytes, size_t size)
{
    Elf64_Nhdr h = {(uint32_t)strlen(owner) + 1, (uint32_t)size, type};
    put(&h, sizeof h);
    put(owner, h.n_namesz);
    pad(4);
    put(bytes, size);
    pad(4);
}

static void put_arguments(char *to, size_t size)
{
    const struct image_layout *l = &resume_process.layout;
    size_t n = l->arg_end - l->arg_start;
    n = n < size - 1 ? n : size - 1;
    memcpy(to, (const void *)l->arg_start, n);
    for (size_t i = 0; i + 1 < n; i++)
        to[i] = to[i] ? to[i] : ' ';
}

static void put_psinfo(void)
{
    struct elf_prpsinfo info = {.pr_sname = 'R', .pr_nice = (char)resume_process.nice};
    info.pr_pid = resume_process.pid, info.pr_ppid = resume_process.parent;
    info.pr_pgrp = resume_process.group, info.pr_sid = resume_process.session;
    info.pr_uid = resume_process.uid, info.pr_gid = resume_process.gid;
    mem_copy_string(info.pr_fname, resume_process.comm, sizeof info.pr_fname);
    put_arguments(info.pr_psargs, sizeof info.pr_psargs);
    note("CORE", NT_PRPSINFO, &info, sizeof info);
}

static int is_file(const struct image_map *map)
{
    return map->kind == IMAGE_FILE || map->kind == IMAGE_CARRIED;
}

/* NT_FILE: count, page size, {start, end, offset in pages}[count], the names. */
static void put_files(void)
{
    uint64_t head[2] = {0, IMAGE_PAGE};
    size_t names = 0;
    for (size_t i = 0; i < ckpt.map_count; i++)
        if (is_file(&ckpt.maps[i]))
            head[0]++, names += strlen(ckpt.strings + ckpt.maps[i].name) + 1;
    Elf64_Nhdr h = {5, (uint32_t)(sizeof head + head[0] * 24 + names), NT_FILE};
    put(&h, sizeof h);
    put("CORE\0\0\0", 8);
    put(head, sizeof head);
    for (size_t i = 0; i < ckpt.map_count; i++) {
        const struct image_map *m = &ckpt.maps[i];
        const uint64_t row[3] = {m->start, m->end, m->offset / IMAGE_PAGE};
        if (is_file(m))
            put(row, sizeof row);
    }
    for (size_t i = 0; i < ckpt.map_count; i++)
        if (is_file(&ckpt.maps[i]))
            put(ckpt.strings + ckpt.maps[i].name, strlen(ckpt.strings + ckpt.maps[i].name) + 1);
    pad(4);
}

static uint64_t set[4096 / 8]; /* of registers */

static const struct image_thread *thread(unsigned i)
{
    return resume_state(rendezvous_thread(i));
}

static void put_general(const struct image_thread *t)
{
    note("CORE", NT_PRSTATUS, set, ckpt_arch_general(set, t, &resume_process));
}

static void put_extended(const struct image_thread *t)
{
    const ucontext_t *frame = (const void *)t->frame;
    size_t size = ckpt_arch_floating(set, frame);
    if (size)
        note("CORE", NT_PRFPREG, set, size);
    size = ckpt_arch_extended(set, frame);
    if (size)
        note("LINUX", NT_X86_XSTATE, set, size);
}

/* As the kernel has it: what is the process's stands among the first thread's. */
static void put_core_notes(void)
{
    put_general(thread(0));
    put_psinfo();
    note("CORE", NT_AUXV, resume_process.auxv, resume_process.layout.auxv_size);
    put_files();
    put_extended(thread(0));
    for (unsigned i = 1; i < resume_process.thread_count; i++) {
        put_general(thread(i));
        put_extended(thread(i));
    }
}

static void put_threads(void)
{
    uint32_t count = resume_process.thread_count;
    Elf64_Nhdr h = {sizeof IMAGE_OWNER, (uint32_t)(count * sizeof *thread(0)), IMAGE_NOTE_THREADS};
    put(&h, sizeof h);
    put(IMAGE_OWNER, sizeof IMAGE_OWNER);
    pad(4);
    for (unsigned i = 0; i < count; i++)
        put(thread(i), sizeof *thread(i));
    pad(4);
}

static void put_own_notes(void)
{
    const uint64_t sum = 0;
    note(IMAGE_OWNER, IMAGE_NOTE_HEADER, &ckpt.header, sizeof ckpt.header);
    note(IMAGE_OWNER, IMAGE_NOTE_MAPS, ckpt.maps, ckpt.map_count * sizeof *ckpt.maps);
    note(IMAGE_OWNER, IMAGE_NOTE_FILES, ckpt.files, ckpt.file_count * sizeof *ckpt.files);
    note(IMAGE_OWNER, IMAGE_NOTE_STRINGS, ckpt.strings, ckpt.string_size);
    note(IMAGE_OWNER, IMAGE_NOTE_RUNS, ckpt.runs, ckpt.run_count * sizeof *ckpt.runs);
    note(IMAGE_OWNER, IMAGE_NOTE_PROCESS, &resume_process, sizeof resume_process);
    note(IMAGE_OWNER, IMAGE_NOTE_PARAMS, &hijack_params, sizeof hijack_params);
    note(IMAGE_OWNER, IMAGE_NOTE_FDS, ckpt.fds, ckpt.fds_size);
    put_threads();
    note(IMAGE_OWNER, IMAGE_NOTE_SUM, &sum, sizeof sum);
}

static void put_elf(size_t notes, size_t notes_end)
{
    Elf64_Ehdr e = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = ckpt_arch_machine,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof e,
        .e_ehsize = sizeof e,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)(ckpt.segment_count + 1)};
    Elf64_Phdr n = {
        .p_type = PT_NOTE, .p_offset = notes, .p_filesz = notes_end - notes, .p_align = 4};
    used = 0;
    put(&e, sizeof e);
    put(&n, sizeof n);
    put(ckpt.segments, ckpt.segment_count * sizeof *ckpt.segments);
}

/* Writes the head; returns where the notes end. */
static size_t make_head(void)
{
    size_t notes = sizeof(Elf64_Ehdr) + (ckpt.segment_count + 1) * sizeof(Elf64_Phdr);
    used = notes;
    put_core_notes();
    put_own_notes();
    size_t end = used;
    pad(IMAGE_PAGE);
    ckpt.head_size = used;
    put_elf(notes, end);
    return end;
}

static void fill_header(void)
{
    static struct utsname name;
    struct image_header *h = &ckpt.header;
    struct timespec now;
    struct text kernel = {h->kernel, sizeof h->kernel, 0};
    raw(SYS_uname, &name);
    raw(SYS_clock_gettime, CLOCK_REALTIME, &now);
    *h = (struct image_header){.magic = IMAGE_MAGIC,
                               .version = IMAGE_VERSION,
                               .size = sizeof *h,
                               .page_size = IMAGE_PAGE,
                               .time = (uint64_t)now.tv_sec,
                               .entry = (uintptr_t)resume_entry,
                               .params = (uintptr_t)&hijack_params,
                               .record = (uintptr_t)&hijack_record};
    text_add(&kernel, name.release);
    text_add(&kernel, " ");
    text_add(&kernel, name.version);
    mem_copy_string(h->host, name.nodename, sizeof h->host);
    ckpt_arch_header(h, handler_leader.frame);
}

long ckpt_layout(void)
{
    long result = make_segments();
    if (result)
        return result;
    fill_header();
    make_head(); /* for its size */
    if (ckpt.head_size > ckpt.head_limit)
        return ckpt_fail(-ENOMEM, "the tables of the image are too long", "");
    place(ckpt.head_size);
    return 0;
}

void ckpt_layout_finish(void)
{
    size_t end = make_head();
    uint64_t sum = checksum(ckpt.head, ckpt.head_size);
    memcpy(ckpt.head + end - sizeof sum, &sum, sizeof sum);
}
