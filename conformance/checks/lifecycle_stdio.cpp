// nbdkit -s: the client is on standard input and output, and nbdkit_stdio_safe
// says so.  Who reads or prints all the same, before nbdkit has moved the client
// away, spoils the protocol.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "checks/check_run.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_stdio {
namespace {

// Standing in for a client that has already sent its first bytes.
constexpr std::string_view client_sent = "first words of a client\n";

class Stdio {
 public:
  explicit Stdio(CheckRun& run) : run_(run) {}

  void run() {
    set_phase("moving standard input and output away");
    input_ = ::memfd_create("stdin", MFD_CLOEXEC);
    output_ = ::memfd_create("stdout", MFD_CLOEXEC);
    if (input_ < 0 || output_ < 0) return run_.unknown("no memory for files");
    if (::write(input_, client_sent.data(), client_sent.size()) < 0) return;
    ::lseek(input_, 0, SEEK_SET);
    std::fflush(nullptr);
    const int own_output = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    ::dup2(input_, STDIN_FILENO);
    ::dup2(output_, STDOUT_FILENO);
    start();
    std::fflush(stdout);
    ::dup2(own_output, STDOUT_FILENO);
    ::close(own_output);
  }

 private:
  void start() {
    ServerOptions options = run_.server_options();
    options.single = true;
    options.redirect_stdio = false;
    auto server = run_.load(std::move(options));
    if (!server || spoilt("dlopen or .load")) return leave(std::move(server));
    set_phase("configuring the plugin as for nbdkit -s");
    // What needs the terminal may well refuse to start; it must not read.
    const bool configured = server->config(run_.request().arguments).has_value() &&
                            !spoilt(".config") && server->config_complete().has_value();
    if (spoilt(".config or .config_complete") || !configured) return leave(std::move(server));
    set_phase("getting ready as for nbdkit -s");
    const bool ready = server->get_ready().has_value();
    if (spoilt(".get_ready") || !ready) return leave(std::move(server));
    leave(std::move(server));
  }

  // The life ends here, as if nbdkit had been killed.
  static void leave(std::unique_ptr<Server> server) { static_cast<void>(server.release()); }

  bool spoilt(const char* step) {
    if (run_.found_any()) return true;
    std::fflush(stdout);
    const off_t read = ::lseek(input_, 0, SEEK_CUR);
    const off_t written = ::lseek(output_, 0, SEEK_END);
    if (read <= 0 && written <= 0) return false;
    Violation v;
    v.rule = "lifecycle.stdio-safe";
    v.message = fmt::format("nbdkit_stdio_safe() was 0, as with nbdkit -s, and {} {}.", step,
                            read > 0 ? "read from standard input" : "wrote to standard output");
    v.expected = "neither is touched: the client is there";
    if (read > 0) {
      v.actual = fmt::format("{} bytes of the client's are gone", read);
    } else {
      std::string text(std::min<std::size_t>(static_cast<std::size_t>(written), 80), '\0');
      const ssize_t got = ::pread(output_, text.data(), text.size(), 0);
      text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      v.actual = "the client gets: " + text;
    }
    run_.violated(std::move(v));
    return true;
  }

  CheckRun& run_;
  int input_ = -1;
  int output_ = -1;
};

const Registration registration{{
    .id = "lifecycle.stdio",
    .summary = "standard input and output are left alone where nbdkit_stdio_safe() is 0",
    .rules = {"lifecycle.stdio-safe"},
    .not_applicable = {},
    .run =
        [](CheckRun& run) {
          if (run.job().in_process) return run.unknown("needs a process of its own");
          Stdio(run).run();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_stdio
