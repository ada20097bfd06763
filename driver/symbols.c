/* symbols.c - see symbols.h. */
#include <stdlib.h>
#include <string.h>

#include "driver/symbols.h"

#define VERSION_HIDDEN 0x8000 /* in .gnu.version: not the default version of the name */

/* A symbol table: .dynsym or .symtab. */
struct table {
    Elf_Data *symbols, *strings;
    size_t count;
    const Elf64_Half *versions; /* NULL: none */
};

struct symbols {
    Elf *elf;
    taddr bias;
    struct table dynamic, full;
    const Elf64_Word *hash; /* DT_GNU_HASH as words, NULL: none */
    size_t hash_words;
    struct object_function *functions; /* made when first asked for */
    size_t function_count;
    bool functions_made;
};

/* --- the dynamic section --- */

/* The dynamic linker relocates some of these in place, so that a copy from memory holds absolute
 * addresses. */
static GElf_Addr unrelocated(const struct symbols *s, GElf_Addr address)
{
    return s->bias && address >= s->bias ? address - s->bias : address;
}

/* The file's bytes from a link address to the end of its segment, as `type`. NULL: not in the file.
 */
static Elf_Data *chunk_at(const struct symbols *s, GElf_Addr address, size_t most, Elf_Type type)
{
    size_t headers;
    GElf_Phdr p;
    if (elf_getphdrnum(s->elf, &headers))
        return NULL;
    address = unrelocated(s, address);
    for (size_t i = 0; i < headers && gelf_getphdr(s->elf, (int)i, &p); i++) {
        if (p.p_type != PT_LOAD || address < p.p_vaddr || address - p.p_vaddr >= p.p_filesz)
            continue;
        size_t skip = address - p.p_vaddr, size = p.p_filesz - skip;
        size_t unit = gelf_fsize(s->elf, type, 1, EV_CURRENT);
        size = (size < most ? size : most) / unit * unit;
        return elf_getdata_rawchunk(s->elf, (int64_t)(p.p_offset + skip), size, type);
    }
    return NULL;
}

struct dynamic {
    GElf_Addr symbols, strings, versions, gnu_hash, hash;
    size_t string_size;
};

static void note_entry(struct dynamic *d, const GElf_Dyn *entry)
{
    GElf_Addr value = entry->d_un.d_ptr;
    switch (entry->d_tag) {
    case DT_SYMTAB:
        d->symbols = value;
        break;
    case DT_STRTAB:
        d->strings = value;
        break;
    case DT_STRSZ:
        d->string_size = value;
        break;
    case DT_VERSYM:
        d->versions = value;
        break;
    case DT_GNU_HASH:
        d->gnu_hash = value;
        break;
    case DT_HASH:
        d->hash = value;
        break;
    }
}

static bool read_dynamic(const struct symbols *s, struct dynamic *out)
{
    size_t headers;
    GElf_Phdr p;
    if (elf_getphdrnum(s->elf, &headers))
        return false;
    for (size_t i = 0; i < headers && gelf_getphdr(s->elf, (int)i, &p); i++) {
        Elf_Data *data = p.p_type != PT_DYNAMIC ? NULL
                                                : elf_getdata_rawchunk(s->elf, (int64_t)p.p_offset,
                                                                       p.p_filesz, ELF_T_DYN);
        GElf_Dyn entry;
        for (int k = 0; data && gelf_getdyn(data, k, &entry) && entry.d_tag != DT_NULL; k++)
            note_entry(out, &entry);
    }
    return out->symbols && out->strings && out->string_size;
}

/* --- the hash table --- */

struct gnu_hash {
    Elf64_Word bucket_count, first_symbol, bloom_size;
    const Elf64_Word *buckets, *chains;
    size_t chain_count;
};

static bool gnu_hash_open(const struct symbols *s, struct gnu_hash *h)
{
    if (!s->hash || s->hash_words < 4)
        return false;
    h->bucket_count = s->hash[0];
    h->first_symbol = s->hash[1];
    h->bloom_size = s->hash[2];
    size_t before = 4 + 2 * (size_t)h->bloom_size + h->bucket_count; /* bloom words have 64 bits */
    if (!h->bucket_count || before > s->hash_words)
        return false;
    h->buckets = s->hash + before - h->bucket_count;
    h->chains = s->hash + before;
    h->chain_count = s->hash_words - before;
    return true;
}

