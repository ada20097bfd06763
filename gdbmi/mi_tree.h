/* mi_tree.h - how the parser builds the values of mi_value.h. Internal to gdbmi/. */
#ifndef GDBMI_MI_TREE_H
#define GDBMI_MI_TREE_H

#include "gdbmi/mi_value.h"

struct mi_value {
    enum mi_type type;
    char *name;   /* in its container, or NULL */
    size_t count; /* bytes of the string, or elements */
    size_t room;  /* elements allocated */
    union {
        char *string;           /* NUL-terminated behind `count` bytes */
        struct mi_value *items; /* complete elements, moved in by mi_append() */
    };
};

/* Moves *item to the end of `container`. 0, or -ENOMEM with the item still the caller's. */
int mi_append(struct mi_value *container, const struct mi_value *item);
/* Frees what `v` holds, not `v` itself; it is then an empty list without a name. */
void mi_clear(struct mi_value *v);

#endif
