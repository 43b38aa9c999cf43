/* A small, correct disk in memory that the odd and the faulty plugins vary.
 *
 * A plugin includes this, takes the callbacks it needs and replaces others. One
 * parameter chooses among its variants: "fault" for the faulty plugins, where
 * fault=none is the correct twin, and "mode" for the odd but legal ones. The
 * including file says which:
 *
 *   #define CHOICE_KEY "mode"
 *   #define CHOICE_DEFAULT "plain"
 *   #include "disk.h"
 *   const char *const choices[] = {"never", "late", NULL};
 */
#ifndef REFERENCE_PLUGINS_DISK_H
#define REFERENCE_PLUGINS_DISK_H

#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE UINT64_C(4096)

/* The variants beside CHOICE_DEFAULT, ended by NULL. Any other name is refused:
 * a misspelt fault would look like a fault that was not found. */
extern const char* const choices[];

static const char* choice = CHOICE_DEFAULT;
static int64_t disk_size = 1024 * 1024;
static uint8_t* disk;

/* Guards the disk where the thread model lets requests run at once. */
static pthread_mutex_t disk_mutex = PTHREAD_MUTEX_INITIALIZER;

static inline bool chosen(const char* name) { return strcmp(choice, name) == 0; }

static inline void disk_lock(void) { pthread_mutex_lock(&disk_mutex); }

static inline void disk_unlock(void) { pthread_mutex_unlock(&disk_mutex); }

static inline int disk_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value);
    if (n == -1) return -1;
    disk_size = n;
    return 0;
  }
  if (strcmp(key, CHOICE_KEY) == 0) {
    bool known = strcmp(value, CHOICE_DEFAULT) == 0;
    for (const char* const* name = choices; *name && !known; name++)
      known = strcmp(value, *name) == 0;
    if (!known) {
      nbdkit_error(CHOICE_KEY "=%s is not one of the known ones", value);
      return -1;
    }
    choice = value;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

#define DISK_CONFIG_HELP                                     \
  "size=<SIZE>  Size of the disk (default 1M).\n" CHOICE_KEY \
  "=<NAME>  Which variant to be (default " CHOICE_DEFAULT ")."

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
  disk_lock();
  memcpy(buf, disk + offset, count);
  disk_unlock();
  return 0;
}

static inline int disk_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                              uint32_t flags) {
  (void)handle;
  (void)flags;
  disk_lock();
  memcpy(disk + offset, buf, count);
  disk_unlock();
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

/* Zeroes [begin, end), cut to the disk, without locking; whole pages are given back, so that
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
  disk_lock();
  disk_clear(offset, offset + count);
  disk_unlock();
  return 0;
}

static inline int fail(int error, const char* why) {
  nbdkit_error("%s", why);
  nbdkit_set_error(error);
  return -1;
}

#endif