static Elf64_Word gnu_hash_of(const char *name)
{
    Elf64_Word hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* The dynamic section does not say how many symbols there are: the last chain of the hash table
 * ends with the last. */
static size_t count_by_gnu_hash(const struct symbols *s)
{
    struct gnu_hash h;
    if (!gnu_hash_open(s, &h))
        return 0;
    size_t last = h.first_symbol;
    for (size_t i = 0; i < h.bucket_count; i++)
        if (h.buckets[i] > last)
            last = h.buckets[i];
    size_t chain = last - h.first_symbol;
    while (chain < h.chain_count && !(h.chains[chain] & 1))
        chain++;
    return h.first_symbol + chain + 1;
}

static size_t count_dynamic(const struct symbols *s, const struct dynamic *d)
{
    size_t count = d->gnu_hash ? count_by_gnu_hash(s) : 0;
    if (count || !d->hash)
        return count;
    Elf_Data *words = chunk_at(s, d->hash, 2 * sizeof(Elf64_Word), ELF_T_WORD);
    return words && words->d_size >= 8 ? ((const Elf64_Word *)words->d_buf)[1] : 0;
}

static void open_dynamic(struct symbols *s)
{
    struct dynamic d = {0};
    if (!read_dynamic(s, &d))
        return;
    Elf_Data *hash = d.gnu_hash ? chunk_at(s, d.gnu_hash, SIZE_MAX, ELF_T_WORD) : NULL;
    s->hash = hash ? hash->d_buf : NULL;
    s->hash_words = hash ? hash->d_size / sizeof(Elf64_Word) : 0;
    size_t count = count_dynamic(s, &d), entry = gelf_fsize(s->elf, ELF_T_SYM, 1, EV_CURRENT);
    if (!count || count > SIZE_MAX / entry)
        return;
    s->dynamic.symbols = chunk_at(s, d.symbols, count * entry, ELF_T_SYM);
    s->dynamic.strings = chunk_at(s, d.strings, d.string_size, ELF_T_BYTE);
    if (!s->dynamic.symbols || !s->dynamic.strings)
        return;
    s->dynamic.count = s->dynamic.symbols->d_size / entry;
    Elf_Data *versions = d.versions ? chunk_at(s, d.versions, count * 2, ELF_T_HALF) : NULL;
    if (versions && versions->d_size / 2 >= s->dynamic.count)
        s->dynamic.versions = versions->d_buf;
}

/* --- .symtab --- */

static void open_full(struct symbols *s)
{
    GElf_Shdr header;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(s->elf, scn));) {
        if (!gelf_getshdr(scn, &header) || header.sh_type != SHT_SYMTAB || !header.sh_entsize)
            continue;
        Elf_Scn *strings = elf_getscn(s->elf, header.sh_link);
        s->full.symbols = elf_getdata(scn, NULL);
        s->full.strings = strings ? elf_getdata(strings, NULL) : NULL;
        if (s->full.symbols && s->full.strings)
            s->full.count = s->full.symbols->d_size / gelf_fsize(s->elf, ELF_T_SYM, 1, EV_CURRENT);
    }
}

struct symbols *symbols_open(Elf *elf, taddr bias)
{
    struct symbols *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->elf = elf;
    s->bias = bias;
    open_dynamic(s);
    open_full(s);
    return s;
}

void symbols_close(struct symbols *s)
{
    if (s)
        free(s->functions);
    free(s);
}

/* --- look-up --- */

/* NULL unless the whole name lies within the string table. */
static const char *name_of(const struct table *t, const GElf_Sym *symbol)
{
    const char *strings = t->strings->d_buf;
    size_t size = t->strings->d_size;
    if (symbol->st_name >= size || !memchr(strings + symbol->st_name, 0, size - symbol->st_name))
        return NULL;
    return strings + symbol->st_name;
}

static bool is_defined(const GElf_Sym *symbol)
{
    return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS && symbol->st_value;
}

static bool is_code_or_data(const GElf_Sym *symbol)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info);
    return type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE;
}

/* What a symbol is to a look-up: the better of two counts. */
enum match { NO_MATCH, OLD_VERSION, DEFAULT_VERSION };

