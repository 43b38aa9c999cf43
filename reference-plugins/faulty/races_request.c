/* faulty-races-request: what belongs to one request is kept where others find
 * it, too.  The disk itself is flat.  The faults requests-* declare
 * SERIALIZE_REQUESTS, and share state among handles.
 */
#define _GNU_SOURCE
#include "races.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

const char* const choices[] = {"bounce-read",     "bounce-write",  "bounce-handle", "seek",
                               "seek-handle",     "cursor",        "sector-cache",  "rmw-sector",
                               "rmw-block",       "rmw-word",      "lost",          "arguments",
                               "requests-bounce", "requests-seek", "intern",        NULL};

#define SECTOR 512U
#define BLOCK 4096U
#define LONGEST (1U << 16) /* that goes through a bounce buffer */

struct handle {
  int fd;
  uint8_t bounce[LONGEST];
};

static uint8_t bounce[LONGEST];
static int file = -1;
static struct {
  volatile uint64_t index;
  uint8_t* volatile base;
} cursor = {UINT64_MAX, NULL};
static struct {
  volatile uint64_t sector;
  uint8_t data[SECTOR];
} cache = {UINT64_MAX, {0}};
static struct {
  uint8_t* volatile to;
  const uint8_t* volatile from;
  volatile uint64_t offset;
  volatile uint32_t count;
} arguments;
static volatile unsigned contended;

static int request_thread_model(void) {
  return strncmp(choice, "requests-", 9) == 0 ? NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS
                                              : NBDKIT_THREAD_MODEL_PARALLEL;
}

static bool uses_file(void) {
  return fault("seek") || fault("seek-handle") || fault("requests-seek");
}

static int request_get_ready(void) {
  if (disk_get_ready() == -1) return -1;
  if (!uses_file()) return 0;
  file = memfd_create("disk", MFD_CLOEXEC);
  if (file == -1 || ftruncate(file, disk_size) == -1) {
    nbdkit_error("memfd_create: %m");
    return -1;
  }
  return 0;
}

static void request_unload(void) {
  if (file >= 0) close(file);
  disk_unload();
}

static void* request_open(int readonly) {
  (void)readonly;
  struct handle* h = calloc(1, sizeof *h);
  if (!h) {
    nbdkit_error("calloc: %m");
    return NULL;
  }
  h->fd = -1;
  if (fault("seek-handle")) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    h->fd = open(path, O_RDWR | O_CLOEXEC);
    if (h->fd == -1) {
      nbdkit_error("%s: %m", path);
      free(h);
      return NULL;
    }
  }
  return h;
}

static void request_close(void* handle) {
  struct handle* h = handle;
  if (h->fd >= 0) close(h->fd);
  free(h);
}

/* By way of the file's own position. */
static int at_position(int fd, uint8_t* to, const uint8_t* from, uint32_t count, uint64_t offset) {
  if (lseek(fd, (off_t)offset, SEEK_SET) == -1) return fail(EIO, "lseek failed");
  while (count > 0) {
    ssize_t n = to ? read(fd, to, count) : write(fd, from, count);
    if (n <= 0) return fail(EIO, "the file is shorter than it was");
    if (to) to += n;
    if (from) from += n;
    count -= (uint32_t)n;
  }
  return 0;
}

/* Copies by a buffer that is not the caller's own. */
static void by_way_of(uint8_t* buffer, uint8_t* to, const uint8_t* from, uint32_t count) {
  while (count > 0) {
    uint32_t n = count < LONGEST ? count : LONGEST;
    memcpy(buffer, from, n);
    memcpy(to, buffer, n);
    to += n;
    from += n;
    count -= n;
  }
}

static uint8_t* at_cursor(uint64_t offset) {
  if (cursor.index != offset / BLOCK) {
    cursor.index = offset / BLOCK;
    cursor.base = disk + offset / BLOCK * BLOCK;
  }
  return cursor.base + offset % BLOCK;
}

static void by_cursor(uint8_t* to, const uint8_t* from, uint32_t count, uint64_t offset) {
  while (count > 0) {
    struct piece p = first_piece(offset, count, BLOCK);
    if (to)
      memcpy(to, at_cursor(offset), p.length);
    else
      memcpy(at_cursor(offset), from, p.length);
    if (to) to += p.length;
    if (from) from += p.length;
    offset += p.length;
    count -= p.length;
  }
}

static void read_cached(uint8_t* to, uint32_t count, uint64_t offset) {
  while (count > 0) {
    struct piece p = first_piece(offset, count, SECTOR);
    if (cache.sector != p.unit) {
      cache.sector = p.unit;
      uint64_t begin = p.unit * SECTOR;
      uint64_t left = (uint64_t)disk_size - begin;
      memcpy(cache.data, disk + begin, left < SECTOR ? left : SECTOR);
    }
    memcpy(to, cache.data + p.at, p.length);
    to += p.length;
    offset += p.length;
    count -= p.length;
  }
}

