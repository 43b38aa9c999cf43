// Runs operations one after another on a target and has each judged as it
// ends: execute -> history -> judge, in one step so that no read data need be
// kept.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "execute/lane.hpp"
#include "execute/readable.hpp"
#include "judge/sequential.hpp"
#include "nbdcheck/target.hpp"
#include "subject.hpp"

namespace nbdcheck {

struct SequenceOptions {
  std::string export_name;
  ViewRules rules;
  // Judge contents at all; off for --unstable-contents.
  bool judge_contents = true;
  // Judge bytes that nobody of us wrote; off when the probe saw them change.
  bool judge_unwritten = true;
  // How often bytes nobody of us wrote are read again before their change is
  // blamed on an operation; the waits add up to a second.  Trials of shrinking
  // cannot afford that.
  int patience = 12;
  BufferMode buffers = BufferMode::direct;
  // What fails, and maps, are asked about again in other ways (second_look.hpp,
  // extent_map.hpp), and written buffers looked at when they come back.
  bool second_look = false;
  // A read that fails where this connection has read and written before is asked for
  // again: data.readable.
  bool watch_reads = false;
  // For both: what the plugin said last.
  std::function<std::string()> last_error = [] { return std::string(); };
  // One thread for each connection.  With a single connection the caller's
  // thread will do, if it is not the main thread.
  bool lanes = false;
};

class SequenceRunner {
 public:
  SequenceRunner(Target& target, const Subject& subject, SequenceOptions options);
  ~SequenceRunner();

  // Runs and judges one operation.  An operation on a connection that is not
  // open is skipped, as shrinking may have removed its open.
  std::optional<Violation> step(const Operation& op);

  [[nodiscard]] const History& history() const { return judge_.history(); }
  [[nodiscard]] std::uint64_t operations() const { return judge_.history().size(); }
  // The reply to the last operation; for an open that failed, why.
  [[nodiscard]] const std::string& open_failure() const { return open_failure_; }
  [[nodiscard]] bool is_open(unsigned connection) const;
  // Operations that ended well, and not.
  [[nodiscard]] std::uint64_t succeeded() const { return succeeded_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }

  // REQUIRES: is_open(connection).  For questions that are no operations.
  [[nodiscard]] Session& session(unsigned connection) { return *sessions_[connection]; }

  void close_all();

 private:
  std::optional<Violation> run(const Operation& op);
  std::optional<Violation> look_closer(const Operation& op);
  std::optional<Violation> look_at_failure(const Operation& op);
  std::optional<Violation> look_at_map(const Operation& op);
  void note(const Operation& op);
  std::optional<Violation> read(Session& session, const Operation& op);
  std::optional<Violation> extents(Session& session, const Operation& op);
  std::span<std::byte> payload(const Operation& op);
  std::span<std::byte> buffer(std::size_t size);
  std::optional<Violation> refused_extents(Session& session, const Operation& op, int error);
  std::optional<Violation> modified(const Operation& op, std::span<const std::byte> data) const;
  Violation overrun(const Operation& op, std::span<const std::byte> behind) const;
  bool contents_change(Session& session, const Operation& op);
  bool left_unfilled(Session& session, const Operation& op, std::uint64_t at);

  Target& target_;
  SequenceOptions options_;
  std::uint64_t size_;
  std::uint64_t block_;
  SequentialJudge judge_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t buffer_size_ = 0;
  std::string open_failure_;
  std::uint64_t succeeded_ = 0;
  std::uint64_t failed_ = 0;
  Reply reply_;  // the last one
  int looks_ = 0;
  std::vector<Readable> readable_;  // for each connection
};

}  // namespace nbdcheck
