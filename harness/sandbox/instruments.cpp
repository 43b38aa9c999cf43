#include "sandbox/instruments.hpp"

#include <dlfcn.h>
#include <link.h>

#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "nbdcheck/sandbox.hpp"

#if __has_include(<valgrind/valgrind.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <valgrind/valgrind.h>
#pragma GCC diagnostic pop
#endif

using DeathCallback = void (*)();

// Of the sanitizers' common runtime, there or not.
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(DeathCallback callback);

namespace nbdcheck {
namespace sandbox {

bool under_valgrind() {
#if defined(RUNNING_ON_VALGRIND)
  return RUNNING_ON_VALGRIND != 0;
#else
  const char* preload = std::getenv("LD_PRELOAD");
  return preload != nullptr &&
         std::string_view(preload).find("vgpreload") != std::string_view::npos;
#endif
}

bool under_sanitizer() { return __sanitizer_set_death_callback != nullptr; }

void at_sanitizer_death(DeathCallback callback) {
  if (!under_sanitizer()) return;
  __sanitizer_set_death_callback(callback);
  // gcc's libasan and libubsan each have a copy of the common runtime, of
  // which the linker shows us only the first.
  std::set<std::string> runtimes;
  const auto note = [](dl_phdr_info* object, std::size_t, void* names) {
    const std::string_view path = object->dlpi_name;
    if (path.find("san.so") != std::string_view::npos) {
      static_cast<std::set<std::string>*>(names)->emplace(path);
    }
    return 0;
  };
  ::dl_iterate_phdr(note, &runtimes);
  for (const std::string& path : runtimes) {
    void* runtime = ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (runtime == nullptr) continue;
    const auto set = reinterpret_cast<void (*)(DeathCallback)>(
        ::dlsym(runtime, "__sanitizer_set_death_callback"));
    if (set != nullptr) set(callback);
    ::dlclose(runtime);
  }
}

}  // namespace sandbox

double time_scale() {
  if (sandbox::under_valgrind()) return 30;
  return sandbox::under_sanitizer() ? 10 : 1;
}

}  // namespace nbdcheck