static void execute(void) {
  if (arguments.to)
    memcpy(arguments.to, disk + arguments.offset, arguments.count);
  else
    memcpy(disk + arguments.offset, arguments.from, arguments.count);
}

static int request_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  /* nbdkit has no lock for the list of these. */
  if (fault("intern") && !nbdkit_printf_intern("%" PRIu64, offset / BLOCK)) return -1;
  if (uses_file())
    return at_position(fault("seek-handle") ? h->fd : file, buf, NULL, count, offset);
  if (fault("bounce-read") || fault("requests-bounce")) {
    by_way_of(bounce, buf, disk + offset, count);
  } else if (fault("bounce-handle")) {
    by_way_of(h->bounce, buf, disk + offset, count);
  } else if (fault("cursor")) {
    by_cursor(buf, NULL, count, offset);
  } else if (fault("sector-cache")) {
    read_cached(buf, count, offset);
  } else if (fault("arguments")) {
    arguments.to = buf;
    arguments.offset = offset;
    arguments.count = count;
    execute();
  } else {
    return disk_pread(handle, buf, count, offset, flags);
  }
  return 0;
}

/* Takes whole units, changes them and puts them back.  Both halves hold the
 * lock; what lies between does not. */
static void by_units(const uint8_t* from, uint32_t count, uint64_t offset, uint32_t unit) {
  uint8_t copy[BLOCK];
  while (count > 0) {
    struct piece p = first_piece(offset, count, unit);
    uint64_t begin = p.unit * unit;
    uint64_t left = (uint64_t)disk_size - begin;
    size_t size = left < unit ? left : unit;
    if (p.length == size) {
      disk_lock();
      memcpy(disk + begin, from, size);
      disk_unlock();
    } else {
      disk_lock();
      memcpy(copy, disk + begin, size);
      disk_unlock();
      memcpy(copy + p.at, from, p.length);
      disk_lock();
      memcpy(disk + begin, copy, size);
      disk_unlock();
    }
    from += p.length;
    offset += p.length;
    count -= p.length;
  }
}

/* Whole words at a time, and part of the word at either end. */
static void by_words(const uint8_t* from, uint32_t count, uint64_t offset) {
  while (count > 0) {
    struct piece p = first_piece(offset, count, 8);
    uint64_t left = (uint64_t)disk_size - p.unit * 8;
    if (p.length == 8 || left < 8) {
      memcpy(disk + offset, from, p.length);
    } else {
      uint64_t word;
      memcpy(&word, disk + p.unit * 8, 8);
      memcpy((uint8_t*)&word + p.at, from, p.length);
      *(volatile uint64_t*)(void*)(disk + p.unit * 8) = word;
    }
    from += p.length;
    offset += p.length;
    count -= p.length;
  }
}

static int request_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  struct handle* h = handle;
  if (uses_file())
    return at_position(fault("seek-handle") ? h->fd : file, NULL, buf, count, offset);
  if (fault("bounce-write") || fault("requests-bounce")) {
    by_way_of(bounce, disk + offset, buf, count);
  } else if (fault("bounce-handle")) {
    by_way_of(h->bounce, disk + offset, buf, count);
  } else if (fault("cursor")) {
    by_cursor(NULL, buf, count, offset);
  } else if (fault("rmw-sector")) {
    by_units(buf, count, offset, SECTOR);
  } else if (fault("rmw-block")) {
    by_units(buf, count, offset, BLOCK);
  } else if (fault("rmw-word")) {
    by_words(buf, count, offset);
  } else if (fault("arguments")) {
    arguments.to = NULL;
    arguments.from = buf;
    arguments.offset = offset;
    arguments.count = count;
    execute();
  } else if (fault("lost")) {
    if (pthread_mutex_trylock(&disk_mutex) != 0) {
      if (++contended % 100 == 0) return 0; /* too busy */
      disk_lock();
    }
    memcpy(disk + offset, buf, count);
    disk_unlock();
  } else {
    disk_pwrite(handle, buf, count, offset, flags);
    if (!fault("sector-cache")) return 0;
    disk_lock();
    if (cache.sector >= offset / SECTOR && cache.sector <= (offset + count - 1) / SECTOR)
      cache.sector = UINT64_MAX;
    disk_unlock();
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-races-request",
    .version = "1",
    .description = "a disk with one race among its requests, chosen by fault=",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .thread_model = request_thread_model,
    .get_ready = request_get_ready,
    .unload = request_unload,
    .open = request_open,
    .close = request_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = request_pread,
    .pwrite = request_pwrite,
    .flush = disk_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
