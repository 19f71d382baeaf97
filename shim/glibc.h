/* Included before everything else in the shim: binds what glibc 2.34 moved into libc, and versions newer than 2.17, to the old versions, so that
 * one build loads on every glibc from 2.17 on. tests/e2e/test_glibc.py checks the result; `objdump -T` shows it. */
#ifndef TVG_SHIM_GLIBC_H
#define TVG_SHIM_GLIBC_H

#if defined(__gnu_linux__) && (defined(__x86_64__) || defined(__aarch64__))
#if defined(__x86_64__)
#define TVG_GLIBC(name, version) __asm__(".symver " #name "," #name "@GLIBC_" #version)
#else
#define TVG_GLIBC(name, version) __asm__(".symver " #name "," #name "@GLIBC_2.17") /* the first for this processor */
#endif
TVG_GLIBC(dladdr, 2.2.5);
TVG_GLIBC(dladdr1, 2.3.3);
TVG_GLIBC(dlerror, 2.2.5);
TVG_GLIBC(dlinfo, 2.3.3);
TVG_GLIBC(dlopen, 2.2.5);
TVG_GLIBC(pthread_attr_setstacksize, 2.2.5);
TVG_GLIBC(pthread_create, 2.2.5);
TVG_GLIBC(pthread_key_create, 2.2.5);
TVG_GLIBC(pthread_setspecific, 2.2.5);
TVG_GLIBC(pthread_sigmask, 2.2.5);
#endif

#endif
