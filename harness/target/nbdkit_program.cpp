// Which nbdkit there is.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "nbdcheck/nbdkit.hpp"
#include "target/libnbd.hpp"
#include "target/program.hpp"

namespace nbdcheck {
namespace {

using Kind = NbdkitTrouble::Kind;
constexpr std::chrono::seconds patience{10};

bool is_program(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

std::string in_path() {
  const char* const path = std::getenv("PATH");
  // Not every user's PATH has the directories of the administrator's programs.
  std::string_view rest(path == nullptr ? "" : path);
  const std::string all = fmt::format("{}:/usr/sbin:/usr/local/sbin:/usr/bin", rest);
  rest = all;
  while (!rest.empty()) {
    const auto end = rest.find(':');
    const std::string file = fmt::format("{}/nbdkit", rest.substr(0, end));
    if (file.front() == '/' && is_program(file)) return file;
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
  }
  return "";
}

std::string field(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(key) && line.substr(key.size(), 1) == "=")
      return std::string(line.substr(key.size() + 1));
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  return "";
}

int number(std::string_view text) {
  int value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

tl::expected<NbdkitProgram, NbdkitTrouble> NbdkitProgram::find(const std::string& path) {
  NbdkitProgram found;
  found.path = path.empty() ? in_path() : path;
  if (found.path.empty())
    return tl::unexpected(NbdkitTrouble{Kind::missing, "nbdkit is not installed", ""});
  if (!is_program(found.path))
    return tl::unexpected(
        NbdkitTrouble{Kind::missing, fmt::format("{} is not a program", found.path), ""});
  const auto library = libnbd();
  if (!library)
    return tl::unexpected(
        NbdkitTrouble{Kind::missing, "libnbd is not installed: " + library.error(), ""});
  found.libnbd_version = (*library)->version();

  auto asked = Program::start({{found.path, "--dump-config"}});
  if (!asked) return tl::unexpected(NbdkitTrouble{Kind::ours, asked.error(), ""});
  Program& program = **asked;
  if (!program.wait(patience))
    return tl::unexpected(NbdkitTrouble{
        Kind::hung, fmt::format("{} --dump-config does not come to its end", found.path), ""});
  const std::string text = program.standard_output();
  found.version = field(text, "version");
  if (found.version.empty())
    return tl::unexpected(NbdkitTrouble{
        Kind::too_old,
        fmt::format("{} --dump-config names no version: it is not nbdkit, or an old one",
                    found.path),
        program.standard_error()});
  const int major = number(field(text, "version_major"));
  const int minor = number(field(text, "version_minor"));
  if (major < 1 || (major == 1 && minor < oldest_minor))
    return tl::unexpected(NbdkitTrouble{Kind::too_old,
                                        fmt::format("{} is nbdkit {}, and at least 1.{} is needed",
                                                    found.path, found.version, oldest_minor),
                                        ""});
  return found;
}

}  // namespace nbdcheck
