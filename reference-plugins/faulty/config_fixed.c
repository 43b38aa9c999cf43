/* faulty-config-*: plugins that go wrong with parameters before one is read, or
 * when there is none, so that the fault must be built in.
 */
#include "fault.h"

#define HELP_OMITS 1
#define HELP_CONTROLS 2
#define REQUIRED_LATE 3
#define REQUIRED_EXITS 4

const char* const choices[] = {NULL};

#if CONFIG_FAULT == REQUIRED_LATE || CONFIG_FAULT == REQUIRED_EXITS
static bool size_given;

static int fixed_config(const char* key, const char* value) {
  size_given = size_given || strcmp(key, "size") == 0;
  return disk_config(key, value);
}

static void* fixed_open(int readonly) {
  if (size_given) return disk_open(readonly);
  nbdkit_error("how large shall it be? size= is missing");
  if (CONFIG_FAULT == REQUIRED_EXITS) exit(1);
  return NULL;
}
#else
#define fixed_config disk_config
#define fixed_open disk_open
#endif

static struct nbdkit_plugin plugin = {
    .name = CONFIG_NAME,
    .version = "0.1.0",
    .unload = disk_unload,
    .config = fixed_config,
#if CONFIG_FAULT == HELP_OMITS
    .config_help = CHOICE_KEY "=<NAME>  Which variant to be; there is only one.",
#elif CONFIG_FAULT == HELP_CONTROLS
    .config_help = "size=<SIZE>\033[1m  Size of the disk (default 1M).\033[0m",
#else
    .config_help = DISK_CONFIG_HELP,
#endif
    .get_ready = disk_get_ready,
    .open = fixed_open,
    .get_size = disk_get_size,
    .pread = disk_pread,
};
NBDKIT_REGISTER_PLUGIN(plugin)
