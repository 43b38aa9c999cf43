/* sparse: a disk in memory that allocates where it is written; up to 2^63-1 bytes.
 *
 *   nbdkit ./sparse.so size=1E
 *
 * Chunks that were written live in a hash table. A chunk is in one of three
 * states, the same as those of a qcow2 cluster:
 *   absent                  a hole, reads as zeroes
 *   present, without data   allocated, reads as zeroes (zero without MAY_TRIM)
 *   present, with data      data
 * One read-write lock guards the table: simple, and reads still run together.
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define CHUNK (UINT64_C(64) * 1024)

struct chunk {
  struct chunk* next; /* in the same bucket */
  uint64_t number;    /* offset / CHUNK */
  uint8_t* data;      /* CHUNK bytes, or NULL: all zeroes */
};

static int64_t size = -1; /* size= in bytes */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct chunk** buckets; /* guarded by lock, as are the counts */
static size_t bucket_count;    /* a power of 2 */
static size_t chunk_count;

static size_t bucket_of(uint64_t number, size_t count) {
  return (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (count - 1);
}

/* Where the chunk is linked, or would be: *result is NULL if it is absent. */
static struct chunk** find(uint64_t number) {
  struct chunk** link = &buckets[bucket_of(number, bucket_count)];
  while (*link && (*link)->number != number) link = &(*link)->next;
  return link;
}

/* Double the table. Failing is harmless: the chains just grow longer. */
static void grow(void) {
  size_t new_count = bucket_count * 2;
  struct chunk** new_buckets = calloc(new_count, sizeof(struct chunk*));
  if (!new_buckets) return;
  for (size_t i = 0; i < bucket_count; i++) {
    for (struct chunk *c = buckets[i], *next; c; c = next) {
      next = c->next;
      struct chunk** head = &new_buckets[bucket_of(c->number, new_count)];
      c->next = *head;
      *head = c;
    }
  }
  free(buckets);
  buckets = new_buckets;
  bucket_count = new_count;
}

/* The chunk, allocated if it was absent; NULL with a message if memory is out. */
static struct chunk* allocate(uint64_t number) {
  struct chunk** link = find(number);
  if (*link) return *link;
  struct chunk* c = calloc(1, sizeof *c);
  if (!c) {
    nbdkit_error("cannot allocate a chunk: %m");
    nbdkit_set_error(ENOMEM);
    return NULL;
  }
  c->number = number;
  *link = c;
  if (++chunk_count > bucket_count) grow();
  return c;
}

static int allocate_data(struct chunk* c) {
  if (!c->data) c->data = calloc(1, CHUNK);
  if (c->data) return 0;
  nbdkit_error("cannot allocate a chunk's data: %m");
  nbdkit_set_error(ENOMEM);
  return -1;
}

static void release(uint64_t number) {
  struct chunk **link = find(number), *c = *link;
  if (!c) return;
  *link = c->next;
  free(c->data);
  free(c);
  chunk_count--;
}

static void sparse_unload(void) {
  for (size_t i = 0; i < bucket_count; i++) {
    for (struct chunk *c = buckets[i], *next; c; c = next) {
      next = c->next;
      free(c->data);
      free(c);
    }
  }
  free(buckets);
  buckets = NULL;
  bucket_count = chunk_count = 0;
}

static int sparse_config(const char* key, const char* value) {
  if (strcmp(key, "size") == 0) {
    int64_t n = nbdkit_parse_size(value); /* has said why when it fails */
    if (n == -1) return -1;
    size = n;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static int sparse_config_complete(void) {
  if (size == -1) {
    nbdkit_error("the size parameter is required");
    return -1;
  }
  return 0;
}

static int sparse_get_ready(void) {
  bucket_count = 1024;
  buckets = calloc(bucket_count, sizeof(struct chunk*));
  if (!buckets) {
    bucket_count = 0;
    nbdkit_error("cannot allocate the chunk table: %m");
    return -1;
  }
  return 0;
}

static void* sparse_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t sparse_get_size(void* handle) {
  (void)handle;
  return size;
}

static int sparse_yes(void* handle) {
  (void)handle;
  return 1;
}

static int sparse_can_fua(void* handle) {
  (void)handle;
  return NBDKIT_FUA_NATIVE; /* every write is as stable as it will get */
}

/* The bytes from offset to the end of its chunk, at most count. */
static uint32_t bytes_in_chunk(uint64_t offset, uint32_t count) {
  uint64_t rest = CHUNK - offset % CHUNK;
  return rest < count ? (uint32_t)rest : count;
}

static int sparse_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  uint8_t* to = buf;
  pthread_rwlock_rdlock(&lock);
  while (count > 0) {
    uint32_t n = bytes_in_chunk(offset, count);
    const struct chunk* c = *find(offset / CHUNK);
    if (c && c->data)
      memcpy(to, c->data + offset % CHUNK, n);
    else
      memset(to, 0, n);
    to += n;
    offset += n;
    count -= n;
  }
  pthread_rwlock_unlock(&lock);
  return 0;
}

static int sparse_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  (void)handle;
  (void)flags;
  const uint8_t* from = buf;
  int r = 0;
  pthread_rwlock_wrlock(&lock);
  while (count > 0) {
    uint32_t n = bytes_in_chunk(offset, count);
    struct chunk* c = allocate(offset / CHUNK);
    if (!c || allocate_data(c) == -1) {
      r = -1;
      break;
    }
    memcpy(c->data + offset % CHUNK, from, n);
    from += n;
    offset += n;
    count -= n;
  }
  pthread_rwlock_unlock(&lock);
  return r;
}

static int sparse_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return 0;
}

