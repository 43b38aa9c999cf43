#include "step/random_traps.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <mutex>

#include <fmt/format.h>

#include "nbdcheck/instruments.hpp"
#include "step/pause.hpp"
#include "step/trap.hpp"

namespace nbdcheck::step {
namespace {

// It outlives the object: a thread may still be on its way to the handler.
struct Board {
  std::vector<std::uint64_t> places;    // sorted
  std::vector<std::uint8_t> originals;  // what is at each of them
  pid_t process = 0;
  // Where the breakpoint is; 0: somebody has taken it down and is about to put
  // up the next one.  Who makes it 0 owns it.
  std::atomic<std::uint64_t> at{0};
  SharedDraws draws;
  std::atomic<bool> on{false};
  std::atomic<std::uint64_t> met{0};
};
Board board;

// REQUIRES: at is 0, by this thread's doing.
void put_up() {
  const std::uint64_t place = board.places[board.draws.next() % board.places.size()];
  *reinterpret_cast<volatile std::uint8_t*>(place) = int3;
  // Last: who finds it here may take it down.
  board.at.store(place);
}

// REQUIRES: `place` is one of them.
void restore(std::uint64_t place) {
  const auto found = std::lower_bound(board.places.begin(), board.places.end(), place);
  *reinterpret_cast<volatile std::uint8_t*>(place) =
      board.originals[static_cast<std::size_t>(found - board.places.begin())];
}

bool take_down(std::uint64_t place) {
  if (place == 0 || !board.at.compare_exchange_strong(place, 0)) return false;
  restore(place);
  return true;
}

}  // namespace

std::string make_writable(const Code& code) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  for (const CodeRange& range : code.ranges()) {
    const std::uint64_t begin = range.begin / page * page;
    const std::uint64_t end = (range.end + page - 1) / page * page;
    if (::mprotect(reinterpret_cast<void*>(begin), end - begin,
                   PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
      return fmt::format("breakpoints cannot be set in its code: {}", ::strerror(errno));
  }
  return "";
}

bool meets_random_trap([[maybe_unused]] ucontext_t& context, std::uint64_t address) {
  if (!std::binary_search(board.places.begin(), board.places.end(), address)) return false;
#if defined(__x86_64__)
  // Again from there: it is gone, or about to go.
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(address);
#endif
  // In a copy of the process, whoever was about to take it down is not there.
  if (::getpid() != board.process) {
    restore(address);
    return true;
  }
  if (!take_down(address)) return true;
  board.met.fetch_add(1, std::memory_order_relaxed);
  pause_a_little(board.draws.next());
  if (board.on.load()) put_up();
  return true;
}

RandomTraps::RandomTraps(const Code& code, std::vector<std::uint64_t> places, std::uint64_t seed) {
  board.met = 0;
#if defined(__x86_64__)
  if (under_sanitizer() || under_valgrind()) return;
  if (places.empty() || !make_writable(code).empty()) return;
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  board.places = std::move(places);
  board.originals.clear();
  for (const std::uint64_t place : board.places)
    board.originals.push_back(*reinterpret_cast<const std::uint8_t*>(place));
  board.process = ::getpid();
  board.draws.seed(seed);
  install_handler();
  board.on = true;
  put_up();
  mover_ = std::thread([this] { move_on(); });
#else
  (void)code;
  (void)places;
  (void)seed;
#endif
}

RandomTraps::~RandomTraps() {
  if (!mover_.joinable()) return;
  board.on = false;
  stopping_ = true;
  mover_.join();
  // Its owner for the moment sees that it is off, and puts up no other; but it
  // may have looked just before.
  for (int i = 0; i < 3; ++i) {
    take_down(board.at.load());
    const timespec moment{0, 300'000};
    ::nanosleep(&moment, nullptr);
  }
  take_down(board.at.load());
}

std::uint64_t RandomTraps::count() const { return board.met.load(std::memory_order_relaxed); }

void RandomTraps::move_on() {
  while (!stopping_) {
    const std::uint64_t before = board.at.load();
    const timespec moment{0, 200'000};
    ::nanosleep(&moment, nullptr);
    if (before != 0 && board.at.load() == before && take_down(before) && !stopping_) put_up();
  }
}

}  // namespace nbdcheck::step
