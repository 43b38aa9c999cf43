/* ramdisk: one disk in memory, shared by all connections, fully parallel.
 *
 *   nbdkit ./ramdisk.so size=1G
 *
 * The disk is one flat anonymous mapping, so an untouched part of it costs
 * nothing and giving a part back is a single madvise. The first few chunks that
 * are trimmed keep their pages, as faulting those in again costs far more than
 * zeroing them. A chunk is guarded by one of a fixed number of read-write locks
 * ("stripes"), and no operation ever holds two of them, so there is no lock
 * order to get wrong. A request that spans chunks is therefore not atomic as a
 * whole, which NBD does not ask for; each aligned sector is.
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* A multiple of every page size in use, for madvise, and small enough that
 * neighbouring requests rarely meet on one lock. */
#define CHUNK (UINT64_C(64) * 1024)
#define STRIPES 64

/* So many holes may keep their pages: 4 MiB. */
#define KEPT_CHUNKS 64

enum { HOLE, KEPT_HOLE, DATA };

static int64_t size = -1; /* size= in bytes, -1 when not given */
static uint8_t* disk;     /* size bytes, NULL until get_ready */
static uint8_t* state;    /* one per chunk: data once written, until it is a hole again */
static atomic_int kept;   /* how many are KEPT_HOLE */
static pthread_rwlock_t locks[STRIPES];

static pthread_rwlock_t* lock_of(uint64_t chunk) { return &locks[chunk % STRIPES]; }

static uint64_t chunk_count(void) { return ((uint64_t)size + CHUNK - 1) / CHUNK; }

/* The bytes from offset to the end of its chunk, at most count. */
static uint32_t bytes_in_chunk(uint64_t offset, uint32_t count) {
  uint64_t rest = CHUNK - offset % CHUNK;
  return rest < count ? (uint32_t)rest : count;
}

static void ramdisk_load(void) {
  for (size_t i = 0; i < STRIPES; i++) pthread_rwlock_init(&locks[i], NULL);
}

static void ramdisk_unload(void) {
  if (disk) munmap(disk, (size_t)size);
  if (state) munmap(state, chunk_count());
  disk = NULL;
  state = NULL;
  atomic_store(&kept, 0);
  for (size_t i = 0; i < STRIPES; i++) pthread_rwlock_destroy(&locks[i]);
}

static int ramdisk_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value); /* has said why when it fails */
    if (n == -1) return -1;
    size = n;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static int ramdisk_config_complete(void) {
  if (size == -1) {
    nbdkit_error("the size parameter is required: how large shall the disk be?");
    return -1;
  }
  return 0;
}

static void* map_zeroes(uint64_t bytes) {
  if (bytes > SIZE_MAX) {
    errno = ENOMEM;
    return NULL;
  }
  void* p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static int ramdisk_get_ready(void) {
  if (size == 0) return 0; /* legal, and mmap refuses it */
  disk = map_zeroes((uint64_t)size);
  state = disk ? map_zeroes(chunk_count()) : NULL;
  if (!state) {
    nbdkit_error("cannot allocate %" PRIi64 " bytes: %m", size);
    return -1;
  }
  return 0;
}

static void ramdisk_dump_plugin(void) { printf("ramdisk_chunk=%" PRIu64 "\n", CHUNK); }

static void* ramdisk_open(int readonly) {
  (void)readonly; /* nbdkit refuses writes on a read-only connection before we see them */
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t ramdisk_get_size(void* handle) {
  (void)handle;
  return size;
}

/* Nothing is cached per connection: what one writes all others see at once. */
static int ramdisk_can_multi_conn(void* handle) {
  (void)handle;
  return 1;
}

/* Memory is as stable as this disk gets, so every write already is. */
static int ramdisk_can_fua(void* handle) {
  (void)handle;
  return NBDKIT_FUA_NATIVE;
}

static int ramdisk_can_cache(void* handle) {
  (void)handle;
  return NBDKIT_CACHE_NATIVE;
}

static int ramdisk_can_fast_zero(void* handle) {
  (void)handle;
  return 1;
}

static int ramdisk_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  uint8_t* to = buf;
  while (count > 0) {
    uint32_t n = bytes_in_chunk(offset, count);
    pthread_rwlock_t* lock = lock_of(offset / CHUNK);
    pthread_rwlock_rdlock(lock);
    if (state[offset / CHUNK] == DATA)
      memcpy(to, disk + offset, n);
    else /* without a page fault for each page of the hole */
      memset(to, 0, n);
    pthread_rwlock_unlock(lock);
    to += n;
    offset += n;
    count -= n;
  }
  return 0;
}

/* With the lock of the chunk held. */
static void becomes(uint64_t chunk, uint8_t what) {
  if (state[chunk] == KEPT_HOLE) atomic_fetch_sub(&kept, 1);
  state[chunk] = what;
}

static int ramdisk_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  (void)handle;
  (void)flags;
  const uint8_t* from = buf;
  while (count > 0) {
    uint32_t n = bytes_in_chunk(offset, count);
    pthread_rwlock_t* lock = lock_of(offset / CHUNK);
    pthread_rwlock_wrlock(lock);
    memcpy(disk + offset, from, n);
    becomes(offset / CHUNK, DATA);
    pthread_rwlock_unlock(lock);
    from += n;
    offset += n;
    count -= n;
  }
  return 0;
}

