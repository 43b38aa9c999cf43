// Runs the probe plugin in the installed nbdkit, driven through libnbd, and in
// our server, and compares answer by answer what the plugin was told and what
// the client saw.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <libnbd.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nbdcheck/server.hpp"

namespace nbdcheck {
namespace {

using Lines = std::vector<std::string>;

constexpr int lists = 3;             // of probe_list_exports
constexpr std::size_t scripts = 25;  // of inputs.h, one per 4096 bytes
constexpr std::array<std::uint32_t, 3> counts{512, 4096, 65536};
const std::array<std::string, 3> export_names{"", "named", "with space/\xc3\xa9 %s"};

Lines read_lines(const std::string& path) {
  std::ifstream file(path);
  Lines lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// What both clients write down of a BLOCK_STATUS.
std::string status_line(std::size_t script, std::uint32_t count, bool req_one, int error,
                        const std::vector<BlockDescriptor>& descriptors) {
  std::string line = "script " + std::to_string(script) + " count " + std::to_string(count) +
                     (req_one ? " req_one" : "") + ": error " + std::to_string(error);
  for (const BlockDescriptor& d : descriptors) {
    line += " " + std::to_string(d.length) + ":" + std::to_string(d.status);
  }
  return line;
}

// Of a list that failed only the failure counts.
void note_list(Lines& seen, bool succeeded, const Lines& exports) {
  seen.push_back(succeeded ? "list of " + std::to_string(exports.size()) : "list failed");
  if (succeeded) seen.insert(seen.end(), exports.begin(), exports.end());
}

class Scratch {
 public:
  Scratch() {
    path_ = (std::filesystem::temp_directory_path() / "probe.XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string operator/(const char* name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<std::string> arguments(const Scratch& scratch, const std::string& out) {
  return {"out=" + out, "scratch=" + scratch.path(), "key=", "k.e_y-1=a=b", "bare words", "9=x"};
}

// --- the real server ---------------------------------------------------------

class Nbdkit {
 public:
  Nbdkit(const std::string& socket, const std::vector<std::string>& plugin_arguments) {
    // Written when it listens; the socket is there a moment earlier.
    const std::string ready = socket + ".pid";
    std::vector<std::string> words{NBDKIT_PROGRAM, "-f", "-U", socket, "-P", ready, PROBE_PLUGIN};
    words.insert(words.end(), plugin_arguments.begin(), plugin_arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      const int null = open("/dev/null", O_RDWR);
      dup2(null, 0);
      dup2(null, 2);  // thousands of expected messages
      execv(argv[0], argv.data());
      _exit(127);
    }
    while (!std::filesystem::exists(ready) && !ended()) pause_briefly();
  }
  ~Nbdkit() { stop(); }
  Nbdkit(const Nbdkit&) = delete;
  Nbdkit& operator=(const Nbdkit&) = delete;

  int stop() {
    if (pid_ > 0 && !ended()) {
      kill(pid_, SIGTERM);
      waitpid(pid_, &status_, 0);
      pid_ = -1;
    }
    return status_;
  }
  static void pause_briefly() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }

 private:
  bool ended() {
    if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
  }
  pid_t pid_ = -1;
  int status_ = 0;
};

struct CloseNbd {
  void operator()(nbd_handle* nbd) const { nbd_close(nbd); }
};
using Client = std::unique_ptr<nbd_handle, CloseNbd>;

int note_export(void* lines, const char* name, const char* description) {
  static_cast<Lines*>(lines)->push_back("export " + std::string(name) + " | " + description);
  return 0;
}

int note_extents(void* descriptors, const char* /*context*/, std::uint64_t /*offset*/,
                 std::uint32_t* entries, std::size_t size, int* /*error*/) {
  for (std::size_t i = 0; i + 1 < size; i += 2) {
    static_cast<std::vector<BlockDescriptor>*>(descriptors)
        ->push_back({entries[i], entries[i + 1]});
  }
  return 0;
}

Client connect(const std::string& socket, const std::string& export_name) {
  Client nbd(nbd_create());
  nbd_set_strict_mode(nbd.get(), 0);
  nbd_set_full_info(nbd.get(), true);
  nbd_add_meta_context(nbd.get(), LIBNBD_CONTEXT_BASE_ALLOCATION);
  nbd_set_export_name(nbd.get(), export_name.c_str());
  nbd_set_opt_mode(nbd.get(), true);
  EXPECT_EQ(nbd_connect_unix(nbd.get(), socket.c_str()), 0) << nbd_get_error();
  return nbd;
}

// A connection's .close runs after the client left; the next step must not
// overtake it.
void wait_for_closes(const std::string& out, std::ptrdiff_t expected) {
  for (int i = 0; i < 2000; ++i) {
    const Lines lines = read_lines(out);
    if (std::count(lines.begin(), lines.end(), "== close") >= expected) return;
    Nbdkit::pause_briefly();
  }
  FAIL() << "no .close";
}

void drive_nbdkit(const Scratch& scratch, const std::string& out, Lines& seen) {
  const std::string socket = scratch / "socket";
  Nbdkit nbdkit(socket, arguments(scratch, out));
  for (int list = 0; list < lists; ++list) {
    const Client nbd = connect(socket, "");
    Lines exports;
    const int result = nbd_opt_list(nbd.get(), {note_export, &exports, nullptr});
    note_list(seen, result >= 0, exports);
    nbd_opt_abort(nbd.get());
  }
  std::ptrdiff_t closes = 0;
  for (const std::string& name : export_names) {
    const Client nbd = connect(socket, name);
    EXPECT_EQ(nbd_opt_info(nbd.get()), 0) << nbd_get_error();  // opens and closes
    ASSERT_EQ(nbd_opt_go(nbd.get()), 0) << nbd_get_error();
    seen.push_back("size " + std::to_string(nbd_get_size(nbd.get())));
    std::array<char, 512> data{};
    EXPECT_EQ(nbd_pread(nbd.get(), data.data(), data.size(), 512, 0), 0) << nbd_get_error();
    for (std::size_t script = 0; script < scripts; ++script) {
      for (const std::uint32_t count : counts) {
        for (const bool req_one : {false, true}) {
          std::vector<BlockDescriptor> descriptors;
          const int result = nbd_block_status(nbd.get(), count, script * 4096,
                                              {note_extents, &descriptors, nullptr},
                                              req_one ? LIBNBD_CMD_FLAG_REQ_ONE : 0);
          seen.push_back(
              status_line(script, count, req_one, result == 0 ? 0 : nbd_get_errno(), descriptors));
        }
      }
    }
    EXPECT_EQ(nbd_shutdown(nbd.get(), 0), 0);
    wait_for_closes(out, closes += 2);
  }
  EXPECT_EQ(nbdkit.stop(), 0);
}

// --- ours --------------------------------------------------------------------

void drive_connection(Server& server, const std::string& name, Lines& seen) {
  auto connection = server.connect();
  ASSERT_TRUE(connection.has_value()) << connection.error().message;
  EXPECT_TRUE((*connection)->info(name).has_value());
  const auto info = (*connection)->open(name);
  ASSERT_TRUE(info.has_value()) << info.error().message;
  seen.push_back("size " + std::to_string(info->size));
  std::array<std::byte, 512> data{};
  EXPECT_TRUE((*connection)->read(data, 512).ok());
  for (std::size_t script = 0; script < scripts; ++script) {
    for (const std::uint32_t count : counts) {
      for (const bool req_one : {false, true}) {
        ExtentList list(0, 0);
        const std::uint32_t flags = req_one ? command_flag::req_one : 0;
        const Reply reply = (*connection)->extents(count, script * 4096, flags, list);
        std::vector<BlockDescriptor> descriptors;
        if (reply.ok()) descriptors = to_block_descriptors(list, script * 4096, count, req_one);
        seen.push_back(
            status_line(script, count, req_one, wire_error(reply.error, flags), descriptors));
      }
    }
  }
  (*connection)->close();
}

void list_exports(Server& server, Lines& seen) {
  auto connection = server.connect();
  ASSERT_TRUE(connection.has_value());
  const auto list = (*connection)->list_exports();
  Lines exports;
  if (list) {
    for (const Export& e : list->exports()) {
      note_export(&exports, e.name.c_str(), e.description.c_str());
    }
  }
  note_list(seen, list.has_value(), exports);
}

void drive_ours(const Scratch& scratch, const std::string& out, Lines& seen) {
  NullObserver observer;
  auto loaded = Server::load(PROBE_PLUGIN, {}, observer);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  Server& server = **loaded;
  const auto words = arguments(scratch, out);
  ASSERT_TRUE(server.configure(words).has_value());
  ASSERT_TRUE(server.start().has_value());
  for (int i = 0; i < lists; ++i) {
    std::thread([&] { list_exports(server, seen); }).join();
  }
  for (const std::string& name : export_names) {
    std::thread([&] { drive_connection(server, name, seen); }).join();
  }
  server.stop();
}

int compare(const Lines& theirs, const Lines& ours) {
  int different = 0;
  std::string where;
  for (std::size_t i = 0; i < std::min(theirs.size(), ours.size()); ++i) {
    if (theirs[i].starts_with("== ")) where = theirs[i];
    if (theirs[i] == ours[i]) continue;
    if (++different > 20) break;
    ADD_FAILURE() << "line " << i + 1 << ", " << where << "\n  nbdkit: " << theirs[i]
                  << "\n  ours:   " << ours[i];
  }
  EXPECT_EQ(theirs.size(), ours.size());
  return different;
}

TEST(Probe, EveryAnswerIsNbdkits) {
  if (!std::filesystem::exists(NBDKIT_PROGRAM)) GTEST_SKIP() << "no nbdkit installed";
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  ASSERT_GE(null, 0);
  dup2(null, 0);  // as nbdkit's: passwords must not be asked for here
  const Scratch scratch;
  const std::string their_out = scratch / "nbdkit.txt";
  const std::string our_out = scratch / "ours.txt";
  Lines their_client;
  Lines our_client;
  drive_nbdkit(scratch, their_out, their_client);
  drive_ours(scratch, our_out, our_client);
  if (HasFatalFailure()) return;

  const Lines theirs = read_lines(their_out);
  const Lines ours = read_lines(our_out);
  EXPECT_GT(theirs.size(), 5000u);
  EXPECT_GT(their_client.size(), 10000u);
  const int different = compare(theirs, ours) + compare(their_client, our_client);
  std::cout << "compared " << theirs.size() << " answers to the plugin and " << their_client.size()
            << " to the client, " << different << " differ\n";
}

}  // namespace
}  // namespace nbdcheck
