/* What the odd but legal plugins start from: a disk in memory served in
 * parallel, and mode=NAME to choose how it is odd.
 */
#ifndef REFERENCE_PLUGINS_LEGAL_MODE_H
#define REFERENCE_PLUGINS_LEGAL_MODE_H

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define CHOICE_KEY "mode"
#define CHOICE_DEFAULT "plain"
#include "../../disk.h"

static inline bool mode(const char* name) { return chosen(name); }

#endif
