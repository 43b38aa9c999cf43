/* faulty-sealed: every page has a checksum, which every read looks at. A page that was
 * changed without it cannot be read any more.
 */
#include "fault.h"

const char* const choices[] = {
    "zero",      /* .zero does not renew it */
    "part",      /* a write of part of a page seals that part alone */
    "neighbour", /* .trim forgets the seal of the page behind its own as well */
    "long",      /* of a write of more than 16 pages the last is not sealed */
    NULL};

static uint32_t* seals;

static uint64_t page_end(uint64_t page) {
  uint64_t end = (page + 1) * PAGE;
  return end < (uint64_t)disk_size ? end : (uint64_t)disk_size;
}

/* Of zeroes it is 0, as seals are at first. */
static uint32_t sum(uint64_t begin, uint64_t end) {
  uint32_t s = 0;
  for (uint64_t i = begin; i < end; i++) s = s * 31 + disk[i];
  return s;
}

static void seal(uint64_t page) { seals[page] = sum(page * PAGE, page_end(page)); }

static int sealed_get_ready(void) {
  if (disk_get_ready() == -1) return -1;
  seals = calloc((size_t)(round_up((uint64_t)disk_size, PAGE) / PAGE) + 1, sizeof *seals);
  if (seals) return 0;
  nbdkit_error("calloc: %m");
  return -1;
}

static void sealed_unload(void) {
  free(seals);
  seals = NULL;
  disk_unload();
}

static int sealed_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  for (uint64_t page = offset / PAGE; page <= (offset + count - 1) / PAGE; page++)
    if (seals[page] != sum(page * PAGE, page_end(page))) {
      nbdkit_error("the checksum of page %" PRIu64 " is wrong", page);
      nbdkit_set_error(EIO);
      return -1;
    }
  memcpy(buf, disk + offset, count);
  return 0;
}

static int sealed_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  uint64_t first = offset / PAGE, last = (offset + count - 1) / PAGE;
  (void)handle;
  (void)flags;
  memcpy(disk + offset, buf, count);
  for (uint64_t page = first; page <= last; page++) {
    if (fault("long") && page == last && last - first >= 16) continue;
    if (fault("part") && offset % PAGE != 0 && page == first)
      seals[page] = sum(offset, page_end(page));
    else
      seal(page);
  }
  return 0;
}

static int sealed_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  memset(disk + offset, 0, count);
  for (uint64_t page = offset / PAGE; page <= (offset + count - 1) / PAGE; page++)
    if (!fault("zero")) seal(page);
  return 0;
}

/* Whole pages. */
static int sealed_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  uint64_t page = round_up(offset, PAGE) / PAGE, end = (offset + count) / PAGE;
  (void)handle;
  (void)flags;
  if (page >= end) return 0;
  disk_clear(page * PAGE, end * PAGE);
  if (fault("neighbour") && end * PAGE < (uint64_t)disk_size) end++;
  memset(seals + page, 0, (size_t)(end - page) * sizeof *seals);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-sealed",
    .version = "0.1.0",
    .unload = sealed_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = sealed_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = sealed_pread,
    .pwrite = sealed_pwrite,
    .zero = sealed_zero,
    .trim = sealed_trim,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