static int ramdisk_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return 0;
}

/* A whole chunk, all of it in the disk, is given back or else kept for the next
 * write. */
static void punch(uint64_t chunk, uint64_t offset, uint32_t n) {
  bool keep = atomic_fetch_add(&kept, 1) < KEPT_CHUNKS;
  if (!keep) {
    atomic_fetch_sub(&kept, 1);
    if (madvise(disk + offset, n, MADV_DONTNEED) == 0) {
      state[chunk] = HOLE;
      return;
    }
  }
  memset(disk + offset, 0, n);
  state[chunk] = keep ? KEPT_HOLE : DATA;
}

/* Make [offset, offset+n), which lies in one chunk, read as zeroes. A whole
 * chunk becomes a hole if the caller allows holes. */
static void clear_in_chunk(uint64_t offset, uint32_t n, bool may_punch) {
  uint64_t chunk = offset / CHUNK;
  bool whole = offset % CHUNK == 0 && (n == CHUNK || offset + n == (uint64_t)size);
  pthread_rwlock_t* lock = lock_of(chunk);
  pthread_rwlock_wrlock(lock);
  if (state[chunk] == DATA && may_punch && whole) {
    punch(chunk, offset, n);
  } else if (state[chunk] == DATA || !may_punch) {
    memset(disk + offset, 0, n);
    becomes(chunk, DATA);
  }
  pthread_rwlock_unlock(lock);
}

static void clear(uint32_t count, uint64_t offset, bool may_punch) {
  while (count > 0) {
    uint32_t n = bytes_in_chunk(offset, count);
    clear_in_chunk(offset, n, may_punch);
    offset += n;
    count -= n;
  }
}

static int ramdisk_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  clear(count, offset, true);
  return 0;
}

/* Without NBDKIT_FLAG_MAY_TRIM the range must stay allocated. No path is slower
 * than writing zeroes, so NBDKIT_FLAG_FAST_ZERO needs no case of its own. */
static int ramdisk_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  clear(count, offset, (flags & NBDKIT_FLAG_MAY_TRIM) != 0);
  return 0;
}

static int ramdisk_cache(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)count;
  (void)offset;
  if (flags != 0) { /* nbdkit-plugin(3) ".cache": fail on flags not known */
    nbdkit_error("cache: unknown flags 0x%" PRIx32, flags);
    nbdkit_set_error(EINVAL);
    return -1;
  }
  return 0; /* it is all in memory */
}

static uint32_t extent_type(uint64_t chunk) {
  pthread_rwlock_t* lock = lock_of(chunk);
  pthread_rwlock_rdlock(lock);
  bool data = state[chunk] == DATA;
  pthread_rwlock_unlock(lock);
  return data ? 0 : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
}

static int ramdisk_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                           struct nbdkit_extents* extents) {
  (void)handle;
  uint64_t end = offset + count;
  uint64_t chunk = offset / CHUNK;
  while (chunk * CHUNK < end) {
    /* One extent is a run of equal chunks; it may begin before offset. */
    uint64_t first = chunk;
    uint32_t type = extent_type(chunk);
    do chunk++;
    while (chunk * CHUNK < end && extent_type(chunk) == type);
    if (nbdkit_add_extent(extents, first * CHUNK, (chunk - first) * CHUNK, type) == -1) {
      nbdkit_set_error(errno);
      return -1;
    }
    if (flags & NBDKIT_FLAG_REQ_ONE) break;
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "ramdisk",
    .longname = "nbdcheck reference RAM disk",
    .version = "0.1.0",
    .description = "A disk in memory, served in parallel",
    .load = ramdisk_load,
    .unload = ramdisk_unload,
    .config = ramdisk_config,
    .config_complete = ramdisk_config_complete,
    .config_help = "size=<SIZE>  (required) Size of the disk.",
    .magic_config_key = "size",
    .get_ready = ramdisk_get_ready,
    .dump_plugin = ramdisk_dump_plugin,
    .open = ramdisk_open,
    .get_size = ramdisk_get_size,
    .can_multi_conn = ramdisk_can_multi_conn,
    .can_fua = ramdisk_can_fua,
    .can_cache = ramdisk_can_cache,
    .can_fast_zero = ramdisk_can_fast_zero,
    .pread = ramdisk_pread,
    .pwrite = ramdisk_pwrite,
    .flush = ramdisk_flush,
    .trim = ramdisk_trim,
    .zero = ramdisk_zero,
    .cache = ramdisk_cache,
    .extents = ramdisk_extents,
};
NBDKIT_REGISTER_PLUGIN(plugin)
