/* The guard contract: what the recorder promises the host program. Each line has a test of its name in tests/e2e/test_guard.py.
 *
 * outermost            a recorded call inside a recorded call (cblas -> Fortran) is part of the outer one: one op
 * errno                errno is after a call what the real function made it
 * signal_in_call       a handler that calls BLAS during a recorded call works; its calls are part of that call
 * signal_storm         handlers that call BLAS at any moment, the recorder's slow path included: no op lost, none torn
 * alternate_stack      the same on an alternate signal stack, wherever that lies; left by siglongjmp, it silences 16 calls at most
 * longjmp              a call left by longjmp is no op; the calls after it are recorded, deeper ones after 16 nested calls at most
 * exception            the same for a C++ exception through a call
 * cancel               the same for a thread cancelled inside a call; its other ops stay
 * coroutine            makecontext stacks: calls on each are recorded; one left inside a call silences 16 calls at most
 * fork                 a child makes its own trace at its first op, its parent's goes on; a child without ops makes none
 * raw_clone            the same for a child made by the bare system call
 * fork_in_call         a child forked inside a recorded call adds nothing to its parent's trace
 * fork_threads         a fork while other threads record: the child neither hangs nor inherits their ops
 * vfork                vfork and posix_spawn work and add nothing
 * exec                 ops before an exec are kept; the new program has its own trace
 * thread_exit          ops of threads that ended are kept, each with its thread; rings are used again
 * thread_destructor    a thread-specific destructor that calls BLAS is recorded
 * dlclose              a BLAS that is unloaded and another loaded at its place: calls reach the new one, ops name the right library
 * late_constructor     calls in constructors, before main, are recorded
 * late_destructor      calls in destructors and exit handlers are recorded, and the trace ends cleanly after them
 * exit_in_call         exit() from inside a call ends the trace cleanly
 * underscore_exit      _exit keeps every finished op
 * sigterm              so does a fatal signal
 * sigkill              and SIGKILL, at any moment, with several threads: none lost, none invented
 * pause                between tvg_pause and tvg_resume nothing is recorded, and the trace says so
 * dictionary_full      when the dictionary is full every op still carries its shape
 * inert                a program that calls no BLAS leaves no file
 * setuid               a setuid program is left alone (read from the auxiliary vector)
 */
#ifndef TVG_SHIM_GUARD_H
#define TVG_SHIM_GUARD_H

#endif
