#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "nbdcheck/nbdkit.hpp"
#include "nbdcheck/sandbox.hpp"
#include "target/program.hpp"

namespace nbdcheck {
namespace {

using Kind = NbdkitTrouble::Kind;
using std::chrono::milliseconds;

constexpr const char* socket_name = "nbdkit.sock";
constexpr const char* pid_file_name = "nbdkit.pid";
// Where nbdkit finds the directory of a socket whose path is too long.
constexpr int given_directory = 3;

NbdkitTrouble ours(const char* what, const std::string& where) {
  return {Kind::ours, fmt::format("{} {}: {}", what, where, std::strerror(errno)), ""};
}

// The last line that says something, for a message of one line.
std::string last_line(std::string_view log) {
  while (!log.empty() && log.back() == '\n') log.remove_suffix(1);
  const auto begin = log.rfind('\n');
  return std::string(begin == std::string_view::npos ? log : log.substr(begin + 1));
}

bool fits(const std::string& path) { return path.size() < sizeof(sockaddr_un::sun_path); }

// nbdkit takes anything with a dot or a slash for a file, and looks for a file
// without a slash everywhere but here (dlopen(3)); nbdcheck means the file.
std::vector<std::string> plugin_words(const NbdkitOptions& options) {
  std::vector<std::string> words{options.plugin};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  return words;
}

bool has_content(int directory, const char* name) {
  const int file = ::openat(directory, name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char first = 0;
  const bool some = ::read(file, &first, 1) == 1;
  ::close(file);
  return some;
}

}  // namespace

tl::expected<std::unique_ptr<NbdkitProcess>, NbdkitTrouble> NbdkitProcess::start(
    const NbdkitProgram& program, NbdkitOptions options) {
  std::unique_ptr<NbdkitProcess> nbdkit(new NbdkitProcess);
  nbdkit->options_ = std::move(options);
  const NbdkitOptions& wanted = nbdkit->options_;
  nbdkit->directory_ = ::open(wanted.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (nbdkit->directory_ < 0) return tl::unexpected(ours("cannot open", wanted.directory));
  ::unlinkat(nbdkit->directory_, socket_name, 0);
  ::unlinkat(nbdkit->directory_, pid_file_name, 0);

  const std::string socket = fmt::format("{}/{}", wanted.directory, socket_name);
  const bool short_enough = fits(socket);
  Program::Spec spec;
  spec.words = {
      program.path,
      "-f",
      "--exit-with-parent",
      "-U",
      short_enough ? socket : fmt::format("/proc/self/fd/{}/{}", given_directory, socket_name),
      "-P",
      fmt::format("{}/{}", wanted.directory, pid_file_name)};
  if (wanted.readonly) spec.words.emplace_back("-r");
  for (std::string& word : plugin_words(wanted)) spec.words.push_back(std::move(word));
  nbdkit->words_ = spec.words;
  if (!short_enough) spec.inherited = nbdkit->directory_;
  auto started = Program::start(std::move(spec));
  if (!started) return tl::unexpected(NbdkitTrouble{Kind::ours, started.error(), ""});
  nbdkit->program_ = std::move(*started);

  // The pid file is written when the socket takes clients.
  const auto limit = std::chrono::duration_cast<milliseconds>(wanted.limit * time_scale());
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!has_content(nbdkit->directory_, pid_file_name)) {
    if (nbdkit->program_->wait(milliseconds(2)))
      return tl::unexpected(nbdkit->how_it_ended("before it served"));
    if (std::chrono::steady_clock::now() > end)
      return tl::unexpected(
          NbdkitTrouble{Kind::hung,
                        fmt::format("nbdkit did not begin to serve within {:.1f} s",
                                    std::chrono::duration<double>(limit).count()),
                        nbdkit->log()});
  }
  return nbdkit;
}

tl::expected<std::string, NbdkitTrouble> NbdkitProcess::dump_plugin(const NbdkitProgram& program,
                                                                    const NbdkitOptions& options) {
  Program::Spec spec;
  spec.words = {program.path, "--dump-plugin"};
  for (std::string& word : plugin_words(options)) spec.words.push_back(std::move(word));
  auto started = Program::start(std::move(spec));
  if (!started) return tl::unexpected(NbdkitTrouble{Kind::ours, started.error(), ""});
  Program& running = **started;
  if (!running.wait(std::chrono::duration_cast<milliseconds>(options.limit * time_scale())))
    return tl::unexpected(NbdkitTrouble{Kind::hung, "nbdkit --dump-plugin did not come to its end",
                                        running.standard_error()});
  const ProgramEnd end = running.end();
  if (!end.signalled && end.value == 0) return running.standard_output();
  return tl::unexpected(NbdkitTrouble{
      end.signalled ? Kind::died : Kind::refused,
      fmt::format("nbdkit --dump-plugin {}: {}", end.words(), last_line(running.standard_error())),
      running.standard_error()});
}

NbdkitProcess::~NbdkitProcess() {
  program_.reset();
  if (directory_ < 0) return;
  ::unlinkat(directory_, socket_name, 0);
  ::unlinkat(directory_, pid_file_name, 0);
  ::close(directory_);
}

int NbdkitProcess::pid() const { return program_->pid(); }

std::string NbdkitProcess::log() const { return program_->standard_error(); }

int NbdkitProcess::connect() const {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // By the descriptor: a path of any length.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory_, socket_name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

NbdkitTrouble NbdkitProcess::how_it_ended(std::string_view when) const {
  const ProgramEnd end = program_->end();
  const std::string text = log();
  const std::string line = last_line(text);
  NbdkitTrouble trouble;
  trouble.kind = end.signalled                ? Kind::died
                 : when == "before it served" ? Kind::refused
                                              : Kind::ended;
  trouble.message =
      fmt::format("nbdkit {} {}{}{}", end.words(), when, line.empty() ? "" : ": ", line);
  trouble.log = text;
  return trouble;
}

std::optional<NbdkitTrouble> NbdkitProcess::trouble() const {
  if (stopped_) return std::nullopt;
  // A crash shows to the client before it does to wait(2): the kernel writes
  // the core first.
  if (!program_->wait(milliseconds(300))) return std::nullopt;
  return how_it_ended("while it served");
}

tl::expected<void, NbdkitTrouble> NbdkitProcess::stop() {
  if (program_->is_over()) {
    if (stopped_) return {};
    return tl::unexpected(how_it_ended("while it served"));
  }
  stopped_ = true;
  const auto limit = std::chrono::duration_cast<milliseconds>(options_.limit * time_scale());
  if (!program_->terminate(limit))
    return tl::unexpected(NbdkitTrouble{
        Kind::hung,
        fmt::format("nbdkit did not end within {:.1f} s of SIGTERM, although all clients had left",
                    std::chrono::duration<double>(limit).count()),
        log()});
  const ProgramEnd end = program_->end();
  if (end.signalled || end.value != 0) return tl::unexpected(how_it_ended("when it was stopped"));
  return {};
}

}  // namespace nbdcheck
