/* faulty-races-slow: the disk behind takes its time, so that what is done while
 * nobody holds the lock takes long, too.  The crude relatives of the other
 * races: every run shows them.
 */
#include "races.h"

#include <time.h>

const char* const choices[] = {"rmw",  "bounce",     "allocate", "mirror",     "torn",  "old-again",
                               "fill", "lost-flush", "order",    "open-count", "first", "extents-list",
                               "torn-read", NULL};

#define BLOCK 4096U
#define CACHED 512U
#define SLOTS 32U

struct handle {
  struct handle* next;
  /* Sectors that were read lately, until a flush. */
  struct {
    uint64_t sector;
    bool valid;
    uint8_t data[CACHED];
  } cache[SLOTS];
  unsigned writes; /* of its own */
};

static uint8_t bounce[65536];
static uint8_t* mirror;
static unsigned reads;
static bool* allocated;
static struct handle* handles;
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t second = PTHREAD_MUTEX_INITIALIZER;
static volatile int open_handles;
static uint8_t* volatile window; /* on the disk, while there are handles */
static uint8_t* volatile made;   /* by the first request */

static void take_time(void) {
  const struct timespec time = {0, 20 * 1000};
  nanosleep(&time, NULL);
}

static int slow_get_ready(void) {
  if (disk_get_ready() == -1) return -1;
  mirror = calloc(1, (size_t)disk_size + 1);
  allocated = calloc((size_t)disk_size / BLOCK + 1, sizeof *allocated);
  if (!mirror || !allocated) {
    nbdkit_error("calloc: %m");
    return -1;
  }
  return 0;
}

static void slow_unload(void) {
  free(mirror);
  free(made);
  free(allocated);
  disk_unload();
}

static void* slow_open(int readonly) {
  (void)readonly;
  struct handle* h = calloc(1, sizeof *h);
  if (!h) {
    nbdkit_error("calloc: %m");
    return NULL;
  }
  if (fault("open-count")) {
    int n = open_handles;
    if (n == 0) window = disk;
    take_time();
    open_handles = n + 1;
  }
  disk_lock();
  h->next = handles;
  handles = h;
  disk_unlock();
  return h;
}

static void slow_close(void* handle) {
  struct handle* h = handle;
  if (fault("open-count")) {
    int n = open_handles;
    take_time();
    open_handles = n - 1;
    if (n - 1 == 0) window = NULL;
  }
  disk_lock();
  struct handle** link = &handles;
  while (*link != h) link = &(*link)->next;
  *link = h->next;
  disk_unlock();
  free(h);
}

static uint8_t* disk_made_late(void) {
  if (!made) {
    take_time();
    made = calloc(1, (size_t)disk_size + 1);
  }
  return made;
}

/* A block is taken, changed and put back. */
static void change_blocks(const uint8_t* from, uint32_t count, uint64_t offset) {
  while (count > 0) {
    struct piece p = first_piece(offset, count, BLOCK);
    uint8_t copy[BLOCK];
    uint64_t left = (uint64_t)disk_size - p.unit * BLOCK;
    size_t size = left < BLOCK ? left : BLOCK;
    if (fault("allocate")) {
      /* A block that is not there yet is made first, and is empty. */
      disk_lock();
      bool missing = !allocated[p.unit];
      disk_unlock();
      if (missing) take_time();
      disk_lock();
      if (missing) {
        memset(disk + p.unit * BLOCK, 0, size);
        allocated[p.unit] = true;
      }
      memcpy(disk + offset, from, p.length);
      disk_unlock();
    } else {
      disk_lock();
      memcpy(copy, disk + p.unit * BLOCK, size);
      disk_unlock();
      take_time();
      memcpy(copy + p.at, from, p.length);
      disk_lock();
      memcpy(disk + p.unit * BLOCK, copy, size);
      disk_unlock();
    }
    from += p.length;
    offset += p.length;
    count -= p.length;
  }
}

/* With the lock held. */
static void forget(struct handle* h) {
  for (unsigned i = 0; i < SLOTS; i++) h->cache[i].valid = false;
}

/* Another handle's flush may come while the sector is on its way. */
static void read_cached(struct handle* h, uint8_t* to, uint32_t count, uint64_t offset) {
  while (count > 0) {
    struct piece p = first_piece(offset, count, CACHED);
    uint64_t left = (uint64_t)disk_size - p.unit * CACHED;
    unsigned slot = p.unit % SLOTS;
    disk_lock();
    bool hit = h->cache[slot].valid && h->cache[slot].sector == p.unit;
    if (hit) memcpy(to, h->cache[slot].data + p.at, p.length);
    disk_unlock();
    if (!hit) {
      uint8_t copy[CACHED] = {0};
      disk_lock();
      unsigned before = h->writes;
      memcpy(copy, disk + p.unit * CACHED, left < CACHED ? left : CACHED);
      disk_unlock();
      if (count <= CACHED) take_time();
      disk_lock();
      memcpy(h->cache[slot].data, copy, CACHED);
      h->cache[slot].sector = p.unit;
      h->cache[slot].valid = h->writes == before; /* another's count as well, once flushed */
      disk_unlock();
      memcpy(to, copy + p.at, p.length);
    }
    to += p.length;
    offset += p.length;
    count -= p.length;
  }
}

