/* Knowing that objects came and went. */
#ifndef TVG_SHIM_LOAD_EVENT_H
#define TVG_SHIM_LOAD_EVENT_H

/* Compares the linker's counts of loads and unloads with those last seen: notes new objects that hold names of the tables, and forgets
 * the targets and callers that lay in objects that have gone. Two reads when nothing changed. Keeps errno; not for signal handlers. */
void tvg_load_event_poll(void);

#endif
