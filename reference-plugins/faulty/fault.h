/* What every faulty plugin starts from: a correct disk, serialised requests so
 * that each fault shows the same way every time and none is a race, and
 * fault=NAME to switch one on.
 */
#ifndef REFERENCE_PLUGINS_FAULTY_FAULT_H
#define REFERENCE_PLUGINS_FAULTY_FAULT_H

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#define CHOICE_KEY "fault"
#define CHOICE_DEFAULT "none"
#include "../disk.h"

static inline bool fault(const char* name) { return chosen(name); }

#endif
