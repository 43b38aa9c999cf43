// The files that hold the data go away for a while, or may not grow: somebody
// moves them, puts something else in their place, sets RLIMIT_FSIZE.  Requests
// and clients may fail then; what was acknowledged must be there, and when all
// is as it was the plugin serves again.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "checks/backing_roots.hpp"
#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "checks/language_runtime.hpp"
#include "checks/leak.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::error_storage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view lost = "lost ";        // an answer: what was acknowledged is not there
constexpr std::string_view leaks = "leaves ";     // each client that is refused
constexpr std::string_view for_good = "failed ";  // it does not serve any more

// While it lives files cannot be longer than that.  The signal that goes with it
// would end nbdkit, whatever the plugin does.
class FileLimit {
 public:
  explicit FileLimit(std::uint64_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    if (::getrlimit(RLIMIT_FSIZE, &before_) != 0) return;
    rlimit less = before_;
    less.rlim_cur = std::min<rlim_t>(bytes, before_.rlim_cur);
    active_ = ::setrlimit(RLIMIT_FSIZE, &less) == 0;
  }
  ~FileLimit() {
    if (active_) ::setrlimit(RLIMIT_FSIZE, &before_);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit before_{};
  bool active_ = false;
};

// In a copy of the process, with files that are this check's alone.
class Storage {
 public:
  Storage(const CheckRun& run, Server& server, std::vector<std::string> files)
      : run_(run),
        server_(server),
        files_(std::move(files)),
        places_(sample_places(run.subject())),
        visitor_(server) {}

  // "": nothing wrong.
  std::string move_away() {
    if (!serves()) return "";
    for (const std::string& file : files_) {
      const std::string aside = file + ".aside";
      if (std::rename(file.c_str(), aside.c_str()) != 0) continue;
      serves();
      const Leak leak = leak_of_refusals();
      ::unlink(file.c_str());  // the plugin may have made a new one
      if (::mkdir(file.c_str(), 0700) == 0) {
        serves();
        ::rmdir(file.c_str());
      }
      if (std::rename(aside.c_str(), file.c_str()) != 0) return "";
      if (leak.of == Leak::Of::nothing) continue;
      // Not of refusing them, if those who are served leave as much.
      if (!opens() || find_leak(clients, [&] { come_and_go(); }).of == leak.of) continue;
      return fmt::format("{}{} {}", leaks, leak.per_request,
                         leak.of == Leak::Of::memory ? "bytes of memory" : "file descriptors");
    }
    return serves() || serves() ? "" : std::string(for_good) + failure_;
  }

  std::string limit_size() {
    Client client(server_);
    if (!client.open(run_.request().export_name) || !client.info().can_write) return "";
    std::uint64_t size = 0;
    for (const std::string& file : files_) {
      struct stat status {};
      if (::stat(file.c_str(), &status) == 0)
        size = std::max(size, static_cast<std::uint64_t>(status.st_size));
    }
    // The limit is in the middle of a request, for those that keep data where
    // the client does.
    const std::uint64_t block = run_.subject().minimum_block();
    const std::uint64_t middle = size / 2 / block * block;
    const std::uint64_t most = run_.subject().maximum_request() / block * block;
    const auto length =
        static_cast<std::uint32_t>(std::min(most, (8192 + block - 1) / block * block));
    if (middle >= length && middle + length <= run_.subject().info.size)
      places_.push_back({middle - length / 2 / block * block, length});
    // There may be places that can never be written to: partition tables.
    std::erase_if(places_, [&](const Place& place) {
      return !write(client, place, std::byte{0x50}) || !write(client, place, std::byte{0x50});
    });
    std::vector<Place> acknowledged;
    {
      const FileLimit limit(middle);
      for (const Place& place : places_)
        if (write(client, place, std::byte{0x51})) acknowledged.push_back(place);
      if (client.info().can_flush && !client.flush().ok()) acknowledged.clear();
    }
    for (const Place& place : acknowledged) {
      std::vector<std::byte> data(place.count, std::byte{0xe7});
      if (!client.read(data, place.offset).ok()) continue;
      // Places can overlap on a small disk; all were written with the same.
      const auto wrong =
          std::ranges::find_if(data, [](std::byte b) { return b != std::byte{0x51}; });
      if (wrong == data.end()) continue;
      return fmt::format("{}pwrite(count={}, offset={}) succeeded; of it, byte {} is not there",
                         lost, place.count, place.offset, wrong - data.begin());
    }
    const auto all_work = [&](Client& user) {
      return std::ranges::all_of(places_, [&](const Place& place) {
        return write(user, place, std::byte{0x52}) || write(user, place, std::byte{0x52});
      });
    };
    if (all_work(client)) return "";
    client.close();
    Client fresh(server_);
    if (fresh.open(run_.request().export_name) && all_work(fresh)) return "";
    return std::string(for_good) + "writing";
  }

