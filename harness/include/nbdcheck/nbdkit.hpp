// The real nbdkit, serving a plugin on a unix socket, and a target that drives
// it through libnbd.
//
//   auto program = NbdkitProgram::find("");                     // in $PATH
//   auto nbdkit = NbdkitProcess::start(*program, {.plugin = "./libmyplugin.so",
//                                                 .arguments = {"size=1M"},
//                                                 .directory = scratch});
//   NbdkitTarget target(**nbdkit);
//   auto session = target.open("");
//   (*session)->read(buffer, 0, 0);
//   (*nbdkit)->stop();
//
// Whatever happens to it, the process, its children and its socket are gone
// when the NbdkitProcess is, and every step has a time limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "nbdcheck/target.hpp"

namespace nbdcheck {

class Program;

// What went wrong beside us.
struct NbdkitTrouble {
  enum class Kind : std::uint8_t {
    missing,  // no nbdkit, or no libnbd
    too_old,  // a version that lacks what is needed here
    refused,  // it ended by itself before it served, with an exit status
    died,     // killed by a signal: a crash, an assertion
    ended,    // it left by exit() while it served
    hung,     // a time limit was reached
    ours,     // a limit of the system: no process, no directory
  };
  Kind kind = Kind::ours;
  std::string message;  // one line, for a person
  std::string log;      // the end of what nbdkit and the plugin printed
};

struct NbdkitProgram {
  std::string path;
  std::string version;         // "1.32.5"
  std::string libnbd_version;  // of the client library, "1.14.2"

  // The oldest whose answers are worth comparing with ours: exports and their
  // names came with 1.22 and 1.24.
  static constexpr int oldest_minor = 24;

  // `path` "": in $PATH, and where distributions put it (/usr/sbin).
  static tl::expected<NbdkitProgram, NbdkitTrouble> find(const std::string& path);
};

struct NbdkitOptions {
  std::string plugin;  // as nbdkit takes it: a path with a slash, or a name
  std::vector<std::string> arguments;
  bool readonly = false;                   // -r
  std::string directory;                   // exists; gets the socket, which may lie deep
  std::chrono::milliseconds limit{10000};  // for the start, each reply, and the end
};

class NbdkitProcess {
 public:
  // Returns when it serves.
  static tl::expected<std::unique_ptr<NbdkitProcess>, NbdkitTrouble> start(
      const NbdkitProgram& program, NbdkitOptions options);
  ~NbdkitProcess();
  NbdkitProcess(const NbdkitProcess&) = delete;
  NbdkitProcess& operator=(const NbdkitProcess&) = delete;

  // `nbdkit --dump-plugin`: what it prints on standard output.
  static tl::expected<std::string, NbdkitTrouble> dump_plugin(const NbdkitProgram& program,
                                                              const NbdkitOptions& options);

  // As a person would type it.
  [[nodiscard]] const std::vector<std::string>& command_line() const { return words_; }
  [[nodiscard]] const NbdkitOptions& options() const { return options_; }
  [[nodiscard]] int pid() const;
  [[nodiscard]] std::string log() const;

  // A connected socket; -1 and errno.
  [[nodiscard]] int connect() const;

  // Whether it is gone although nobody asked it to go; waits a moment for that
  // to show, as a client sees the end of a connection before anybody sees the
  // end of the process.
  [[nodiscard]] std::optional<NbdkitTrouble> trouble() const;

  // SIGTERM, as an administrator ends it; clients should have left.
  tl::expected<void, NbdkitTrouble> stop();

 private:
  NbdkitProcess() = default;
  [[nodiscard]] NbdkitTrouble how_it_ended(std::string_view when) const;

  NbdkitOptions options_;
  std::vector<std::string> words_;
  std::unique_ptr<Program> program_;
  int directory_ = -1;  // descriptor, by which a socket of any path is reached
  bool stopped_ = false;
};

// A session over libnbd.  The synchronous calls of Session wait for the reply;
// submit() and next() keep many requests in flight on the one connection.
class NbdkitSession final : public Session {
 public:
  struct Request {
    Command command = Command::read;
    std::uint32_t flags = 0;
    std::uint32_t count = 0;  // of trim, zero, cache, extents
    std::uint64_t offset = 0;
    std::span<std::byte> into = {};        // read: stays valid until the reply
    std::span<const std::byte> data = {};  // write: the same
    ExtentList* list = nullptr;            // extents
  };
  struct Done {
    std::uint64_t ticket = 0;
    Reply reply;
  };

  ~NbdkitSession() override;  // an orderly disconnect where that is possible

  [[nodiscard]] const ExportInfo& info() const override;
  Reply read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags) override;
  Reply write(std::span<const std::byte> buffer, std::uint64_t offset,
              std::uint32_t flags) override;
  Reply flush() override;
  Reply trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override;
  Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override;
  Reply cache(std::uint32_t count, std::uint64_t offset) override;
  Reply extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                ExtentList& list) override;

  // Errors are those the client sees (wire_error()).  A request that cannot be
  // sent, or whose reply does not come in time, is done with ENOTCONN, and so
  // are all others of the connection, which is lost then.
  std::uint64_t submit(const Request& request);
  // The next reply in the order in which they come; nothing: none in flight.
  std::optional<Done> next();
  // The same without waiting: a reply that has come, if one has.
  std::optional<Done> take();
  // For a poll() of one's own: what to wait for on which descriptor (-1: the
  // connection is lost), and what poll() said.
  [[nodiscard]] int descriptor() const;
  [[nodiscard]] short events() const;
  void handle(short happened);
  // All that is in flight is done with ENOTCONN, and so is what comes.
  void give_up(std::string why);
  [[nodiscard]] std::chrono::milliseconds limit() const;
  [[nodiscard]] std::size_t in_flight() const;
  // Why the connection is gone; "": it is not.
  [[nodiscard]] const std::string& lost() const;

 private:
  friend class NbdkitTarget;
  struct Impl;
  explicit NbdkitSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// An export as the list names it.
struct ListedExport {
  std::string name;
  std::string description;
};

class NbdkitTarget final : public Target {
 public:
  explicit NbdkitTarget(NbdkitProcess& process) : process_(process) {}
  tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view export_name) override;
  tl::expected<std::unique_ptr<NbdkitSession>, Failure> connect(std::string_view export_name);
  // NBD_OPT_LIST, on a connection of its own.
  tl::expected<std::vector<ListedExport>, Failure> list();

  [[nodiscard]] NbdkitProcess& process() { return process_; }

 private:
  NbdkitProcess& process_;
};

// The same exports, for requests of several threads at once: those of one
// session share its connection, as many in flight as there are threads.
class SharedNbdkitTarget final : public Target {
 public:
  explicit SharedNbdkitTarget(NbdkitProcess& process) : target_(process) {}
  tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view export_name) override;
  // Why a connection was lost, if one was.
  [[nodiscard]] std::string lost() const;

 private:
  class SharedSession;
  NbdkitTarget target_;
  mutable std::mutex mutex_;
  std::string lost_;
};

}  // namespace nbdcheck