/* Make [offset, offset+n), which lies in one chunk, read as zeroes. */
static int clear_in_chunk(uint64_t offset, uint32_t n, bool may_punch) {
  uint64_t number = offset / CHUNK;
  bool whole = n == CHUNK || (offset % CHUNK == 0 && offset + n == (uint64_t)size);
  if (whole && may_punch) {
    release(number);
    return 0;
  }
  struct chunk* c = may_punch ? *find(number) : allocate(number);
  if (!c) return may_punch ? 0 : -1;
  if (whole) {
    free(c->data);
    c->data = NULL;
  } else if (c->data) {
    memset(c->data + offset % CHUNK, 0, n);
  }
  return 0;
}

static int clear(uint32_t count, uint64_t offset, bool may_punch) {
  int r = 0;
  pthread_rwlock_wrlock(&lock);
  while (count > 0 && r == 0) {
    uint32_t n = bytes_in_chunk(offset, count);
    r = clear_in_chunk(offset, n, may_punch);
    offset += n;
    count -= n;
  }
  pthread_rwlock_unlock(&lock);
  return r;
}

static int sparse_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  return clear(count, offset, true);
}

/* Always fast: whole chunks are dropped or marked, never written. */
static int sparse_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  return clear(count, offset, (flags & NBDKIT_FLAG_MAY_TRIM) != 0);
}

static uint32_t extent_type(uint64_t number) {
  const struct chunk* c = *find(number);
  if (!c) return NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
  return c->data ? 0 : NBDKIT_EXTENT_ZERO;
}

static int sparse_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                          struct nbdkit_extents* extents) {
  (void)handle;
  int r = 0;
  pthread_rwlock_rdlock(&lock);
  /* An extent per chunk: nbdkit merges neighbours of one type. */
  while (count > 0) {
    uint32_t n = bytes_in_chunk(offset, count);
    r = nbdkit_add_extent(extents, offset, n, extent_type(offset / CHUNK));
    if (r == -1) {
      nbdkit_set_error(errno);
      break;
    }
    if (flags & NBDKIT_FLAG_REQ_ONE) break;
    offset += n;
    count -= n;
  }
  pthread_rwlock_unlock(&lock);
  return r;
}

static struct nbdkit_plugin plugin = {
    .name = "sparse",
    .longname = "nbdcheck reference sparse disk",
    .version = "0.1.0",
    .description = "A disk in memory that allocates where it is written",
    .unload = sparse_unload,
    .config = sparse_config,
    .config_complete = sparse_config_complete,
    .config_help = "size=<SIZE>  (required) Size of the disk, up to 2^63-1.",
    .magic_config_key = "size",
    .get_ready = sparse_get_ready,
    .open = sparse_open,
    .get_size = sparse_get_size,
    .can_multi_conn = sparse_yes,
    .can_fast_zero = sparse_yes,
    .can_fua = sparse_can_fua,
    .pread = sparse_pread,
    .pwrite = sparse_pwrite,
    .flush = sparse_flush,
    .trim = sparse_trim,
    .zero = sparse_zero,
    .extents = sparse_extents,
};
NBDKIT_REGISTER_PLUGIN(plugin)
