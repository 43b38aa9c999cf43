/* legal-short: a plugin compiled against the header of nbdkit 1.18 to 1.20, whose
 * struct ends after .get_ready at 336 bytes. The server must take the rest as
 * absent, and not look at it.
 */
#include "mode.h"

#include <stddef.h>

const char* const choices[] = {NULL};

static struct nbdkit_plugin plugin = {
    .name = "legal-short",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
    .zero = disk_zero,
};

/* What NBDKIT_REGISTER_PLUGIN does, but with the older size. */
NBDKIT_DLL_PUBLIC struct nbdkit_plugin* plugin_init(void);
struct nbdkit_plugin* plugin_init(void) {
  plugin._struct_size = offsetof(struct nbdkit_plugin, after_fork);
  plugin._api_version = NBDKIT_API_VERSION;
  plugin._thread_model = THREAD_MODEL;
  return &plugin;
}
