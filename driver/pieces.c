/* pieces.c - see pieces.h. */
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/arch.h"
#include "driver/pieces.h"

#define PIECE_NAME 1 /* offsets in `names` */
#define NAMES_NAME 8
static char names[] = "\0.piece\0.shstrtab";

static int add_section(Elf *elf, GElf_Shdr *header, void *bytes, size_t size)
{
    Elf_Scn *section = elf_newscn(elf);
    Elf_Data *data = section ? elf_newdata(section) : NULL;
    GElf_Shdr fresh;
    if (!data || !gelf_getshdr(section, &fresh))
        return -1;
    data->d_buf = bytes;
    data->d_size = size;
    data->d_align = 1;
    data->d_version = EV_CURRENT;
    header->sh_addralign = 1;
    return gelf_update_shdr(section, header) ? (int)elf_ndxscn(section) : -1;
}

static bool fill(Elf *elf, const struct piece *pieces, size_t count)
{
    GElf_Ehdr header;
    GElf_Shdr text = {.sh_name = NAMES_NAME, .sh_type = SHT_STRTAB};
    if (!elf || !gelf_newehdr(elf, ELFCLASS64) || !gelf_getehdr(elf, &header))
        return false;
    for (size_t i = 0; i < count; i++) {
        GElf_Shdr piece = {.sh_name = PIECE_NAME,
                           .sh_type = SHT_PROGBITS,
                           .sh_flags = SHF_ALLOC,
                           .sh_addr = pieces[i].address};
        if (add_section(elf, &piece, pieces[i].bytes, pieces[i].size) < 0)
            return false;
    }
    int index = add_section(elf, &text, names, sizeof names);
    header.e_type = ET_EXEC;
    header.e_machine = (GElf_Half)arch.elf_machine;
    header.e_version = EV_CURRENT;
    header.e_shstrndx = (GElf_Half)index;
    return index > 0 && gelf_update_ehdr(elf, &header) && elf_update(elf, ELF_C_WRITE) > 0;
}

int pieces_file(const struct piece *pieces, size_t count, struct failure *f)
{
    elf_version(EV_CURRENT);
    int fd = memfd_create("gdb-hijack", MFD_CLOEXEC);
    Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_WRITE, NULL);
    bool done = fill(elf, pieces, count);
    elf_end(elf);
    if (done)
        return fd;
    close(fd);
    return fail(f, -EIO, "cannot make a file in memory");
}
