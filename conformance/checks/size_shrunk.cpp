// The storage becomes smaller while it is served: somebody truncates the file.
// "The callback must read the whole count bytes if it can" (nbdkit-plugin(3)
// ".pread"); where it cannot, the client has to be told.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>

#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::size_shrunk {
namespace {

constexpr std::byte written{0x5a};
constexpr std::byte unset{0xc3};

bool is_file_of_size(const std::string& path, std::uint64_t size) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         static_cast<std::uint64_t>(status.st_size) == size;
}

// The file that is the export, byte for byte as far as its size tells.
std::optional<std::string> backing_file(const std::vector<std::string>& arguments,
                                        std::uint64_t size) {
  std::optional<std::string> found;
  for (const std::string& argument : arguments) {
    const std::string path = parse_parameter(argument).value;
    if (path.empty() || !is_file_of_size(path, size)) continue;
    if (found) return std::nullopt;  // one of several: which, is not known
    found = path;
  }
  return found;
}

// In the copy: what a read of the part that is gone gives.  Where the export
// cannot be written to, nothing is known of what was there.
std::string read_what_is_gone(CheckRun& run, Server& server, const std::string& file) {
  const Subject& subject = run.subject();
  const auto places = sample_places(subject);
  const Place last = places.back();
  Client client(server);
  if (!client.open(run.request().export_name)) return "not opened";
  std::vector<std::byte> data(last.count, written);
  const bool known = client.info().can_write && client.write(data, last.offset).ok() &&
                     (!client.info().can_flush || client.flush().ok());
  // A first read, for those that map or remember what they have seen.
  if (!client.read(data, last.offset).ok()) return "not readable";
  if (::truncate(file.c_str(), static_cast<off_t>(last.offset / 8192 * 4096)) != 0) return "kept";
  std::fill(data.begin(), data.end(), unset);
  if (!client.read(data, last.offset).ok()) return "refused";
  if (!known) return "unknown";
  const auto all = [&](std::byte value) {
    return std::all_of(data.begin(), data.end(), [&](std::byte b) { return b == value; });
  };
  if (all(written)) return "remembered";  // legal: it has a copy of its own
  return all(std::byte{0}) ? "zeroes" : all(unset) ? "nothing" : "other bytes";
}

void report(CheckRun& run, std::string actual) {
  Violation v;
  v.rule = "size.shrunk-storage";
  v.message =
      "The file that is served was truncated by somebody else, and a block behind its new end was "
      "read.";
  v.expected = ".pread calls nbdkit_error and returns -1; or the old data, from a copy";
  v.actual = std::move(actual);
  run.violated(std::move(v));
}

void run_check(CheckRun& run) {
  const auto file = backing_file(run.request().arguments, run.subject().info.size);
  if (!file || !is_own_copy(run, *file)) return;  // a socket, two files: nothing to cut off
  set_phase("reading what was cut off the file");
  LifeEnd end = run_life(run, {run.request().arguments, run.server_options(), [&](Server& server) {
                                 return read_what_is_gone(run, server, *file);
                               }});
  run.count_operations(1);
  // What is gone has no errno of its own: EIO, nbdkit's choice, is right.
  std::erase_if(end.incidents, [](const Violation& v) { return v.rule == "error.errno"; });
  if (end.end == TrialEnd::Kind::killed && end.code == SIGBUS)
    return report(run, "SIGBUS: the server is gone, with all its connections");
  if (report_life(run, end, "after the file had become shorter")) return;
  if (end.answer == "zeroes" || end.answer == "nothing" || end.answer == "other bytes")
    report(run, *end.answer == "nothing" ? "success, and the buffer was left as it was"
                                         : fmt::format("success, and {}", *end.answer));
}

std::string not_applicable(const Subject& subject) {
  if (!subject.has("config")) return "no .config";
  if (subject.info.size < 16384) return "smaller than 16 KiB";
  const bool names_file = std::ranges::any_of(subject.arguments, [](const std::string& argument) {
    return parse_parameter(argument).value.find('/') != std::string::npos;
  });
  return names_file ? "" : "no argument names a file";
}

const Registration registration{{
    .id = "size.shrunk",
    .summary = "storage that has become smaller is an error for who reads there",
    .rules = {"size.shrunk-storage"},
    .not_applicable = not_applicable,
    .run = run_check,
}};

}  // namespace
}  // namespace nbdcheck::checks::size_shrunk