static int slow_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (fault("fill")) {
    read_cached(handle, buf, count, offset);
    return 0;
  }
  if (fault("mirror")) {
    disk_lock();
    memcpy(buf, (reads++ % 2 ? mirror : disk) + offset, count);
    disk_unlock();
    return 0;
  }
  if (fault("old-again")) {
    /* What is being written is in the mirror first: some readers see it. */
    disk_lock();
    memcpy(buf, (reads++ % 2 ? mirror : disk) + offset, count);
    disk_unlock();
    return 0;
  }
  if (fault("open-count")) {
    disk_lock();
    memcpy(buf, window + offset, count);
    disk_unlock();
    return 0;
  }
  if (fault("first")) {
    const uint8_t* from = disk_made_late();
    disk_lock();
    memcpy(buf, from + offset, count);
    disk_unlock();
    return 0;
  }
  if (fault("torn-read") && count >= 512) {
    disk_pread(handle, buf, 200, offset, flags);
    take_time();
    return disk_pread(handle, (uint8_t*)buf + 200, count - 200, offset + 200, flags);
  }
  if (fault("order")) {
    pthread_mutex_lock(&second);
    take_time();
    pthread_mutex_lock(&first);
    disk_pread(handle, buf, count, offset, flags);
    pthread_mutex_unlock(&first);
    pthread_mutex_unlock(&second);
    return 0;
  }
  return disk_pread(handle, buf, count, offset, flags);
}

static int slow_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  if (fault("rmw") || fault("allocate")) {
    change_blocks(buf, count, offset);
  } else if (fault("bounce") && count <= sizeof bounce) {
    memcpy(bounce, buf, count);
    take_time();
    disk_pwrite(handle, bounce, count, offset, flags);
  } else if (fault("mirror")) {
    disk_pwrite(handle, buf, count, offset, flags);
    take_time();
    disk_lock();
    memcpy(mirror + offset, buf, count);
    disk_unlock();
  } else if (fault("old-again")) {
    static pthread_mutex_t writers = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&writers);
    disk_lock();
    memcpy(mirror + offset, buf, count);
    disk_unlock();
    take_time();
    take_time();
    disk_pwrite(handle, buf, count, offset, flags);
    pthread_mutex_unlock(&writers);
  } else if (fault("torn") && count >= 512) {
    disk_pwrite(handle, buf, 200, offset, flags);
    take_time();
    disk_pwrite(handle, (const uint8_t*)buf + 200, count - 200, offset + 200, flags);
  } else if (fault("order")) {
    pthread_mutex_lock(&first);
    take_time();
    pthread_mutex_lock(&second);
    disk_pwrite(handle, buf, count, offset, flags);
    pthread_mutex_unlock(&second);
    pthread_mutex_unlock(&first);
  } else if (fault("first")) {
    uint8_t* to = disk_made_late();
    disk_lock();
    memcpy(to + offset, buf, count);
    disk_unlock();
  } else if (fault("fill")) {
    struct handle* h = handle;
    disk_lock();
    memcpy(disk + offset, buf, count);
    forget(h);
    h->writes++;
    disk_unlock();
  } else if (fault("open-count")) {
    disk_lock();
    memcpy(window + offset, buf, count);
    disk_unlock();
  } else {
    disk_pwrite(handle, buf, count, offset, flags);
  }
  return 0;
}

static int slow_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  if (fault("lost-flush")) {
    /* Writes the first block and puts back what it was. */
    uint8_t copy[BLOCK];
    size_t size = disk_size < BLOCK ? (size_t)disk_size : BLOCK;
    disk_lock();
    memcpy(copy, disk, size);
    disk_unlock();
    take_time();
    disk_lock();
    memcpy(disk, copy, size);
    disk_unlock();
  }
  disk_lock();
  for (struct handle* h = handles; h; h = h->next) forget(h);
  disk_unlock();
  return 0;
}

static int slow_can_extents(void* handle) {
  (void)handle;
  return fault("extents-list");
}

/* The list that is being made, for whoever adds to it. */
static struct nbdkit_extents* volatile list;

static int slow_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                        struct nbdkit_extents* extents) {
  (void)handle;
  (void)flags;
  list = extents;
  take_time();
  return nbdkit_add_extent(list, offset, count, 0);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-races-slow",
    .version = "1",
    .description = "a slow disk with one race, chosen by fault=",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = slow_get_ready,
    .unload = slow_unload,
    .open = slow_open,
    .close = slow_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .can_extents = slow_can_extents,
    .pread = slow_pread,
    .pwrite = slow_pwrite,
    .flush = slow_flush,
    .extents = slow_extents,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
