#include "checks/served_life.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#include "checks/watched_plugin.hpp"
#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t most_requests = 64;
constexpr double limit_seconds = 10;  // for a life; times time_scale()

enum class Stage : std::uint32_t { starting, up, working, ending, over };

// Shared with the process; a store into it survives its death.
struct Board {
  std::atomic<Stage> stage;
  std::atomic<std::uint32_t> done;
  std::uint8_t succeeded[most_requests];
  char why[512];
  std::uint8_t readable[most_requests];
  // The contents of the places follow.
};

class SharedBoard {
 public:
  explicit SharedBoard(std::size_t contents) : size_(sizeof(Board) + contents) {
    void* map = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map != MAP_FAILED) board_ = new (map) Board();
  }
  ~SharedBoard() {
    if (board_ != nullptr) ::munmap(board_, size_);
  }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;

  [[nodiscard]] bool valid() const { return board_ != nullptr; }
  Board* operator->() { return board_; }
  std::byte* contents() { return reinterpret_cast<std::byte*>(board_ + 1); }

 private:
  std::size_t size_;
  Board* board_ = nullptr;
};

// Keeps the plugin's last words.
class LastWords final : public Observer {
 public:
  explicit LastWords(SharedBoard& board) : board_(board) {}
  void on_error(Callback /*where*/, std::string_view message) override { set(message); }
  void set(std::string_view message) {
    const std::size_t size = std::min(message.size(), sizeof(Board::why) - 1);
    std::memcpy(board_->why, message.data(), size);
    board_->why[size] = '\0';
  }
  void set_unless_said(const Failure& failure) {
    if (board_->why[0] == '\0') set(failure.message);
  }

 private:
  SharedBoard& board_;
};

class Process {
 public:
  Process(const CheckRun& run, const std::vector<Place>& to_read,
          const std::vector<Operation>& requests, Ending end, SharedBoard& board)
      : run_(run), places_(to_read), requests_(requests), end_(end), board_(board), words_(board) {}

  void live() {
    auto server = Server::load(run_.request().plugin, run_.server_options(), words_);
    if (!server) {
      words_.set(server.error().message);
      return;
    }
    server_ = std::move(*server);
    if (auto ok = server_->configure(run_.request().arguments); !ok)
      return words_.set_unless_said(ok.error());
    if (auto ok = server_->start(); !ok) return words_.set_unless_said(ok.error());
    Client* first = client(0);
    if (first == nullptr) return;
    read_places(*first);
    board_->stage = Stage::up;
    for (const Operation& op : requests_) {
      Client* at = client(op.connection);
      if (at != nullptr) step(*at, op);
      ++board_->done;
    }
    if (end_ == Ending::killed) ::kill(::getpid(), SIGKILL);
    board_->stage = Stage::ending;
    clients_.clear();
    server_->stop();
    board_->stage = Stage::over;
  }

 private:
  Client* client(unsigned number) {
    auto& client = clients_[number];
    if (!client) {
      client = std::make_unique<Client>(*server_);
      if (!client->open(run_.request().export_name)) words_.set_unless_said(client->failure());
    }
    return client->is_open() ? client.get() : nullptr;
  }

  void read_places(Client& client) {
    std::byte* to = board_.contents();
    for (std::size_t i = 0; i < places_.size(); ++i) {
      board_->readable[i] = client.read({to, places_[i].count}, places_[i].offset).ok() ? 1 : 0;
      to += places_[i].count;
    }
  }

  void step(Client& client, const Operation& op) {
    const bool last = &op == &requests_.back() && end_ == Ending::killed;
    client.run([&](Connection& connection) {
      board_->succeeded[board_->done] = perform(connection, op).ok() ? 1 : 0;
      if (!last) return;
      ++board_->done;
      // Here, and not after this thread has said that it is ready: the plugin
      // must not have the time to catch up.
      ::kill(::getpid(), SIGKILL);
    });
  }