/* Symbol `index` if it has this name and is no worse than what was found before. A default version
 * that is an IFUNC resolver hides the old ones, and has no address that is of use: `out` gets 0. */
static enum match consider(const struct symbols *s, const struct table *t, size_t index,
                           const char *name, enum match before, struct object_function *out)
{
    GElf_Sym symbol;
    if (index >= t->count || !gelf_getsym(t->symbols, (int)index, &symbol) || !is_defined(&symbol))
        return before;
    const char *its = name_of(t, &symbol);
    if (!its || strcmp(its, name) != 0)
        return before;
    bool is_default = !t->versions || !(t->versions[index] & VERSION_HIDDEN);
    if (!is_default && before != NO_MATCH)
        return before;
    *out = (struct object_function){its, symbol.st_value + s->bias, symbol.st_size};
    if (!is_code_or_data(&symbol))
        out->address = 0;
    return is_default ? DEFAULT_VERSION : OLD_VERSION;
}

static bool find_by_hash(const struct symbols *s, const struct gnu_hash *h, const char *name,
                         struct object_function *out)
{
    Elf64_Word hash = gnu_hash_of(name);
    size_t index = h->buckets[hash % h->bucket_count];
    enum match found = NO_MATCH;
    if (index < h->first_symbol) /* 0: an empty bucket */
        return false;
    for (size_t chain = index - h->first_symbol; chain < h->chain_count; chain++) {
        Elf64_Word word = h->chains[chain];
        if ((word | 1) == (hash | 1))
            found = consider(s, &s->dynamic, chain + h->first_symbol, name, found, out);
        if (found == DEFAULT_VERSION || (word & 1))
            break;
    }
    return found != NO_MATCH && out->address;
}

static bool find_by_scan(const struct symbols *s, const struct table *t, const char *name,
                         struct object_function *out)
{
    enum match found = NO_MATCH;
    for (size_t i = 0; i < t->count && found != DEFAULT_VERSION; i++)
        found = consider(s, t, i, name, found, out);
    return found != NO_MATCH && out->address;
}

bool symbols_find_exported(struct symbols *s, const char *name, struct object_function *out)
{
    struct gnu_hash h;
    return gnu_hash_open(s, &h) ? find_by_hash(s, &h, name, out)
                                : find_by_scan(s, &s->dynamic, name, out);
}

bool symbols_find(struct symbols *s, const char *name, struct object_function *out)
{
    return symbols_find_exported(s, name, out) || find_by_scan(s, &s->full, name, out);
}

/* --- all functions --- */

static void add_functions(struct symbols *s, const struct table *t)
{
    GElf_Sym symbol;
    for (size_t i = 0; i < t->count && gelf_getsym(t->symbols, (int)i, &symbol); i++) {
        const char *name = name_of(t, &symbol);
        if (!name || !is_defined(&symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
            continue;
        s->functions[s->function_count++] =
            (struct object_function){name, symbol.st_value + s->bias, symbol.st_size};
    }
}

/* By address; of the names of one address the plainest first: fewest leading underscores, then the
 * shortest. */
static int by_address(const void *left, const void *right)
{
    const struct object_function *a = left, *b = right;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    size_t ua = strspn(a->name, "_"), ub = strspn(b->name, "_");
    if (ua != ub)
        return ua < ub ? -1 : 1;
    size_t la = strlen(a->name), lb = strlen(b->name);
    return la != lb ? (la < lb ? -1 : 1) : strcmp(a->name, b->name);
}

/* A function of both tables is there twice. */
static size_t without_twins(struct object_function *f, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!kept || f[kept - 1].address != f[i].address || strcmp(f[kept - 1].name, f[i].name))
            f[kept++] = f[i];
    return kept;
}

const struct object_function *symbols_functions(struct symbols *s, size_t *count)
{
    if (!s->functions_made) {
        s->functions = calloc(s->dynamic.count + s->full.count + 1, sizeof *s->functions);
        if (s->functions) {
            add_functions(s, &s->dynamic);
            add_functions(s, &s->full);
            qsort(s->functions, s->function_count, sizeof *s->functions, by_address);
            s->function_count = without_twins(s->functions, s->function_count);
        }
        s->functions_made = true;
    }
    *count = s->functions ? s->function_count : 0;
    return s->functions;
}
