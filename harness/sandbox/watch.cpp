#include "sandbox/watch.hpp"

#include "sandbox/instruments.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "sandbox/process_table.hpp"

namespace nbdcheck::sandbox {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds look_interval{20};   // the page, the child's own memory
constexpr int slowest = 4;                  // times the stall limit, for what works slowly
constexpr milliseconds tick_interval{100};  // on_tick
constexpr milliseconds scan_interval{500};  // all processes of the machine

// A line longer than this is no event of ours but a plugin writing to a
// descriptor that does not belong to it.
constexpr std::size_t longest_line = 16U << 20;

std::uint64_t three_quarters_of_the_machine() {
  const auto pages = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES));
  return pages / 4 * 3 * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// A number that differs when something has happened.
std::uint64_t progress(const StatusPage& page) {
  std::uint64_t sum = page.heartbeat.load(std::memory_order_relaxed);
  const auto mix = [&sum](std::uint64_t value) {
    sum = (sum ^ value) * 0x9E3779B97F4A7C15U;
    sum ^= sum >> 32;
  };
  for (const CallSlot& slot : page.slots) {
    const auto thread = static_cast<std::uint32_t>(slot.thread_id.load(std::memory_order_relaxed));
    mix(thread + (std::uint64_t{slot.callback.load(std::memory_order_relaxed)} << 32) +
        (std::uint64_t{slot.returned.load(std::memory_order_relaxed)} << 40));
    mix(slot.operations.load(std::memory_order_relaxed));
  }
  return sum;
}

// Reads what is there, at most `limit` so that an endless writer does not keep
// us.  False at the end of the stream.
template <typename Sink>
bool read_some(Descriptor& from, std::size_t limit, Sink&& sink) {
  std::array<char, 65536> buffer;
  while (from.valid()) {
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) {
      from.reset();
      return false;
    }
    const auto size = static_cast<std::size_t>(got);
    sink(std::string_view(buffer.data(), size));
    if (size >= limit) return true;
    limit -= size;
  }
  return true;
}

constexpr std::size_t at_once = 1U << 20;

}  // namespace

void Tail::append(std::string_view text) {
  text_ += text;
  if (text_.size() > 2 * limit) text_.erase(0, text_.size() - limit);
}

std::string Tail::take() {
  if (text_.size() > limit) text_.erase(0, text_.size() - limit);
  return std::move(text_);
}

void Lines::append(std::string_view text, const std::function<void(std::string_view)>& on_line) {
  for (;;) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    std::string_view line = text.substr(0, end);
    if (!rest_.empty()) {
      rest_ += line;
      line = rest_;
    }
    // An empty one is the child's nudge.
    if (!line.empty() && on_line) on_line(line);
    rest_.clear();
    text.remove_prefix(end + 1);
  }
  if (rest_.size() + text.size() <= longest_line) rest_ += text;
}

Watch::Watch(const ChildSpec& spec, Child& child, Descendants& descendants)
    : spec_(spec),
      child_(child),
      descendants_(descendants),
      executable_(executable_identity(::getpid())),
      start_(Clock::now()),
      last_look_(start_),
      last_tick_(start_),
      last_scan_(start_),
      memory_limit_(spec.memory_limit != 0 ? spec.memory_limit : three_quarters_of_the_machine()) {}

milliseconds Watch::elapsed() const {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start_);
}

bool Watch::read_events() {
  return read_some(child_.events, at_once,
                   [this](std::string_view text) { lines_.append(text, spec_.on_event); });
}

void Watch::wait_and_read() {
  std::array<pollfd, 4> sources{{{child_.process.get(), POLLIN, 0},
                                 {child_.events.get(), POLLIN, 0},
                                 {child_.standard_output.get(), POLLIN, 0},
                                 {child_.standard_error.get(), POLLIN, 0}}};
  (void)::poll(sources.data(), sources.size(), static_cast<int>(look_interval.count()));
  if (sources[2].revents != 0) {
    read_some(child_.standard_output, at_once, [this](auto text) { output_.append(text); });
  }
  if (sources[3].revents != 0) {
    read_some(child_.standard_error, at_once, [this](auto text) { errors_.append(text); });
  }
}

