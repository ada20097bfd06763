/* unwind.c - see unwind.h. */
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/unwind.h"

/* One walk: what the callbacks of libdw need. */
struct walk {
    const struct unwind_input *input;
    int (*each)(void *context, taddr pc, bool activation);
    void *context;
    struct failure *failure;
    size_t frames;
    bool stopped; /* by `each`, or because no table covers a frame: not the outermost */
};

/* --- modules: the files that objects.h has open --- */

/* libdw ends the handle that it is given: it gets a reference of its own. */
static int find_elf(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                    char **file_name, Elf **elf)
{
    (void)module, (void)name, (void)base, (void)file_name;
    *elf = elf_begin(-1, ELF_C_READ, *data);
    return -1;
}

static int find_no_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                             const char *file_name, const char *link, GElf_Word crc, char **out)
{
    (void)module, (void)data, (void)name, (void)base;
    (void)file_name, (void)link, (void)crc, (void)out;
    return -1;
}

static const Dwfl_Callbacks module_callbacks = {
    .find_elf = find_elf,
    .find_debuginfo = find_no_debuginfo,
    .section_address = dwfl_offline_section_address,
};

/* Where the first segment begins in the target: what libdw takes a module's address to be. */
static bool first_address(Elf *elf, const struct object *object, Dwarf_Addr *out)
{
    size_t count;
    GElf_Phdr p;
    if (!elf || elf_getphdrnum(elf, &count))
        return false;
    for (size_t i = 0; i < count && gelf_getphdr(elf, (int)i, &p); i++) {
        if (p.p_type != PT_LOAD)
            continue;
        uint64_t align = p.p_align ? p.p_align : 1;
        *out = object->bias + (p.p_vaddr & -align);
        return true;
    }
    return false;
}

static int report_modules(Dwfl *dwfl, const struct objects *objects)
{
    int reported = 0;
    dwfl_report_begin(dwfl);
    for (size_t i = 0; i < objects_count(objects); i++) {
        const struct object *object = objects_at(objects, i);
        Elf *elf = object_elf(objects, object);
        Dwarf_Addr start;
        void **data;
        if (!first_address(elf, object, &start))
            continue;
        Dwfl_Module *module = dwfl_report_module(dwfl, object->path, start, object->text_end);
        if (!module)
            return -1;
        dwfl_module_info(module, &data, NULL, NULL, NULL, NULL, NULL, NULL);
        *data = elf;
        reported++;
    }
    return dwfl_report_end(dwfl, NULL, NULL) ? -1 : reported;
}

/* --- the thread: registers and memory from the caller --- */

static pid_t next_thread(Dwfl *dwfl, void *argument, void **thread_argument)
{
    (void)dwfl;
    struct walk *walk = argument;
    bool first = !*thread_argument;
    *thread_argument = walk;
    return first ? walk->input->pid : 0;
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *argument)
{
    (void)dwfl;
    const struct unwind_input *input = ((struct walk *)argument)->input;
    return !input->read(input->context, address, result, sizeof *result);
}

static bool set_registers(Dwfl_Thread *thread, void *argument)
{
    const struct unwind_input *input = ((struct walk *)argument)->input;
    return dwfl_thread_state_registers(thread, 0, (unsigned)input->register_count,
                                       input->registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .memory_read = read_word,
    .set_initial_registers = set_registers,
};

/* --- the walk --- */

static bool covered(Dwfl *dwfl, Dwarf_Addr pc)
{
    Dwfl_Module *module = dwfl_addrmodule(dwfl, pc);
    Dwarf_Addr bias;
    Dwarf_CFI *cfi = module ? dwfl_module_eh_cfi(module, &bias) : NULL;
    Dwarf_Frame *frame = NULL;
    bool found = cfi && !dwarf_cfi_addrframe(cfi, pc - bias, &frame);
    free(frame);
    return found;
}

static int on_frame(Dwfl_Frame *state, void *argument)
{
    struct walk *walk = argument;
    Dwarf_Addr pc;
    bool activation;
    walk->stopped = true;
    if (!dwfl_frame_pc(state, &pc, &activation)) {
        fail(walk->failure, 0, "a frame without a program counter");
        return DWARF_CB_ABORT;
    }
    if (walk->frames++ == UNWIND_MAX_FRAMES) {
        fail(walk->failure, 0, "more than %d frames", UNWIND_MAX_FRAMES);
        return DWARF_CB_ABORT;
    }
    if (walk->each(walk->context, pc, activation)) {
        fail(walk->failure, 0, "not followed to its end");
        return DWARF_CB_ABORT;
    }
    Dwfl *dwfl = dwfl_thread_dwfl(dwfl_frame_thread(state));
    if (!covered(dwfl, activation ? pc : pc - 1)) {
        fail(walk->failure, 0, "no unwind table covers address %" PRItaddr, (taddr)pc);
        return DWARF_CB_ABORT;
    }
    walk->stopped = false;
    return DWARF_CB_OK;
}

static int follow(Dwfl *dwfl, struct walk *walk)
{
    const struct unwind_input *input = walk->input;
    int modules = report_modules(dwfl, input->objects);
    if (modules < 0 || !dwfl_attach_state(dwfl, NULL, input->pid, &thread_callbacks, walk))
        return fail(walk->failure, -EIO, "cannot prepare to follow the stack of process %d: %s",
                    (int)input->pid, dwfl_errmsg(-1));
    int result = dwfl_getthread_frames(dwfl, input->pid, on_frame, walk);
    if (!result)
        return 1;
    if (!walk->stopped)
        fail(walk->failure, 0, "%s", dwfl_errmsg(-1));
    return 0;
}

int unwind(const struct unwind_input *input, int (*each)(void *context, taddr pc, bool activation),
           void *context, struct failure *f)
{
    struct walk walk = {.input = input, .each = each, .context = context, .failure = f};
    Dwfl *dwfl = dwfl_begin(&module_callbacks);
    if (!dwfl)
        return fail(f, -ENOMEM, "cannot prepare to follow a stack: %s", dwfl_errmsg(-1));
    int result = follow(dwfl, &walk);
    dwfl_end(dwfl);
    return result;
}
