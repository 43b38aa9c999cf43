/* legal-failing: a disk that fails, and says so. What a failed write leaves in
 * its own range is open; outside it nothing may change.
 *
 *   plain      nothing fails
 *   quota      no more than half the pages can be written: then ENOSPC
 *   bad-read   one page cannot be read (EIO)
 *   no-read    nothing can be read
 *   bad-write  one page cannot be written
 *   torn       the same, but what comes before it is written all the same
 *   loose      every ninth read fails, and every seventh write, trim or flush
 *   seldom     every 33rd read, and every 65th write
 *   away       every seventh open fails
 *   full       the last page cannot be written: the size was a promise
 */
#include <stdatomic.h>

#include "mode.h"

const char* const choices[] = {"quota", "bad-read", "no-read", "bad-write", "torn",
                               "loose", "seldom",   "away",    "full",      NULL};

#define BAD_PAGE 64

static bool* written; /* per page, for "quota" */
static uint64_t written_count;

static atomic_uint opens, reads, writes, trims, flushes;

static uint64_t page_count(void) { return round_up((uint64_t)disk_size, PAGE) / PAGE; }

static int failing_get_ready(void) {
  if (disk_get_ready() == -1) return -1;
  written = calloc((size_t)page_count() + 1, sizeof *written);
  if (written) return 0;
  nbdkit_error("calloc: %m");
  return -1;
}

static void failing_unload(void) {
  free(written);
  written = NULL;
  written_count = 0;
  disk_unload();
}

/* This plugin has errno_is_preserved: errno is the client's error. */
static int fail_with(int error, const char* why) {
  nbdkit_error("%s", why);
  errno = error;
  return -1;
}

static const char* const loose = "the cable is loose";

/* Every so many times; 0: never. */
static bool due(atomic_uint* counter, unsigned every) {
  return every != 0 && atomic_fetch_add(counter, 1) % every == every - 1;
}

static bool touches(uint64_t page, uint32_t count, uint64_t offset) {
  return offset / PAGE <= page && page <= (offset + count - 1) / PAGE;
}

static void* failing_open(int readonly) {
  if (!due(&opens, mode("away") ? 7 : 0)) return disk_open(readonly);
  nbdkit_error("the server behind is away for a moment");
  return NULL;
}

static int failing_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (mode("no-read")) return fail_with(EIO, "no medium");
  if (mode("bad-read") && touches(BAD_PAGE, count, offset)) return fail_with(EIO, "bad page");
  if (due(&reads, mode("loose") ? 9 : mode("seldom") ? 33 : 0)) return fail_with(EIO, loose);
  return disk_pread(handle, buf, count, offset, flags);
}

/* Reserve the pages of a write, all or none. */
static int reserve(uint32_t count, uint64_t offset) {
  uint64_t first = offset / PAGE, last = (offset + count - 1) / PAGE, more = 0;
  for (uint64_t page = first; page <= last; page++) more += !written[page];
  if (written_count + more > page_count() / 2) return fail_with(ENOSPC, "the quota is used up");
  for (uint64_t page = first; page <= last; page++) written[page] = true;
  written_count += more;
  return 0;
}

static int write_locked(const uint8_t* from, uint32_t count, uint64_t offset) {
  if (due(&writes, mode("loose") ? 7 : mode("seldom") ? 65 : 0)) return fail_with(EIO, loose);
  bool bad = (mode("bad-write") || mode("torn")) && touches(BAD_PAGE, count, offset);
  if (mode("quota") && reserve(count, offset) == -1) return -1;
  if (mode("full") && touches(page_count() - 1, count, offset))
    return fail_with(ENOSPC, "disk full");
  if (bad && mode("torn") && offset < BAD_PAGE * PAGE)
    memcpy(disk + offset, from, BAD_PAGE * PAGE - offset);
  if (bad) return fail_with(EIO, "bad page");
  memcpy(disk + offset, from, count);
  return 0;
}

static int failing_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  (void)handle;
  (void)flags;
  disk_lock();
  int r = write_locked(buf, count, offset);
  disk_unlock();
  return r;
}

static int failing_flush(void* handle, uint32_t flags) {
  if (due(&flushes, mode("loose") ? 7 : 0)) return fail_with(EIO, loose);
  return disk_flush(handle, flags);
}

/* Give back the whole pages of the range. */
static int failing_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  if (due(&trims, mode("loose") ? 7 : 0)) return fail_with(EIO, loose);
  disk_lock();
  for (uint64_t page = round_up(offset, PAGE) / PAGE; page < (offset + count) / PAGE; page++) {
    disk_clear(page * PAGE, (page + 1) * PAGE);
    if (written[page]) written_count--;
    written[page] = false;
  }
  disk_unlock();
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-failing",
    .version = "0.1.0",
    .unload = failing_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = failing_get_ready,
    .open = failing_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = failing_pread,
    .pwrite = failing_pwrite,
    .flush = failing_flush,
    .trim = failing_trim,
    .errno_is_preserved = 1,
};
NBDKIT_REGISTER_PLUGIN(plugin)