bool Watch::stalled() {
  const auto now = Clock::now();
  const std::uint64_t progress_now = progress(*child_.page);
  if (progress_now != last_progress_) {
    last_progress_ = progress_now;
    idle_ = {};
    ticks_at_progress_ = ticks_;
    own_at_progress_ = own_ticks_;
    looks_ = looks_at_disk_ = 0;
  } else {
    // Time in which we did not run either, because the machine is overloaded
    // or was suspended, is not held against the child.
    idle_ += std::min<Clock::duration>(now - last_look_, 10 * look_interval);
  }
  last_look_ = now;
  const auto limit = std::chrono::duration_cast<Clock::duration>(spec_.stall_limit * time_scale());
  if (idle_ > limit / 2) note_work();
  return idle_ > limit && (!works_slowly(limit) || idle_ > slowest * limit);
}

void Watch::note_work() {
  ++looks_;
  if (waits_for_disk(child_.pid)) ++looks_at_disk_;
}

// A callback that gets little of a processor others use, too, or waits for a
// disk, comes to its end: later; so does one that the kernel works for, as when it
// frees a large file.  One that has computed for the whole of the limit, or waits for
// something else, does not.
bool Watch::works_slowly(Clock::duration limit) const {
  static const double per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto seconds = [](Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  };
  const auto since = [](std::uint64_t now, std::uint64_t then) {
    return static_cast<double>(now > then ? now - then : 0) / per_second;
  };
  if (since(own_ticks_, own_at_progress_) > 0.8 * seconds(limit)) return false;
  const double used = since(ticks_, ticks_at_progress_);
  return used > 0.02 * seconds(idle_) || looks_at_disk_ * 10 > looks_;
}

bool Watch::too_large() {
  const auto now = Clock::now();
  if (now - last_scan_ >= scan_interval) {
    last_scan_ = now;
    memory_of_descendants_ = descendants_.observe();
  }
  const ProcessFacts facts = process_facts(child_.pid);
  memory_ = facts.memory + memory_of_descendants_;
  ticks_ = facts.processor + descendants_.processor();
  own_ticks_ = facts.own_code + descendants_.own_code();
  return memory_ > memory_limit_;
}

Why Watch::run() {
  for (;;) {
    wait_and_read();
    // Before the page and the process are looked at: what a child wrote before
    // its end is read before its end is acted upon.
    const bool open = !child_.events.valid() || read_events();
    const bool over = child_.is_over();
    const auto end = child_.page->end.load();
    if (over) return Why::over;
    if (end == StatusPage::End::crashed) return Why::crashed;
    if (end == StatusPage::End::exit_called) return Why::exit_called;
    if (end == StatusPage::End::thread_ended) return Why::thread_ended;
    const auto now = Clock::now();
    const bool tick = now - last_tick_ >= tick_interval;
    if (tick) {
      last_tick_ = now;
      if (spec_.on_tick) spec_.on_tick(*child_.page);
    }
    // The event descriptor closes on exec.
    if (tick || !open) {
      const FileIdentity running = executable_identity(child_.pid);
      // Valgrind's tool runs where we were: then there is nothing to compare with.
      if (running.inode != 0 && running != executable_ && children_run_under().empty())
        return Why::replaced;
    }
    if (too_large()) return Why::memory_limit;
    if (stalled()) return Why::stalled;
    if (spec_.wall_limit.count() != 0 && now - start_ > spec_.wall_limit * time_scale()) {
      return Why::wall_limit;
    }
  }
}

void Watch::drain() {
  read_events();
  read_some(child_.standard_output, at_once, [this](auto text) { output_.append(text); });
  read_some(child_.standard_error, at_once, [this](auto text) { errors_.append(text); });
}

}  // namespace nbdcheck::sandbox
