#include "checks/language_runtime.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

namespace nbdcheck {
namespace {

// What a runtime needs to work, and no strip(1) takes away.
struct Trace {
  LanguageRuntime runtime;
  std::string_view text;
};
constexpr std::array<Trace, 2> traces{{
    {LanguageRuntime::go, "\xff Go buildinf:"},  // what `go version FILE` looks for
    {LanguageRuntime::ocaml, "OCAMLRUNPARAM"},   // a variable that the runtime reads
}};

class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return;
    struct stat status {};
    if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
      const auto size = static_cast<std::size_t>(status.st_size);
      void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
      if (memory != MAP_FAILED) contents_ = {static_cast<const char*>(memory), size};
    }
    ::close(descriptor);
  }
  ~MappedFile() {
    if (!contents_.empty()) ::munmap(const_cast<char*>(contents_.data()), contents_.size());
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] bool has(std::string_view text) const {
    return ::memmem(contents_.data(), contents_.size(), text.data(), text.size()) != nullptr;
  }

 private:
  std::string_view contents_;
};

bool interpreter_is_mapped() {
  constexpr std::array<std::string_view, 10> runtimes{"libpython", "libruby",  "libperl", "liblua",
                                                      "libtcl",    "libguile", "libjvm",  "libmono",
                                                      "libgc.",    "libnode"};
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (std::ranges::any_of(runtimes, [&](std::string_view runtime) {
          return line.find(runtime) != std::string::npos;
        }))
      return true;
  return false;
}

}  // namespace

std::string_view name(LanguageRuntime runtime) {
  switch (runtime) {
    case LanguageRuntime::go:
      return "Go";
    case LanguageRuntime::ocaml:
      return "OCaml";
    case LanguageRuntime::none:
      break;
  }
  return "";
}

LanguageRuntime runtime_within(const std::string& plugin) {
  const MappedFile file(plugin);
  for (const Trace& trace : traces)
    if (file.has(trace.text)) return trace.runtime;
  return LanguageRuntime::none;
}

bool collects_garbage(const std::string& plugin) {
  return runtime_within(plugin) != LanguageRuntime::none || interpreter_is_mapped();
}

}  // namespace nbdcheck
