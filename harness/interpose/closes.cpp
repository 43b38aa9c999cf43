#include "nbdcheck/closes.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "interpose/imports.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

// Written by any thread, perhaps in a signal handler.
struct Board {
  static constexpr std::size_t most = 16;
  std::atomic<pid_t> process{0};  // 0: nobody watches
  std::atomic<std::size_t> count{0};
  std::array<BadClose, most> bad{};
  std::array<std::atomic<bool>, most> written{};
};
constinit Board board;

void note(int descriptor, std::uint64_t at) {
  const std::size_t index = board.count.fetch_add(1);
  if (index >= Board::most) return;
  const CallSlot* const slot = detail::this_threads_slot;
  const bool inside = slot != nullptr && slot->in_callback();
  board.bad[index] = {descriptor, at,
                      inside ? static_cast<Callback>(slot->callback.load()) : Callback::count_};
  board.written[index].store(true, std::memory_order_release);
}

int watched_close(int descriptor) {
  const int result = ::close(descriptor);
  const int error = errno;
  if (result != 0 && error == EBADF && descriptor >= 0 && board.process.load() == ::getpid())
    note(descriptor, reinterpret_cast<std::uint64_t>(__builtin_return_address(0)));
  errno = error;
  return result;
}

const std::array replacements{
    interpose::Replacement{"close", reinterpret_cast<void*>(watched_close)}};

}  // namespace

struct CloseWatch::State {
  explicit State(const Code& code) : imports(code, replacements) {}
  interpose::Imports imports;
};

CloseWatch::CloseWatch(const Code& code) {
  board.count = 0;
  for (auto& written : board.written) written = false;
  board.process = ::getpid();
  state_ = std::make_unique<State>(code);
}

CloseWatch::~CloseWatch() { board.process = 0; }

std::vector<BadClose> CloseWatch::bad() const {
  std::vector<BadClose> result;
  for (std::size_t i = 0; i < Board::most; ++i)
    if (board.written[i].load(std::memory_order_acquire)) result.push_back(board.bad[i]);
  return result;
}

}  // namespace nbdcheck
