// What a fuzzer leaves for people: the sequence as a plan, as a script for the real
// nbdkit, and in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "history.hpp"
#include "plan/plan.hpp"

namespace nbdcheck::fuzz {

struct Context {
  std::string plugin;  // a file that nbdcheck and nbdkit can load; may be empty
  std::vector<std::string> arguments;
  std::string directory = ".";
  BufferMode buffers = BufferMode::direct;  // of the input that runs
};

// Writes RULE-xxxxxxxx.plan, .py and .txt, the name telling the sequence; says so on
// standard error.
void write_artifacts(const Context& context, const Violation& violation,
                     std::vector<Operation> operations, std::size_t original_operations);

// From here on a process of its own watches this one: should it end while an input
// runs, for whatever reason, that input's artifacts are written.  One thread only
// may run yet.
class Watcher {
 public:
  explicit Watcher(Context context);
  void begin(std::span<const Operation> operations, BufferMode buffers);
  void end();
  // What became of a copy of this process that came out of a callback: ends it there,
  // and tells the original once.
  bool is_original();
  [[nodiscard]] bool was_forked();
  // The one that watches; it has the descriptors there were before any of the plugin's.
  [[nodiscard]] int process() const { return watching_; }

 private:
  struct Shared;
  void watch();

  Context context_;
  Shared* shared_ = nullptr;
  int process_ = 0;
  int watching_ = 0;
};

}  // namespace nbdcheck::fuzz
