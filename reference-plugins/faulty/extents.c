/* faulty-extents: a disk that gets the map of its data wrong. */
#include "fault.h"

const char* const choices[] = {"lie-small",
                               "lie-tail",
                               "lie-neighbour",
                               "after",
                               "after-ignored",
                               "gap",
                               "gap-ignored",
                               "overlap",
                               "bad-type",
                               "unaligned",
                               "empty",
                               "window",
                               "end-error",
                               "wrap",
                               "big-count",
                               "hole-kept",
                               "trimmed-zero",
                               "flip",
                               "silent",
                               "pieces",
                               "refused-lock",
                               "refused-leak",
                               NULL};

static bool* written; /* per page: does it hold data? Otherwise it is a hole */
static unsigned calls;

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

static int extents_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  uint64_t first = offset / PAGE, last = (offset + count - 1) / PAGE;
  if (fault("lie-tail") && last > first) last--;
  if (!fault("lie-small") || count >= PAGE)
    for (uint64_t page = first; page <= last; page++) written[page] = true;
  return disk_pwrite(handle, buf, count, offset, flags);
}

/* Forget the pages that lie wholly in the range. */
static void punch(uint64_t offset, uint64_t end) {
  uint64_t first = round_up(offset, PAGE) / PAGE;
  uint64_t last = end == (uint64_t)disk_size ? page_count() : end / PAGE;
  if (fault("lie-neighbour") && last < page_count()) last++;
  for (uint64_t page = first; page < last; page++) written[page] = false;
}

static int extents_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  if ((flags & NBDKIT_FLAG_MAY_TRIM) || fault("hole-kept")) {
    punch(offset, offset + count);
  } else {
    for (uint64_t page = offset / PAGE; page <= (offset + count - 1) / PAGE; page++)
      written[page] = true;
  }
  return disk_zero(handle, count, offset, flags);
}

/* The fault "trimmed-zero": the map says hole, but the old bytes are still read. */
static int extents_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  punch(offset, offset + count);
  return fault("trimmed-zero") ? 0 : disk_zero(handle, count, offset, flags);
}

static uint32_t type_of(uint64_t page) {
  return written[page] ? 0 : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
}

static int add(struct nbdkit_extents* extents, uint64_t offset, uint64_t length, uint32_t type) {
  if (nbdkit_add_extent(extents, offset, length, type) == 0) return 0;
  nbdkit_set_error(errno);
  return -1;
}

/* The faults that need no map. Returns true if it has answered, with *result. */
static bool answered_wrongly(uint32_t count, uint64_t offset, struct nbdkit_extents* extents,
                             int* result) {
  uint64_t end = offset + count;
  *result = 0;
  if (fault("empty")) return true;
  if (fault("after")) {
    *result = add(extents, offset + 1, count, 0);
  } else if (fault("after-ignored")) {
    (void)nbdkit_add_extent(extents, offset + 1, count, 0);
  } else if (fault("gap") || fault("gap-ignored") || fault("overlap")) {
    if (count < 2) return false;
    uint64_t second = fault("overlap") ? offset : offset + 2;
    *result = add(extents, offset, 1, 0);
    if (*result == 0) *result = add(extents, second, count, 0);
    if (fault("gap-ignored")) *result = 0;
  } else if (fault("bad-type")) {
    *result = add(extents, offset, count, 1U << 2);
  } else if (fault("wrap")) {
    *result = add(extents, offset, UINT64_MAX - offset / 2, 0);
  } else if (fault("flip") && calls % 2) { /* never untrue, but another answer every time */
    *result = add(extents, offset, count, 0);
  } else if (fault("unaligned") && offset % 512 != 0) {
    *result = fail(EINVAL, "extents: the offset is not aligned");
  } else if (fault("end-error") && end > (uint64_t)disk_size - PAGE) {
    *result = fail(EIO, "extents: beyond the end of the map");
  } else if (fault("big-count") && count > INT32_MAX) {
    *result = fail(EINVAL, "extents: the length is negative");
  } else if (fault("pieces")) { /* never untrue, but cut up for nothing */
    for (uint64_t at = offset; at < end && *result == 0; at += 512)
      *result = add(extents, at, 512, at / 512 % 2 ? NBDKIT_EXTENT_HOLE : 0);
  } else if (fault("silent")) {
    nbdkit_set_error(EIO);
    *result = -1;
  } else if (fault("window") && count >= 64 * 1024) { /* never untrue, but coarser than below */
    *result = add(extents, offset, count, 0);
  } else {
    return false;
  }
  return true;
}

/* A map of runs that is drawn first and handed over then: what is taken for it is
 * not given back where nbdkit has no memory for it. */
static int careless(uint64_t page, uint64_t end, struct nbdkit_extents* extents) {
  static pthread_mutex_t drawing = PTHREAD_MUTEX_INITIALIZER;
  if (fault("refused-lock")) pthread_mutex_lock(&drawing);
  uint32_t* types = malloc((size_t)(end - page) * sizeof *types);
  if (types == NULL) abort();
  for (uint64_t i = page; i < end; i++) types[i - page] = type_of(i);
  for (uint64_t i = page; i < end; i++) {
    if (add(extents, i * PAGE, PAGE, types[i - page]) == 0) continue;
    if (fault("refused-lock")) free(types);
    return -1;
  }
  free(types);
  if (fault("refused-lock")) pthread_mutex_unlock(&drawing);
  return 0;
}

static int extents_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                           struct nbdkit_extents* extents) {
  int result;
  (void)handle;
  calls++;
  if (answered_wrongly(count, offset, extents, &result)) return result;
  uint64_t page = offset / PAGE, end = (offset + count - 1) / PAGE + 1;
  if (fault("refused-lock") || fault("refused-leak")) return careless(page, end, extents);
  while (page < end) {
    uint64_t first = page;
    uint32_t type = type_of(page);
    do page++;
    while (page < end && type_of(page) == type);
    if (add(extents, first * PAGE, (page - first) * PAGE, type) == -1) return -1;
    if (flags & NBDKIT_FLAG_REQ_ONE) break;
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-extents",
    .version = "0.1.0",
    .unload = extents_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = extents_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = extents_pwrite,
    .flush = disk_flush,
    .trim = extents_trim,
    .zero = extents_zero,
    .extents = extents_extents,
};
NBDKIT_REGISTER_PLUGIN(plugin)
