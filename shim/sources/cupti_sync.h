/* Waits of the host and events between streams, as CUPTI's callbacks tell them while the driver calls go on: rows of SYNC blocks.
 * cupti_launches.c has the subscription and calls these from its callback, cupti.c has what was collected written. */
#ifndef TVG_SHIM_CUPTI_SYNC_H
#define TVG_SHIM_CUPTI_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cupti_callback_data;
struct cupti_resource_data;

/* `library`: CUPTI's dlopen handle. False: no memory, and nothing below does anything. */
bool tvg_sync_start(void *library);
/* The begin of a call (enum cupti_call, not a launch) at `now` (CLOCK_MONOTONIC ns), and its return, in the calling thread. */
void tvg_sync_enter(uint8_t call, const struct cupti_callback_data *data, uint64_t now);
void tvg_sync_exit(const struct cupti_callback_data *data, uint32_t tid);
/* The call that this thread is in made a graph node instead of doing anything. */
void tvg_sync_captured(void);
void tvg_sync_stream_created(const struct cupti_resource_data *resource);
void tvg_sync_stream_destroyed(const struct cupti_resource_data *resource);

/* Appends what was collected to the trace: one caller at a time. */
void tvg_sync_write(void);

#endif
