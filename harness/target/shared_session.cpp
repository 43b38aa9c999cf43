// One connection to the real nbdkit for the requests of many threads.  libnbd's
// own poll holds the lock of the handle while it waits, so that nobody could send
// meanwhile: here one of the waiting threads polls, and the others are told.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <unordered_map>

#include "nbdcheck/nbdkit.hpp"
#include "nbdcheck/status_page.hpp"
#include "target/libnbd.hpp"

namespace nbdcheck {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

class SharedNbdkitTarget::SharedSession final : public Session {
 public:
  SharedSession(SharedNbdkitTarget& owner, std::unique_ptr<NbdkitSession> session)
      : owner_(owner),
        session_(std::move(session)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  ~SharedSession() override {
    session_.reset();
    if (wake_ >= 0) ::close(wake_);
  }

  [[nodiscard]] const ExportInfo& info() const override { return session_->info(); }

  Reply read(std::span<std::byte> buffer, std::uint64_t offset, std::uint32_t flags) override {
    return perform({.command = Command::read, .flags = flags, .offset = offset, .into = buffer});
  }
  Reply write(std::span<const std::byte> buffer, std::uint64_t offset,
              std::uint32_t flags) override {
    return perform({.command = Command::write, .flags = flags, .offset = offset, .data = buffer});
  }
  Reply flush() override { return perform({.command = Command::flush}); }
  Reply trim(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override {
    return perform({.command = Command::trim, .flags = flags, .count = count, .offset = offset});
  }
  Reply zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) override {
    return perform({.command = Command::zero, .flags = flags, .count = count, .offset = offset});
  }
  Reply cache(std::uint32_t count, std::uint64_t offset) override {
    return perform({.command = Command::cache, .count = count, .offset = offset});
  }
  Reply extents(std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
                ExtentList& list) override {
    return perform({.command = Command::extents,
                    .flags = flags,
                    .count = count,
                    .offset = offset,
                    .list = &list});
  }

 private:
  Reply perform(const NbdkitSession::Request& request) {
    std::unique_lock lock(mutex_);
    const std::uint64_t ticket = session_->submit(request);
    // What could not be sent at once, the thread that polls must wait for.
    if (polling_) wake();
    const auto end = Clock::now() + session_->limit();
    for (;;) {
      collect();
      if (const auto found = replies_.find(ticket); found != replies_.end()) {
        const Reply reply = found->second;
        replies_.erase(found);
        // Somebody else must poll now.
        if (!polling_) changed_.notify_all();
        return reply;
      }
      if (Clock::now() > end) {
        session_->give_up("no reply in time");
        note_loss();
      } else if (polling_) {
        changed_.wait_until(lock, end);
      } else {
        poll_once(lock);
      }
    }
  }

  void poll_once(std::unique_lock<std::mutex>& lock) {
    polling_ = true;
    std::array<pollfd, 2> sources{
        {{session_->descriptor(), session_->events(), 0}, {wake_, POLLIN, 0}}};
    lock.unlock();
    status_page().heartbeat.fetch_add(1, std::memory_order_relaxed);
    const int ready = ::poll(sources.data(), sources.size(), look_interval);
    lock.lock();
    polling_ = false;
    if (ready > 0) {
      std::uint64_t count = 0;
      if (sources[1].revents != 0) (void)!::read(wake_, &count, sizeof count);
      session_->handle(sources[0].revents);
    }
    note_loss();
    changed_.notify_all();
  }

  void collect() {
    while (const auto done = session_->take()) replies_.emplace(done->ticket, done->reply);
  }

  void wake() const {
    const std::uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof one);
  }

  void note_loss() {
    if (session_->lost().empty()) return;
    const std::lock_guard lock(owner_.mutex_);
    if (owner_.lost_.empty()) owner_.lost_ = session_->lost();
  }

  SharedNbdkitTarget& owner_;
  std::mutex mutex_;  // of everything below
  std::condition_variable changed_;
  std::unique_ptr<NbdkitSession> session_;
  std::unordered_map<std::uint64_t, Reply> replies_;  // not yet fetched
  bool polling_ = false;                              // a thread is in poll()
  int wake_;
};

tl::expected<std::unique_ptr<Session>, Failure> SharedNbdkitTarget::open(
    std::string_view export_name) {
  auto session = target_.connect(export_name);
  if (!session) return tl::unexpected(std::move(session.error()));
  return std::make_unique<SharedSession>(*this, std::move(*session));
}

std::string SharedNbdkitTarget::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace nbdcheck