  const CheckRun& run_;
  const std::vector<Place>& places_;
  const std::vector<Operation>& requests_;
  Ending end_;
  SharedBoard& board_;
  LastWords words_;
  std::unique_ptr<Server> server_;
  std::map<unsigned, std::unique_ptr<Client>> clients_;
};

// Processes that the plugin left behind have become our children.
void end_orphans() {
  const std::string list = fmt::format("/proc/self/task/{}/children", ::getpid());
  for (int round = 0; round < 100; ++round) {
    std::ifstream children(list);
    bool any = false;
    for (pid_t pid = 0; children >> pid; any = true) ::kill(pid, SIGKILL);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    if (!any) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// No value: it had to be ended because it took too long.
bool await(pid_t pid, int& status) {
  const auto begin = std::chrono::steady_clock::now();
  const std::chrono::duration<double> limit(limit_seconds * time_scale());
  for (int naps = 0;; ++naps) {
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got == pid || (got < 0 && errno != EINTR)) return true;
    if (std::chrono::steady_clock::now() - begin > limit) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, &status, 0);
      return false;
    }
    if (naps % 256 == 0) set_phase("waiting for the process that will be killed");
    std::this_thread::sleep_for(std::chrono::microseconds(naps < 200 ? 100 : 1000));
  }
}

std::string how_it_died(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("killed by SIG{}", ::sigabbrev_np(WTERMSIG(status)) != nullptr
                                              ? ::sigabbrev_np(WTERMSIG(status))
                                              : std::to_string(WTERMSIG(status)));
  return fmt::format("ended with status {}", WEXITSTATUS(status));
}

}  // namespace

Life live(const CheckRun& run, const std::vector<Place>& places,
          const std::vector<Operation>& requests, Ending end) {
  namespace fs = std::filesystem;
  Life life;
  std::size_t total = 0;
  for (const Place& place : places) total += place.count;
  SharedBoard board(total);
  if (!board.valid() || places.size() > most_requests || requests.size() > most_requests) {
    life.why = "no memory to share with the process";
    return life;
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // What a killed plugin leaves there is no leftover of this process.
  std::error_code ignored;
  std::string scratch = fs::temp_directory_path(ignored) / "life-XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr) scratch.clear();

  const auto begin = std::chrono::steady_clock::now();
  const pid_t pid = ::fork();
  if (pid == 0) {
    work_in_fork();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setpgid(0, 0);
    if (!scratch.empty()) ::setenv("TMPDIR", scratch.c_str(), 1);
    Process(run, places, requests, end, board).live();
    ::_exit(0);
  }
  if (pid < 0) {
    life.why = "cannot fork";
    return life;
  }
  int status = 0;
  const bool in_time = await(pid, status);
  ::kill(-pid, SIGKILL);
  end_orphans();
  if (!scratch.empty()) fs::remove_all(scratch, ignored);
  life.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  life.came_up = board->stage != Stage::starting;
  const bool killed =
      WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && board->done == requests.size();
  life.ended = in_time && (end == Ending::killed ? killed : board->stage == Stage::over);
  if (!life.came_up || !life.ended) {
    board->why[sizeof(Board::why) - 1] = '\0';
    life.why = board->why;
    if (!in_time)
      life.why = "it was not done in time";
    else if (life.why.empty() || WIFSIGNALED(status))
      life.why = how_it_died(status);
  }
  if (!life.came_up) return life;
  const std::byte* from = board.contents();
  for (std::size_t i = 0; i < places.size(); ++i) {
    life.contents.emplace_back();
    if (board->readable[i] != 0) life.contents.back().assign(from, from + places[i].count);
    from += places[i].count;
  }
  for (std::size_t i = 0; i < requests.size(); ++i)
    life.succeeded.push_back(i < board->done && board->succeeded[i] != 0);
  return life;
}

}  // namespace nbdcheck
