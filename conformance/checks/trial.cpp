#include "checks/trial.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

using Clock = std::chrono::steady_clock;

// The first byte of what a trial says for our own ears.
constexpr char in_background = '\1';  // followed by the new process's id
constexpr char at_its_end = '\2';

// What the copy wrote is the plugin's word as well: it has the descriptor.
constexpr std::size_t most_said = 1U << 20;

// Ended, and its parent has not asked for its status.
bool is_zombie(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(") ");
  return name_end != std::string::npos && text.at(name_end + 2) == 'Z';
}

struct Watched {
  pid_t pid = 0;
  bool ended = false;
  int status = 0;

  // A child of another process (`parent`) is ours only once that has ended.
  void look(const Watched* parent = nullptr) {
    if (pid == 0 || ended) return;
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got < 0 && errno == ECHILD)
      ended = parent == nullptr || parent->ended || is_zombie(pid);
    else
      ended = got == pid;
  }
  [[nodiscard]] int signal() const { return ended && WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
};

class Listener {
 public:
  explicit Listener(int pipe) : pipe_(pipe) {}

  void listen() {
    std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = ::read(pipe_, buffer.data(), buffer.size())) > 0;)
      if (text_.size() < most_said) text_.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = text_.find('\n', begin_)) != std::string::npos;
         begin_ = end + 1)
      take(std::string_view(text_).substr(begin_, end - begin_));
  }

  std::vector<std::string> lines;
  pid_t background = 0;
  bool finished = false;

 private:
  void take(std::string_view line) {
    if (line.starts_with(in_background)) {
      std::from_chars(line.data() + 1, line.data() + line.size(), background);
    } else if (line.starts_with(at_its_end)) {
      finished = true;
    } else {
      lines.emplace_back(line);
    }
  }

  int pipe_;
  std::string text_;
  std::size_t begin_ = 0;
};

}  // namespace

std::string TrialEnd::words() const {
  switch (kind) {
    case Kind::finished:
      return first_hung          ? "the first process did not come to its end in exit()"
             : first_signal != 0 ? fmt::format("the first process was killed by SIG{} in exit()",
                                               ::sigabbrev_np(first_signal))
                                 : "went well";
    case Kind::killed: {
      const char* name = ::sigabbrev_np(signal);
      return fmt::format("the server was killed by SIG{}", name != nullptr ? name : "?");
    }
    case Kind::exited:
      return fmt::format("the server ended with status {}", status);
    case Kind::out_of_time:
      return "the server did not go on";
    case Kind::not_started:
      return "not started";
  }
  return "";
}

void Trial::say(std::string_view line) const {
  std::string text(line);
  for (char& c : text)
    if (c == '\n') c = ' ';
  text.push_back('\n');
  (void)!::write(pipe_, text.data(), text.size());
}

void Trial::finish() const {
  say(std::string(1, at_its_end));
  ::_exit(EXIT_SUCCESS);
}

void Trial::go_into_background() const {
  std::fflush(nullptr);
  const pid_t first = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) ::_exit(EXIT_FAILURE);
  if (pid > 0) {
    // Before this process can be seen to have ended.
    say(fmt::format("{}{}", in_background, pid));
    std::exit(EXIT_SUCCESS);  // with the plugin's handlers and destructors, as nbdkit
  }
  work_in_fork();
  // What the first process does in exit() comes before our next step; nbdkit
  // leaves the order to chance.
  for (int i = 0; i < 400 && ::getppid() == first; ++i) ::usleep(1000);
}

TrialEnd run_trial(const std::function<void(const Trial&)>& body, std::chrono::milliseconds limit) {
  TrialEnd end;
  // The process in the background comes to us when the first one has gone.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return end;
  std::fflush(nullptr);
  const pid_t self = ::getpid();
  Watched first;
  first.pid = ::fork();
  if (first.pid < 0) return end;
  if (first.pid == 0) {
    work_in_fork();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != self) ::_exit(EXIT_FAILURE);
    ::setpgid(0, 0);
    ::close(ends[0]);
    const Trial trial(ends[1]);
    body(trial);
    ::_exit(EXIT_FAILURE);
  }
  ::close(ends[1]);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  Listener listener(ends[0]);
  Watched background;
  bool patience_set = false;
  auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit * time_scale());
  StatusPage& page = status_page();
  for (;;) {
    pollfd source{ends[0], POLLIN, 0};
    (void)::poll(&source, 1, 2);
    // Ends are looked at first: what was written before them is then there.
    first.look();
    background.look(&first);
    listener.listen();
    page.heartbeat.fetch_add(1, std::memory_order_relaxed);
    background.pid = listener.background;
    if (first.ended && (background.pid == 0 || background.ended)) break;
    // exit() has no business of its own to wait for once the server has ended.
    if (background.ended && !patience_set) {
      patience_set = true;
      deadline = std::min(deadline, Clock::now() + std::chrono::seconds(1));
    }
    if (Clock::now() > deadline) break;
    if ((source.revents & POLLHUP) != 0) ::usleep(1000);  // nobody will say more
  }
  Watched& server = background.pid != 0 ? background : first;
  const bool server_ended = server.ended;
  end.first_hung = background.pid != 0 && !first.ended;
  end.first_signal = background.pid != 0 ? first.signal() : 0;
  ::kill(-first.pid, SIGKILL);
  // Only what is our child: the number of the second came over a pipe that the
  // plugin can write to.
  for (Watched* process : {&first, &background}) {
    if (process->pid == 0 || process->ended || ::waitpid(process->pid, nullptr, WNOHANG) != 0)
      continue;
    ::kill(process->pid, SIGKILL);
    ::waitpid(process->pid, nullptr, 0);
  }
  // The first has ended by now, and the other one is ours if it ever was.
  if (background.ended) ::waitpid(background.pid, &background.status, WNOHANG);
  ::close(ends[0]);
  end.lines = std::move(listener.lines);
  if (!server_ended)
    end.kind = TrialEnd::Kind::out_of_time;
  else if (listener.finished)
    end.kind = TrialEnd::Kind::finished;
  else if ((end.signal = server.signal()) != 0)
    end.kind = TrialEnd::Kind::killed;
  else
    end.kind = TrialEnd::Kind::exited;
  end.status = WIFEXITED(server.status) ? WEXITSTATUS(server.status) : 0;
  return end;
}

}  // namespace nbdcheck
