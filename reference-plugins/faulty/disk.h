/* A small, correct disk in memory for the faulty plugins to get wrong.
 *
 * Each faulty plugin is this disk with callbacks of its own, in which
 * fault=NAME switches on one fault; fault=none, the default, is the correct
 * twin. The requests are serialised, so that every fault shows the same way
 * every time and none of them is a race.
 */
#ifndef NBDCHECK_FAULTY_DISK_H
#define NBDCHECK_FAULTY_DISK_H

#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef THREAD_MODEL
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#endif

#define PAGE UINT64_C(4096)

/* What the including plugin can do wrong, ended by NULL. A name that is not in
 * the list is refused: a misspelt fault would look like a fault not found. */
extern const char* const fault_names[];

static const char* fault_name = "none";
static int64_t disk_size = 1024 * 1024;
static uint8_t* disk;

static inline bool fault(const char* name) { return strcmp(fault_name, name) == 0; }

static inline int disk_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value);
    if (n == -1) return -1;
    disk_size = n;
    return 0;
  }
  if (strcmp(key, "fault") == 0) {
    bool known = strcmp(value, "none") == 0;
    for (const char* const* name = fault_names; *name && !known; name++)
      known = strcmp(value, *name) == 0;
    if (!known) {
      nbdkit_error("there is no fault '%s'", value);
      return -1;
    }
    fault_name = value;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

#define DISK_CONFIG_HELP              \
  "size=<SIZE>   Size of the disk.\n" \
  "fault=<NAME>  What to do wrong (default none)."

/* Untouched pages cost nothing, so the disk may well be larger than memory. */
static inline int disk_get_ready(void) {
  void* p = mmap(NULL, (size_t)disk_size + 1, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    nbdkit_error("cannot allocate %" PRIi64 " bytes: %m", disk_size);
    return -1;
  }
  disk = p;
  return 0;
}

static inline void disk_unload(void) {
  if (disk) munmap(disk, (size_t)disk_size + 1);
  disk = NULL;
}

static inline void* disk_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static inline int64_t disk_get_size(void* handle) {
  (void)handle;
  return disk_size;
}

static inline int disk_yes(void* handle) {
  (void)handle;
  return 1;
}

static inline int disk_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                             uint32_t flags) {
  (void)handle;
  (void)flags;
  memcpy(buf, disk + offset, count);
  return 0;
}

static inline int disk_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                              uint32_t flags) {
  (void)handle;
  (void)flags;
  memcpy(disk + offset, buf, count);
  return 0;
}

static inline int disk_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return 0;
}

static inline uint64_t round_down(uint64_t offset, uint64_t unit) { return offset - offset % unit; }

static inline uint64_t round_up(uint64_t offset, uint64_t unit) {
  return round_down(offset + unit - 1, unit);
}

/* Zeroes [begin, end), cut to the disk; whole pages are given back, so that
 * clearing gigabytes neither takes long nor fills memory. */
static inline void disk_clear(uint64_t begin, uint64_t end) {
  if (end > (uint64_t)disk_size) end = (uint64_t)disk_size;
  if (begin >= end) return;
  uint64_t first = round_up(begin, PAGE), last = round_down(end, PAGE);
  if (first >= last || madvise(disk + first, last - first, MADV_DONTNEED) == -1) {
    memset(disk + begin, 0, end - begin);
    return;
  }
  memset(disk + begin, 0, first - begin);
  memset(disk + last, 0, end - last);
}

static inline int disk_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  disk_clear(offset, offset + count);
  return 0;
}

static inline int fail(int error, const char* why) {
  nbdkit_error("%s", why);
  nbdkit_set_error(error);
  return -1;
}

#endif
