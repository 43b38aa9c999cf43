#include "instruments/valgrind.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace nbdcheck {
namespace {

std::string in_path(std::string_view program) {
  const char* const path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    std::string file(rest.substr(0, colon));
    rest.remove_prefix(colon == rest.npos ? rest.size() : colon + 1);
    file.append("/").append(program);
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

}  // namespace

tl::expected<std::vector<std::string>, std::string> valgrind_command() {
  const std::string program = in_path("valgrind");
  if (program.empty()) return tl::unexpected(std::string("--valgrind: no valgrind in PATH"));
  // Errors end nothing: what the C library or we do would end checks, too, and a check
  // that forks would take its end for the plugin's.  Leaks are looked for when we ask.
  return std::vector<std::string>{program,           "--tool=memcheck",
                                  "--quiet",         "--vgdb=no",
                                  "--leak-check=no", "--show-leak-kinds=definite",
                                  "--num-callers=24"};
}

}  // namespace nbdcheck
