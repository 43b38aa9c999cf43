/* faulty-config: a disk that takes its parameters wrong. */
#include "fault.h"

const char* const choices[] = {"size-tail",   "size-wraps",   "size-octal",   "size-letters",
                               "missing-key", "long-crash",   "number-crash", "repeat-frees",
                               "repeat-late", "empty-silent", "repeat-leaks", NULL};

static char buffer[4096]; /* for a label, big enough for all that was tried by hand */
static char* label;
static bool label_freed;
static unsigned labels;
static void* volatile lost; /* or the compiler would leave it out */

/* size= by other means than nbdkit_parse_size. */
static int own_size(const char* value) {
  uint64_t n = 0;
  const char* end = value;
  if (fault("size-wraps")) /* More digits than fit are not noticed. */
    for (; *end >= '0' && *end <= '9'; end++) n = n * 10 + (uint64_t)(*end - '0');
  else
    n = strtoull(value, (char**)(uintptr_t)&end, fault("size-octal") ? 0 : 10);

  const char* letters = fault("size-letters") ? "KMG" : "KMGkmgb";
  bool tail = end[0] && (end[1] || !strchr(letters, end[0]));
  if (tail && !fault("size-tail")) end = value;
  if (end == value || value[0] == '-' || (!fault("size-wraps") && n > INT64_MAX >> 30)) {
    nbdkit_error("size=%s: not a size", value);
    return -1;
  }
  unsigned shift = 0;
  if (*end == 'K' || *end == 'k') shift = 10;
  if (*end == 'M' || *end == 'm') shift = 20;
  if (*end == 'G' || *end == 'g') shift = 30;
  disk_size = (int64_t)((n << shift) & INT64_MAX);
  return 0;
}

static int new_label(const char* value) {
  if (fault("long-crash")) {
    if (strlen(value) >= sizeof buffer) abort(); /* as strcpy(3) does where it is guarded */
    strcpy(buffer, value);
  }
  labels++;
  if (label) label_freed = true;
  if (fault("repeat-leaks"))
    lost = label;
  else
    free(label);
  label = strdup(value);
  if (!label) nbdkit_error("strdup: %m");
  return label ? 0 : -1;
}

static int config_config(const char* key, const char* value) {
  if (strcmp(key, "label") == 0) return new_label(value);
  if (strcmp(key, "size") != 0) return disk_config(key, value);
  if (value[0] == '\0' && fault("empty-silent")) return -1;
  if (strcmp(value, "-1") == 0 && fault("number-crash")) abort();
  return strncmp(choice, "size-", 5) == 0 ? own_size(value) : disk_config(key, value);
}

static void config_unload(void) {
  /* The old label is freed a second time, which malloc notices. */
  if (label_freed && fault("repeat-frees")) abort();
  free(label);
  label = NULL;
  disk_unload();
}

static void* config_open(int readonly) {
  if (fault("missing-key") && strlen(label) == 0) nbdkit_debug("the label is empty");
  if (fault("repeat-late") && labels > 1) {
    nbdkit_error("there is more than one label");
    return NULL;
  }
  return disk_open(readonly);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-config",
    .version = "0.1.0",
    .unload = config_unload,
    .config = config_config,
    .config_help = DISK_CONFIG_HELP "\nlabel=<TEXT>  What to call it.",
    .get_ready = disk_get_ready,
    .open = config_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
