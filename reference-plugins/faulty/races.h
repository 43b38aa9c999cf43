/* What the plugins with races start from: a correct disk served in parallel,
 * and fault=NAME to switch one race on.  Each of them is right as long as one
 * request runs at a time.
 */
#ifndef REFERENCE_PLUGINS_FAULTY_RACES_H
#define REFERENCE_PLUGINS_FAULTY_RACES_H

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define CHOICE_KEY "fault"
#define CHOICE_DEFAULT "none"
#include "../disk.h"

static inline bool fault(const char* name) { return chosen(name); }

/* Parts of a request, one for each unit it touches. */
struct piece {
  uint64_t unit; /* number of the unit */
  uint32_t at;   /* where in the unit */
  uint32_t length;
};

static inline struct piece first_piece(uint64_t offset, uint32_t count, uint32_t unit) {
  struct piece p = {offset / unit, (uint32_t)(offset % unit), 0};
  p.length = unit - p.at < count ? unit - p.at : count;
  return p;
}

#endif
