// "The value may be an arbitrary string, including an empty string"
// (nbdkit-plugin(3) ".config"): the user's own keys, with values that nobody
// had in mind.  No other keys: who knows what a plugin does with them.
#include <fmt/format.h>

#include <array>
#include <limits>

#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::config_values {
namespace {

// What execve(2) lets an argument be on Linux, with its NUL.
constexpr std::size_t longest_argument = 128 * 1024;

struct Value {
  std::string text;
  std::string called;  // for a person
};

// None may name a file that could be made, or a command that could be run.
std::vector<Value> strange_strings(const GivenArgument& argument) {
  return {{"", "nothing"},
          {std::string(longest_argument - argument.key.size() - 2, 'x'),
           fmt::format("{} times x", longest_argument - argument.key.size() - 2)},
          {"nbdcheck-no-such-directory/\xff\xfe\x80%n%s", "bytes that are not UTF-8"}};
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789", 1) >= text.size() - 1 &&
         text.find_first_of("0123456789") == 0;
}

std::vector<Value> strange_numbers() {
  std::vector<Value> values;
  for (const char* text : {"-1", "0", "9223372036854775807", "18446744073709551616",
                           "-9223372036854775808", "0x", "1e99", "4294967297", "%n", "1,2", "."})
    values.push_back({text, fmt::format("\"{}\"", text)});
  return values;
}

void run_check(CheckRun& run) {
  const auto given = given_arguments(run.request().arguments, run.subject().plugin);
  LifeBudget budget(run);
  set_phase("passing strange values");
  for (const GivenArgument& argument : given) {
    std::vector<Value> values = strange_strings(argument);
    if (is_number(argument.value))
      for (Value& value : strange_numbers()) values.push_back(std::move(value));
    for (const Value& value : values) {
      if (!budget.take()) return;
      const ConfiguredLife life{argument.with_value(run.request().arguments, value.text),
                                run.server_options()};
      const LifeEnd end = run_life(run, life);
      run.count_operations(1);
      report_life(run, end, fmt::format("given {} as {}", value.called, argument.key));
      if (run.found_any()) return;
    }
  }
}

const Registration registration{{
    .id = "config.values",
    .summary = "no value of a parameter crashes the plugin",
    .rules = {"process.crash", "error.message-lifecycle"},
    .not_applicable = nothing_given,
    .run = run_check,
}};

}  // namespace
}  // namespace nbdcheck::checks::config_values
