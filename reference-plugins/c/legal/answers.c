/* legal-answers: every capability can be chosen, in any combination; all the
 * callbacks are there and work, whatever is said about them.
 *
 *   write= flush= trim= zero= fast= extents= multi= rotational=   <BOOL>
 *   fua=none|emulate|native  cache=none|emulate|native
 *   model=connections|all-requests|requests|parallel   narrows the thread model
 */
#include "mode.h"

const char* const choices[] = {NULL};

static int can_write = 1, can_flush = 1, can_trim = 1, can_zero = 1, can_fast = 1;
static int can_extents = 1, multi_conn = 1, rotational = 0;
static int fua = NBDKIT_FUA_EMULATE, cache = NBDKIT_CACHE_NONE;
static int model = NBDKIT_THREAD_MODEL_PARALLEL;

static const struct {
  const char* key;
  int* answer;
} flags_by_key[] = {{"write", &can_write},  {"flush", &can_flush},      {"trim", &can_trim},
                    {"zero", &can_zero},    {"fast", &can_fast},        {"extents", &can_extents},
                    {"multi", &multi_conn}, {"rotational", &rotational}};

/* The value's place in a list of names that ends with NULL. */
static int parse_name(const char* key, const char* value, const char* const* names, int* answer) {
  for (int i = 0; names[i]; i++) {
    if (strcmp(value, names[i]) == 0) {
      *answer = i;
      return 0;
    }
  }
  nbdkit_error("%s=%s is not one of the possible values", key, value);
  return -1;
}

static int answers_config(const char* key, const char* value) {
  /* In the order of NBDKIT_FUA_*, NBDKIT_CACHE_* and NBDKIT_THREAD_MODEL_*. */
  static const char* const levels[] = {"none", "emulate", "native", NULL};
  static const char* const models[] = {"connections", "all-requests", "requests", "parallel", NULL};
  for (size_t i = 0; i < sizeof flags_by_key / sizeof flags_by_key[0]; i++) {
    if (strcmp(key, flags_by_key[i].key) != 0) continue;
    int r = nbdkit_parse_bool(value);
    if (r == -1) return -1;
    *flags_by_key[i].answer = r;
    return 0;
  }
  if (strcmp(key, "fua") == 0) return parse_name(key, value, levels, &fua);
  if (strcmp(key, "cache") == 0) return parse_name(key, value, levels, &cache);
  if (strcmp(key, "model") == 0) return parse_name(key, value, models, &model);
  return disk_config(key, value);
}

static int answers_thread_model(void) { return model; }

#define ANSWER(callback, value)       \
  static int callback(void* handle) { \
    (void)handle;                     \
    return value;                     \
  }
ANSWER(answers_can_write, can_write)
ANSWER(answers_can_flush, can_flush)
ANSWER(answers_can_trim, can_trim)
ANSWER(answers_can_zero, can_zero)
ANSWER(answers_can_fast_zero, can_fast)
ANSWER(answers_can_extents, can_extents)
ANSWER(answers_can_multi_conn, multi_conn)
ANSWER(answers_is_rotational, rotational)
ANSWER(answers_can_fua, fua)
ANSWER(answers_can_cache, cache)

static int answers_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                           struct nbdkit_extents* extents) {
  (void)handle;
  (void)flags;
  if (nbdkit_add_extent(extents, offset, count, 0) == 0) return 0;
  nbdkit_set_error(errno);
  return -1;
}

static int answers_cache(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)count;
  (void)offset;
  if (flags == 0) return 0;
  nbdkit_error("cache: unknown flags");
  nbdkit_set_error(EINVAL);
  return -1;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-answers",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = answers_config,
    .config_help = DISK_CONFIG_HELP
    "\nwrite, flush, trim, zero, fast, extents, multi, rotational =<BOOL>\n"
    "fua, cache =none|emulate|native\n"
    "model=connections|all-requests|requests|parallel",
    .thread_model = answers_thread_model,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_write = answers_can_write,
    .can_flush = answers_can_flush,
    .can_trim = answers_can_trim,
    .can_zero = answers_can_zero,
    .can_fast_zero = answers_can_fast_zero,
    .can_extents = answers_can_extents,
    .can_multi_conn = answers_can_multi_conn,
    .is_rotational = answers_is_rotational,
    .can_fua = answers_can_fua,
    .can_cache = answers_can_cache,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
    .trim = disk_zero,
    .zero = disk_zero,
    .extents = answers_extents,
    .cache = answers_cache,
};
NBDKIT_REGISTER_PLUGIN(plugin)
