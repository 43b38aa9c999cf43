#include "target/libnbd.hpp"

#include <dlfcn.h>

namespace nbdcheck {
namespace {

tl::expected<LibNbd, std::string> load() {
  // Out of the plugin's sight: one that needs libnbd brings its own.
  void* const library = ::dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return tl::unexpected(std::string(::dlerror()));
  LibNbd table;
  const char* missing = nullptr;
#define NBDCHECK_LOOK_UP(name)                                                         \
  table.name = reinterpret_cast<decltype(table.name)>(::dlsym(library, "nbd_" #name)); \
  if (table.name == nullptr) missing = "nbd_" #name;
  NBDCHECK_LIBNBD(NBDCHECK_LOOK_UP)
#undef NBDCHECK_LOOK_UP
  if (missing != nullptr) return tl::unexpected(std::string("too old, it lacks ") + missing);
  return table;
}

}  // namespace

std::string LibNbd::version() const {
  nbd_handle* const handle = create();
  if (handle == nullptr) return "";
  const char* const text = get_version(handle);
  std::string copy(text == nullptr ? "" : text);
  close(handle);
  return copy;
}

tl::expected<const LibNbd*, std::string> libnbd() {
  static const tl::expected<LibNbd, std::string> loaded = load();
  if (!loaded) return tl::unexpected(loaded.error());
  return &*loaded;
}

}  // namespace nbdcheck
