/* Virtual functions in stripped libraries: class name -> typeinfo -> vtable -> slot, read from the file's relocations, so that it works
 * before the library is relocated and names no address of any build. What a slot points to is then patched as a named function is. */
#ifndef TVG_SHIM_VTABLE_H
#define TVG_SHIM_VTABLE_H

#include <stddef.h>
#include <stdint.h>

/* The link-time address of the function in slot `slot` (0: the first virtual function) of the primary vtable of the class whose typeinfo name
 * is `name` ("N11onnxruntime6MatMulIfEE"); 0 when the object has no such class or its vtable can't be told. `image` is the object's whole
 * file of `bytes` bytes. A few milliseconds for the first name, less for the next ones of the same image. No malloc; not thread-safe. */
uintptr_t tvg_vtable_slot(const uint8_t *image, size_t bytes, const char *name, unsigned slot);

#endif
