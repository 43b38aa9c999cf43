// Zeroes where a hole was not allowed: is the range a hole afterwards?
#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "checks/client.hpp"
#include "checks/sequence_check.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::zero_holes {
namespace {

constexpr std::uint64_t area = 256U << 10;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Open files, block devices and sockets of this process: what a plugin can keep
// data in besides memory.
int open_storage() {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir("/proc/self/fd"));
  if (!directory) return 0;
  int count = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    struct stat status {};
    if (::fstatat(::dirfd(directory.get()), entry->d_name, &status, 0) != 0) continue;
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISSOCK(status.st_mode)) ++count;
  }
  return count;
}

class Holes {
 public:
  Holes(CheckRun& run, Client& client) : run_(run), client_(client) {}

  void look_at(std::uint64_t offset, std::uint32_t count) {
    // Twice, so that it is no chance.
    for (int i = 0; i < 2; ++i)
      if (!makes_hole(offset, count)) return;
    Violation v;
    v.rule = "zero.no-hole";
    v.message = fmt::format(
        "zero(count={}, offset={}, flags=0), without NBDKIT_FLAG_MAY_TRIM, made a hole where there "
        "was data.",
        count, offset);
    v.expected = "an extent without NBDKIT_EXTENT_HOLE: zeroes that are allocated";
    v.actual = fmt::format("[{}, {}) is a hole in the map of .extents", hole_.offset,
                           hole_.offset + hole_.length);
    run_.violated(std::move(v));
  }

 private:
  bool makes_hole(std::uint64_t offset, std::uint32_t count) {
    std::vector<std::byte> data(count);
    fill_tags(data, offset, ++tag_);
    if (!client_.write(data, offset).ok() || find_hole(offset, count) != Found::none) return false;
    run_.count_operations(3);
    return client_.zero(count, offset, command_flag::no_hole).ok() &&
           find_hole(offset, count) == Found::hole;
  }

  enum class Found { none, hole, unknown };
  // A hole of whole pages that lies inside of the range.
  Found find_hole(std::uint64_t offset, std::uint32_t count) {
    ExtentList list(offset, run_.subject().info.size);
    Reply reply;
    client_.run(
        [&](Connection& connection) { reply = connection.extents(count, offset, 0, list); });
    if (!reply.ok()) return Found::unknown;
    for (const Extent& extent : list.extents()) {
      const std::uint64_t begin = std::max(extent.offset, offset);
      const std::uint64_t end = std::min(extent.offset + extent.length, offset + count);
      if ((extent.type & extent_type::hole) == 0 || end < begin + 4096) continue;
      hole_ = {begin, end - begin, extent.type};
      return Found::hole;
    }
    return Found::none;
  }

  CheckRun& run_;
  Client& client_;
  std::uint32_t tag_ = 0;
  Extent hole_{};
};

std::string not_applicable(const Subject& subject) {
  if (subject.info.zero != zero_native) return "no .zero";
  if (!maps_extents(subject)) return "no .extents";
  return needs_writing(subject);
}

void run_check(CheckRun& run) {
  const int before = open_storage();
  const auto server = run.serve();
  if (!server) return;
  {
    Client client(*server);
    if (!client.open(run.request().export_name)) return run.failed_to_start(client.failure());
    if (open_storage() > before) {
      run.not_applicable("data not in memory: holes may be reserved space");
    } else {
      Holes holes(run, client);
      const std::uint64_t size = run.subject().info.size;
      const std::uint64_t count = std::min(area, size / 4096 * 4096);
      if (count != 0 && count % run.subject().minimum_block() == 0)
        for (const std::uint64_t offset : {std::uint64_t{0}, (size - count) / area * area})
          if (!run.found_any()) holes.look_at(offset, static_cast<std::uint32_t>(count));
    }
  }
  if (!run.found_any()) server->stop();
  run.report_incidents();
}

const Registration registration{{
    .id = "zero.holes",
    .summary = "a zero that may not make holes makes none",
    .rules = {"zero.no-hole"},
    .not_applicable = not_applicable,
    .run = run_check,
}};

}  // namespace
}  // namespace nbdcheck::checks::zero_holes
