/* legal-extents: maps that are true, but not what one might expect
 * (nbdkit-plugin(3) "Extents list").
 *
 *   plain       a piece per run of pages in one state
 *   coarse      known per 64 KiB only: allocated where a zero might be meant
 *   whole       one allocated piece, the whole disk
 *   one         a single piece, however much was asked
 *   from-start  everything from the start of the disk to its end, at any request
 *   to-end      everything from the offset on
 *   ignore-one  NBDKIT_FLAG_REQ_ONE makes no difference
 *   split       512-byte pieces, equal neighbours not joined
 *   hole-only   holes that do not claim to read as zeroes
 *   zero-only   zeroes that do not claim to be holes
 *   late        a page becomes data as soon as it is touched, and stays it
 *   abort       ends the process where nbdkit has no memory for the map
 *   off         .can_extents says no although .extents is there
 */
#include "mode.h"

const char* const choices[] = {"coarse",     "whole", "one",       "from-start", "to-end",
                               "ignore-one", "split", "hole-only", "zero-only",  "late",
                               "abort",      "off",   NULL};

#define COARSE (UINT64_C(64) * 1024)

static bool* written; /* per page */

static uint64_t page_count(void) { return round_up((uint64_t)disk_size, PAGE) / PAGE; }

static int extents_get_ready(void) {
  if (disk_get_ready() == -1) return -1;
  written = calloc((size_t)page_count() + 1, sizeof *written);
  if (written) return 0;
  nbdkit_error("calloc: %m");
  return -1;
}

static void extents_unload(void) {
  free(written);
  written = NULL;
  disk_unload();
}

static void mark_written(uint64_t offset, uint64_t end) {
  for (uint64_t page = offset / PAGE; page <= (end - 1) / PAGE; page++) written[page] = true;
}

/* Only pages that lie wholly in the range are free again. */
static void mark_hole(uint64_t offset, uint64_t end) {
  uint64_t first = round_up(offset, PAGE) / PAGE;
  uint64_t last = end == (uint64_t)disk_size ? page_count() : end / PAGE;
  for (uint64_t page = first; page < last; page++) written[page] = false;
}

static int extents_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  (void)handle;
  (void)flags;
  disk_lock();
  memcpy(disk + offset, buf, count);
  mark_written(offset, offset + count);
  disk_unlock();
  return 0;
}

static int extents_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  disk_lock();
  disk_clear(offset, offset + count);
  if ((flags & NBDKIT_FLAG_MAY_TRIM) && !mode("late"))
    mark_hole(offset, offset + count);
  else
    mark_written(offset, offset + count);
  disk_unlock();
  return 0;
}

static int extents_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return extents_zero(handle, count, offset, flags | NBDKIT_FLAG_MAY_TRIM);
}

static uint32_t type_of(uint64_t page) {
  uint64_t first = page, last = page;
  if (mode("coarse")) {
    first = round_down(page, COARSE / PAGE);
    last = first + COARSE / PAGE - 1;
    if (last >= page_count()) last = page_count() - 1;
  }
  for (page = first; page <= last; page++)
    if (written[page]) return 0;
  if (mode("hole-only")) return NBDKIT_EXTENT_HOLE;
  if (mode("zero-only")) return NBDKIT_EXTENT_ZERO;
  return NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
}

static int add(struct nbdkit_extents* extents, uint64_t offset, uint64_t length, uint32_t type) {
  if (nbdkit_add_extent(extents, offset, length, type) == 0) return 0;
  if (mode("abort")) abort();
  nbdkit_set_error(errno); /* nbdkit_add_extent has said why */
  return -1;
}

/* The pages [page, end) in runs of one type, or only the first run. */
static int add_runs(struct nbdkit_extents* extents, uint64_t page, uint64_t end, bool only_one) {
  while (page < end) {
    uint64_t first = page;
    uint32_t type = type_of(page);
    do page++;
    while (page < end && type_of(page) == type);
    if (add(extents, first * PAGE, (page - first) * PAGE, type) == -1) return -1;
    if (only_one) break;
  }
  return 0;
}

static int add_split(struct nbdkit_extents* extents, uint64_t offset, uint64_t end) {
  for (uint64_t at = round_down(offset, 512); at < end; at += 512)
    if (add(extents, at, 512, type_of(at / PAGE)) == -1) return -1;
  return 0;
}

static int extents_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                           struct nbdkit_extents* extents) {
  uint64_t page = offset / PAGE, end = (offset + count - 1) / PAGE + 1;
  bool only_one = (flags & NBDKIT_FLAG_REQ_ONE) != 0;
  int r;
  (void)handle;
  disk_lock();
  if (mode("whole"))
    r = add(extents, 0, (uint64_t)disk_size, 0);
  else if (mode("from-start"))
    r = add_runs(extents, 0, page_count(), false);
  else if (mode("to-end"))
    r = add_runs(extents, page, page_count(), false);
  else if (mode("split"))
    r = add_split(extents, offset, offset + count);
  else
    r = add_runs(extents, page, end, mode("one") || (only_one && !mode("ignore-one")));
  disk_unlock();
  return r;
}

static int extents_can_extents(void* handle) {
  (void)handle;
  return !mode("off");
}

static struct nbdkit_plugin plugin = {
    .name = "legal-extents",
    .version = "0.1.0",
    .unload = extents_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = extents_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .can_extents = extents_can_extents,
    .pread = disk_pread,
    .pwrite = extents_pwrite,
    .flush = disk_flush,
    .trim = extents_trim,
    .zero = extents_zero,
    .extents = extents_extents,
};
NBDKIT_REGISTER_PLUGIN(plugin)
