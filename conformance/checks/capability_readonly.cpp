// nbdkit -r: .open gets readonly=1, and .can_write and the four questions that
// only writers care about are not asked.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"
#include "values/descriptor.hpp"

namespace nbdcheck::checks::capability_readonly {
namespace {

struct FileState {
  off_t size;
  timespec modified;
  std::vector<std::byte> sample;  // of what it held, here and there

  [[nodiscard]] bool same_time(const FileState& other) const {
    return size == other.size && modified.tv_sec == other.modified.tv_sec &&
           modified.tv_nsec == other.modified.tv_nsec;
  }
};

std::vector<std::byte> read_at(const std::string& path, std::uint64_t offset, std::size_t count) {
  std::vector<std::byte> data(count);
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t got = ::pread(file.get(), data.data(), count, static_cast<off_t>(offset));
  data.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return data;
}

// The same places for files of at least `size` bytes.
std::vector<std::byte> sample_of(const std::string& path, off_t size) {
  constexpr std::uint64_t pieces = 32;
  constexpr std::uint64_t length = 4096;
  std::vector<std::byte> sample;
  const auto bytes = static_cast<std::uint64_t>(size);
  for (std::uint64_t i = 0; i < pieces; ++i) {
    const std::uint64_t offset = bytes / pieces * i;
    const auto piece = read_at(path, offset, std::min(length, bytes - offset));
    sample.insert(sample.end(), piece.begin(), piece.end());
  }
  return sample;
}

// The regular files that the arguments name.  (By the time of their last
// change: they may be too large to be read.)
std::map<std::string, FileState> files_of(const Request& request) {
  std::map<std::string, FileState> files;
  for (const std::string& argument : request.arguments) {
    const std::string path = parse_parameter(argument).value;
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode))
      files[path] = {status.st_size, status.st_mtim, sample_of(path, status.st_size)};
  }
  return files;
}

using Contents = std::vector<std::vector<std::byte>>;

class Readonly {
 public:
  Readonly(CheckRun& run, Server& server)
      : run_(run), server_(server), places_(sample_places(run.subject())) {}

  void run() {
    Client client(server_);
    set_phase("opening read-only");
    if (!client.open(run_.request().export_name)) return run_.failed_to_start(client.failure());
    const auto before = read_all(client);
    find_disks(before);
    client.close();
    if (before.empty()) return;
    Client again(server_);
    if (!again.open(run_.request().export_name)) return;
    compare(before, read_all(again));
  }

  // Files that hold what the plugin serves, byte for byte.
  [[nodiscard]] const std::set<std::string>& disks() const { return disks_; }

 private:
  void find_disks(const Contents& contents) {
    for (const auto& [path, state] : files_of(run_.request())) {
      bool any = false;
      bool all = true;
      for (std::size_t i = 0; i < contents.size(); ++i) {
        const Place& place = places_[i];
        const auto end = static_cast<std::uint64_t>(state.size);
        if (contents[i].empty() || place.offset >= end || end - place.offset < place.count)
          continue;
        any = true;
        all = all && read_at(path, place.offset, place.count) == contents[i];
      }
      if (any && all) disks_.insert(path);
    }
  }

  // Empty when every read failed.
  Contents read_all(Client& client) {
    Contents contents;
    bool any = false;
    for (const Place& place : places_) {
      std::vector<std::byte> data(place.count);
      run_.count_operations(1);
      if (client.read(data, place.offset).ok())
        any = true;
      else
        data.clear();
      contents.push_back(std::move(data));
    }
    if (any || places_.empty()) return any ? contents : Contents{};
    // The probe could read, in a server without -r.
    if (!run_.subject().readable) return {};
    Violation v;
    v.rule = "capability.subsets";
    v.message =
        "With nbdkit -r nothing can be read. .can_write, .can_zero, .can_fast_zero, .can_trim and "
        ".can_fua are not called then; no other callback may need that they were.";
    v.expected = "reads work as they do without -r";
    v.actual = "error: " + run_.incidents().last_error();
    run_.violated(std::move(v));
    return {};
  }

  void compare(const Contents& before, const Contents& after) {
    if (!run_.subject().stable_contents || run_.request().unstable_contents) return;
    // A disk of its own for every connection may begin with other contents each time.
    if (run_.subject().persistence != Persistence::shared) return;
    for (std::size_t i = 0; i < before.size() && i < after.size(); ++i) {
      if (before[i].empty() || after[i].empty() || before[i] == after[i]) continue;
      Violation v;
      v.rule = "capability.readonly";
      v.message = fmt::format(
          "pread(count={}, offset={}) returns other data on a second connection, although the "
          "server is read-only: the first was opened by .open(readonly=1), read from, and closed.",
          places_[i].count, places_[i].offset);
      v.expected = "the same data";
      run_.violated(std::move(v));
      return;
    }
  }

  CheckRun& run_;
  Server& server_;
  std::vector<Place> places_;
  std::set<std::string> disks_;
};

// What is no copy of the disk may be a log of the plugin's, which grows, or begins
// anew: then only a change in the middle is one of the data.
bool may_be_log(const std::string& path, const FileState& before, const FileState& now) {
  return now.size < before.size || sample_of(path, before.size) == before.sample;
}

void compare_files(CheckRun& run, const std::map<std::string, FileState>& before,
                   const std::set<std::string>& disks) {
  const auto after = files_of(run.request());
  for (const auto& [path, state] : before) {
    const auto now = after.find(path);
    if (now != after.end() && (now->second.same_time(state) ||
                               (!disks.contains(path) && may_be_log(path, state, now->second))))
      continue;
    Violation v;
    v.rule = "capability.readonly";
    v.message = fmt::format("The file {} was {} while the server was read-only (nbdkit -r).", path,
                            now == after.end() ? "removed" : "changed");
    v.expected = "nothing is written after .open(readonly=1)";
    run.violated(std::move(v));
  }
}

const Registration registration{{
    .id = "capability.readonly",
    .summary = "nbdkit -r: reading works, nothing is changed",
    .rules = {"capability.readonly", "capability.subsets"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          const auto files = files_of(run.request());
          ServerOptions options = run.server_options();
          options.readonly = true;
          const auto server = run.serve(std::move(options));
          if (!server) return;
          Readonly readonly(run, *server);
          readonly.run();
          server->stop();
          compare_files(run, files, readonly.disks());
          run.report_incidents();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::capability_readonly
