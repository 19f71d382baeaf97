/* Virtual functions in stripped libraries: class name -> typeinfo -> vtable -> slot, read from the file's relocations, so that it works
 * before the library is relocated and names no address of any build. What a slot points to is then patched as a named function is. */
#ifndef TVG_SHIM_VTABLE_H
#define TVG_SHIM_VTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A class of an object. Addresses are link-time ones. */
struct tvg_class {
    const char *name;     /* typeinfo name ("N11onnxruntime6MatMulIfEE"), in the image */
    uintptr_t name_address;
    uintptr_t typeinfo;
    uintptr_t vtable;     /* slot 0 of its primary vtable; 0: none, or it can't be told */
};

struct tvg_classes {
    const uint8_t *image;
    const struct tvg_class *class; /* by rising typeinfo address */
    size_t count;
    size_t mapped;
    const void *segment, *rela;    /* of the image: program headers, relocations */
    size_t segments, relocations;
    bool sorted;                   /* relocations without a symbol come first, by rising address */
};

/* The classes of an object whose whole file is `image`, of `bytes` bytes: about 20 ms for one of 35 MB. False when it has none that can be
 * found. No malloc: tvg_classes_close gives the memory back. */
bool tvg_classes_open(struct tvg_classes *classes, const uint8_t *image, size_t bytes);
void tvg_classes_close(struct tvg_classes *classes);

/* The function in slot `slot` (0: the first virtual function) of a class's primary vtable, or 0. */
uintptr_t tvg_class_slot(const struct tvg_classes *classes, const struct tvg_class *class, unsigned slot);
/* The function in the first slot from `slot` on, up to eight further, that differs from that of `witness`, a class that is known to inherit it;
 * 0: none does. For functions that move between versions. */
uintptr_t tvg_class_override(const struct tvg_classes *classes, const struct tvg_class *class, const struct tvg_class *witness, unsigned slot);
/* A class that has a vtable, by its typeinfo name, or NULL. */
const struct tvg_class *tvg_class_named(const struct tvg_classes *classes, const char *name);
/* Whether the class or one of its bases, at any distance, has this typeinfo name. */
bool tvg_class_derives(const struct tvg_classes *classes, const struct tvg_class *class, const char *name);

#endif
