/* faulty-data: a disk that gets reading and writing wrong. */
#include "fault.h"

const char* const choices[] = {"offset-31",
                               "offset-32",
                               "last-byte-read",
                               "last-byte-write",
                               "refuse-long",
                               "refuse-long-write",
                               "short-write",
                               "read-tail",
                               "read-sector",
                               "overrun",
                               "overrun-16",
                               "overread",
                               "modify",
                               "keep",
                               "round-512",
                               "lost-64k",
                               "lost-1m",
                               "lost-1000th",
                               "stale-read",
                               "fua-lost",
                               "zeroes-lost",
                               "failed-outside",
                               "cache-clobbers",
                               "flush-clobbers",
                               "flush-forgets",
                               "return-errno",
                               "return-count",
                               "swap-words",
                               "large-write",
                               "large-read",
                               "bit",
                               NULL};

#define SECTOR UINT64_C(512)
#define MIB (UINT64_C(1024) * 1024)

/* One bad page, for the faults in how a failure is handled. */
#define BAD (UINT64_C(256) * 1024)

static bool has_bad_page(void) { return fault("failed-outside") || fault("return-errno"); }

static bool touches_bad_page(uint32_t count, uint64_t offset) {
  return has_bad_page() && offset < BAD + PAGE && offset + count > BAD;
}

static struct {
  const void* buf; /* the caller's */
  uint32_t count;
  uint64_t offset;
} kept;

static struct {
  bool valid;
  uint64_t offset;
  uint8_t bytes[512];
} last_read;

static bool first_unflushed_is_set;
static uint64_t first_unflushed;
static uint64_t writes;

/* The fault "keep": the write is done later, out of a buffer that is gone. */
static void write_kept(void) {
  if (kept.buf) memcpy(disk + kept.offset, kept.buf, kept.count);
  kept.buf = NULL;
}

static uint64_t fold(uint64_t offset) {
  if (fault("offset-31")) return offset & INT32_MAX;
  if (fault("offset-32")) return offset & UINT32_MAX;
  return offset;
}

static int data_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  uint8_t* to = buf;
  (void)handle;
  (void)flags;
  write_kept();
  if (fault("refuse-long") && count > 64 * 1024) return fail(EINVAL, "too much to read at once");
  if (fault("last-byte-read") && offset + count == (uint64_t)disk_size)
    return fail(EIO, "read beyond the end of the disk");
  if (touches_bad_page(count, offset)) {
    (void)fail(EIO, "bad sector");
    return fault("return-errno") ? EIO : -1;
  }
  if (fault("stale-read") && count == sizeof last_read.bytes) {
    if (!last_read.valid || last_read.offset != offset)
      memcpy(last_read.bytes, disk + offset, count);
    last_read.valid = true;
    last_read.offset = offset;
    memcpy(buf, last_read.bytes, count);
    return 0;
  }

  uint32_t n = count;
  if (fault("read-tail")) n--;
  if (fault("read-sector") && n > SECTOR) n -= (uint32_t)(n % SECTOR);
  if (fault("large-read") && n > 32 * MIB) n = 32 * MIB;
  memcpy(to, disk + fold(offset), n);
  if (fault("overrun")) to[count] = 0;
  /* As a loop over vectors does. */
  if (fault("overrun-16") && count % 16 != 0) memset(to + count, 0, 16 - count % 16);
  return fault("return-count") ? (int)count : 0;
}

/* The bytes of [offset, offset+n) up to the next boundary of a unit. */
static uint32_t cut_at(uint64_t unit, uint64_t offset, uint32_t n) {
  uint64_t rest = unit - offset % unit;
  return rest < n ? (uint32_t)rest : n;
}

static bool all_zero(const uint8_t* bytes, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (bytes[i] != 0) return false;
  return true;
}

static void swap_first_words(uint8_t* at) {
  uint8_t word[8];
  memcpy(word, at, 8);
  memcpy(at, at + 8, 8);
  memcpy(at + 8, word, 8);
}

static int data_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  (void)handle;
  if (fault("refuse-long-write") && count > 1000000) return fail(EINVAL, "too much to write");
  write_kept();
  writes++;
  if (!first_unflushed_is_set) first_unflushed = offset;
  first_unflushed_is_set = true;

  if (touches_bad_page(count, offset)) {
    if (fault("failed-outside") && offset >= SECTOR) memset(disk + offset - SECTOR, 0, SECTOR);
    (void)fail(EIO, "bad sector");
    return fault("return-errno") ? EIO : -1;
  }
  if (fault("keep")) {
    kept.buf = buf;
    kept.count = count;
    kept.offset = offset;
    return 0;
  }
  if (fault("lost-1000th") && writes % 1000 == 0) return 0;
  if (fault("fua-lost") && (flags & NBDKIT_FLAG_FUA)) return 0;
  if (fault("zeroes-lost") && all_zero(buf, count)) return 0;
  if (fault("overread") && ((const volatile uint8_t*)buf)[count] == 1) writes++;

  uint32_t n = count;
  if (fault("short-write") && n > PAGE) n = PAGE;
  if (fault("lost-64k")) n = cut_at(64 * 1024, offset, n);
  if (fault("lost-1m")) n = cut_at(MIB, offset, n);
  if (fault("large-write") && n > 32 * MIB) n = 32 * MIB;
  if (fault("last-byte-write") && offset + n == (uint64_t)disk_size) n--;
  if (fault("round-512")) disk_clear(round_down(offset, SECTOR), round_up(offset + count, SECTOR));
  uint8_t* at = disk + fold(offset);
  memcpy(at, buf, n);
  if (fault("swap-words") && n >= PAGE) swap_first_words(at);
  if (fault("bit") && offset <= 12345 && 12345 < offset + n) disk[12345] |= 0x10;
  if (fault("modify")) *(uint8_t*)(uintptr_t)buf ^= 0xff;
  return fault("return-count") ? (int)count : 0;
}

static int data_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  write_kept();
  if (fault("flush-clobbers")) memset(disk, 0, SECTOR);
  if (fault("flush-forgets") && first_unflushed_is_set) disk[first_unflushed] ^= 0xff;
  first_unflushed_is_set = false;
  return 0;
}

static int data_can_fua(void* handle) {
  (void)handle;
  return NBDKIT_FUA_NATIVE;
}

static int data_can_cache(void* handle) {
  (void)handle;
  return NBDKIT_CACHE_NATIVE;
}

static int data_cache(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)count;
  if (flags != 0) return fail(EINVAL, "cache: unknown flags");
  if (fault("cache-clobbers")) disk[offset] ^= 0xff;
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-data",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_fua = data_can_fua,
    .can_cache = data_can_cache,
    .can_multi_conn = disk_yes,
    .pread = data_pread,
    .pwrite = data_pwrite,
    .flush = data_flush,
    .cache = data_cache,
};
NBDKIT_REGISTER_PLUGIN(plugin)
