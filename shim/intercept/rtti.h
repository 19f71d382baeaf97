/* C++ objects of stripped libraries, told by their run-time type information: an object's first word leads to its vtable, that to its typeinfo,
 * that to the class's name. With it a field that points to an object proves itself, whatever the offsets of a build are. */
#ifndef TVG_SHIM_RTTI_H
#define TVG_SHIM_RTTI_H

#include <stdbool.h>
#include <stddef.h>

/* Whether `bytes` at `address` (aligned to a word) can be read: asked of the kernel. For pointers that have not proved themselves yet. */
bool tvg_can_read(const void *address, size_t bytes);

/* The typeinfo name ("N2ov9intel_cpu6MemoryE") of the most derived class of the object at `object`, which may be a base's part of it; NULL when
 * it is no such object. The address must be readable; what it holds may be anything. The name lives as long as its library. */
const char *tvg_class_of(const void *object);

/* What a field points to: an object whose class's name begins with `begins` and has `has` in it ("" for any). The strings are told apart by
 * their addresses: give constants. */
struct tvg_wanted {
    const char *begins, *has;
    bool in_vector; /* the field is a vector of pointers, each behind shared ownership, and one of them is such */
};

/* The first field, within `words` words of the polymorphic object, that points to what is wanted: the field's address, or NULL. Its offset is found
 * once for each class of object and then only checked; NULL is said for good after a few objects of a class lacked it. */
const void *const *tvg_field_of(const void *object, size_t words, const struct tvg_wanted *wanted);
/* The first such object in a vector that tvg_field_of found. */
const void *tvg_member_of(const void *const *vector, const struct tvg_wanted *wanted);

#endif
