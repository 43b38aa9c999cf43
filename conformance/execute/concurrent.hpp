// Runs operations on several threads at once, round by round, and records when
// each began and ended.
//
// Recording must not order what the plugin's own locks should: between the
// barriers of a round nothing of ours is shared but memory that each thread
// has to itself.  ThreadSanitizer sees a plugin's races through it
// (concurrent_race_test.cpp).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "history.hpp"
#include "nbdcheck/target.hpp"

namespace nbdcheck {

struct ConcurrentOptions {
  std::string export_name;
  // Threads wait a moment, each another one, before they begin a round: up to
  // this long.
  unsigned stagger_nanoseconds = 2000;
};

class ConcurrentRunner {
 public:
  ConcurrentRunner(Target& target, std::uint64_t export_size, ConcurrentOptions options);
  ~ConcurrentRunner();  // closes what is open
  ConcurrentRunner(const ConcurrentRunner&) = delete;
  ConcurrentRunner& operator=(const ConcurrentRunner&) = delete;

  // Runs all rounds and gives a record for each operation, in the order given.
  // The data of reads stay until the next call.  An open of what is open does
  // nothing; operations on a connection that another thread opens or closes in
  // the same round are left out: nbdkit calls .close after all of them.
  std::span<const TimedRecord> run(std::span<const Operation> operations, std::uint64_t seed);

  [[nodiscard]] bool is_open(unsigned connection) const;
  // Each connection on the thread that opened it.
  void close_all();
  [[nodiscard]] bool ever_opened() const;
  // Why an open failed, if one did.
  [[nodiscard]] const std::string& open_failure() const;

 private:
  class Pool;
  std::unique_ptr<Pool> pool_;
};

}  // namespace nbdcheck