 private:
  static constexpr std::uint64_t clients = 16;  // in one round

  bool opens() {
    const bool opened = visitor_.open(run_.request().export_name);
    visitor_.close();
    return opened;
  }
  void come_and_go() {
    for (std::uint64_t i = 0; i < clients; ++i) (void)opens();
  }
  Leak leak_of_refusals() {
    if (collects_garbage(run_.subject().plugin.path)) return {};
    constexpr std::chrono::milliseconds slow{2};
    const auto begin = std::chrono::steady_clock::now();
    if (opens() || std::chrono::steady_clock::now() - begin > slow || opens()) return {};
    return find_leak(clients, [&] { come_and_go(); });
  }

  // A client of its own that reads, as all clients do.
  bool serves() {
    Client client(server_);
    if (!client.open(run_.request().export_name)) {
      failure_ = "opening the export: " + client.failure().message;
      return false;
    }
    std::vector<std::byte> data;
    for (const Place& place : places_) {
      data.resize(place.count);
      if (client.read(data, place.offset).ok()) continue;
      failure_ = fmt::format("pread(count={}, offset={})", place.count, place.offset);
      return false;
    }
    return true;
  }

  static bool write(Client& client, const Place& place, std::byte value) {
    const std::vector<std::byte> data(place.count, value);
    return client.write(data, place.offset).ok();
  }

  const CheckRun& run_;
  Server& server_;
  std::vector<std::string> files_;
  std::vector<Place> places_;
  Client visitor_;  // comes and goes
  std::string failure_;
};

struct Trouble {
  const char* what;  // "after ..."
  std::string (Storage::*make)();
};
constexpr Trouble troubles[] = {
    {"after the file had been moved away, and back", &Storage::move_away},
    {"after a while in which files could not grow (RLIMIT_FSIZE)", &Storage::limit_size}};

void judge(CheckRun& run, const std::string& answer, const Trouble& trouble) {
  if (answer.starts_with(leaks)) {
    Violation v;
    v.rule = "error.leak";
    v.message = fmt::format(
        "While its file was away, each client that was refused left {} behind; clients that are "
        "served leave none.",
        answer.substr(leaks.size()));
    v.expected = "what a refused .open had taken is given back";
    v.actual = "more after each round of clients, again and again";
    return run.violated(std::move(v));
  }
  const bool is_lost = answer.starts_with(lost);
  if (!is_lost && !answer.starts_with(for_good)) return;
  Violation v;
  v.rule = is_lost ? "data.partial-io" : "error.recovers";
  v.message = is_lost ? "A file could not be written to beyond its limit (EFBIG), and the client "
                        "was told that all is well."
                      : fmt::format("It serves no more {}.", trouble.what);
  v.expected = is_lost ? "an error for the request" : "a client that comes later is served";
  v.actual = is_lost ? answer.substr(lost.size()) : "error in " + answer.substr(for_good.size());
  run.violated(std::move(v));
}

void run_check(CheckRun& run) {
  std::vector<std::string> files;
  for (const std::string& root : backing_roots(run))
    if (is_own_copy(run, root) && fs::is_regular_file(root)) files.push_back(root);
  if (files.empty()) return;
  for (const Trouble& trouble : troubles) {
    set_phase("making trouble for the files");
    LifeEnd end =
        run_life(run, {run.request().arguments, run.server_options(), [&](Server& server) {
                         Storage storage(run, server, files);
                         return (storage.*trouble.make)();
                       }});
    run.count_operations(1);
    // EFBIG, EISDIR: which errno tells a client best is not what is looked for.
    end.incidents.clear();
    if (report_life(run, end, trouble.what)) return;
    if (end.answer) judge(run, *end.answer, trouble);
  }
}

std::string not_applicable(const Subject& subject) {
  if (!subject.has("config")) return "no .config";
  if (subject.info.size == 0) return "size is 0";
  const bool names_file = std::ranges::any_of(subject.arguments, [](const std::string& argument) {
    return parse_parameter(argument).value.find('/') != std::string::npos;
  });
  return names_file ? "" : "no argument names a file";
}

const Registration registration{{
    .id = "error.storage",
    .summary = "files that are away for a while, or cannot grow: a failure, and not for good",
    .rules = {"error.recovers", "error.leak", "data.partial-io"},
    .not_applicable = not_applicable,
    .run = run_check,
}};

}  // namespace
}  // namespace nbdcheck::checks::error_storage
