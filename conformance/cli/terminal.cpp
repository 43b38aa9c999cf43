#include "cli/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace nbdcheck {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

int terminal_width() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
      size.ws_col > 0)
    return std::clamp<int>(size.ws_col, 40, 160);
  return 100;
}

bool is_interactive() { return ::isatty(STDOUT_FILENO) == 1 && environment("TERM") != "dumb"; }

bool wants_colour(Options::Color color) {
  switch (color) {
    case Options::Color::always:
      return true;
    case Options::Color::never:
      return false;
    case Options::Color::automatic:
      break;
  }
  // https://no-color.org
  return is_interactive() && environment("NO_COLOR").empty();
}

}  // namespace nbdcheck
