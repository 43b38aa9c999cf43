// Sizes on the command line, for a key that is seen to set the export's size.
// nbdkit_parse_size is what users know: "10M" means the same to all plugins.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::config_sizes {
namespace {

// Decimal digits and one of K, M, G, T: what most people type.
std::optional<std::uint64_t> plain_size(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest == text.data() || end - rest > 1) return std::nullopt;
  if (rest == end) return value;
  switch (*rest) {
    case 'k':
    case 'K':
      return value << 10;
    case 'm':
    case 'M':
      return value << 20;
    case 'g':
    case 'G':
      return value << 30;
    case 't':
    case 'T':
      return value << 40;
    default:
      return std::nullopt;
  }
}

// What the plugin makes of a value.
struct Understood {
  std::optional<std::uint64_t> size;   // of the export
  std::optional<std::string> refusal;  // before it serves
};

class Sizes {
 public:
  Sizes(CheckRun& run, const GivenArgument& argument) : run_(run), argument_(argument) {}

  // nullopt: undecided; a crash has been reported.
  std::optional<Understood> ask(const std::string& value) {
    ServerOptions options = run_.server_options();
    options.readonly = true;
    const ConfiguredLife life{argument_.with_value(run_.request().arguments, value), options,
                              [&](Server& server) {
                                Client client(server);
                                if (!client.open(run_.request().export_name))
                                  return std::string("-");
                                return std::to_string(client.info().size);
                              }};
    const LifeEnd end = run_life(run_, life);
    run_.count_operations(1);
    if (report_life(run_, end, fmt::format("given {}={}", argument_.key, value)))
      return std::nullopt;
    Understood understood;
    if (end.end == TrialEnd::Kind::exited) understood.refusal = "exit";
    if (end.refusal) understood.refusal = end.refusal;
    if (end.answer)
      if (const auto size = plain_size(*end.answer)) understood.size = size;
    if (!understood.size && !understood.refusal) return std::nullopt;
    return understood;
  }

  // Whether nbdkit's notation is meant at all.
  bool is_size_key() {
    constexpr std::uint64_t mebibyte = 1U << 20;
    for (const auto& [value, size] :
         {std::pair{"2097152", 2 * mebibyte}, std::pair{"2M", 2 * mebibyte},
          std::pair{"3M", 3 * mebibyte}}) {
      const auto understood = ask(value);
      if (!understood || understood->size != size) return false;
    }
    return true;
  }

  void misread(const std::string& value, std::uint64_t size, const char* expected) {
    Violation v;
    v.rule = "config.size-misread";
    v.message =
        fmt::format("{}={} was accepted, and the export has {} bytes.", argument_.key, value, size);
    v.expected = expected;
    v.actual = fmt::format(".get_size returned {}", size);
    run_.violated(std::move(v));
  }

  void refused(const std::string& value, const std::string& words) {
    Violation v;
    v.rule = "config.size-syntax";
    v.message = fmt::format("{}={} was refused, although {}=2M is accepted.", argument_.key, value,
                            argument_.key);
    v.expected = "what nbdkit_parse_size accepts";
    v.actual = "error: " + words;
    run_.violated(std::move(v));
  }

 private:
  CheckRun& run_;
  const GivenArgument& argument_;
};

struct Notation {
  const char* text;
  bool known;           // to nbdkit_parse_size
  std::uint64_t means;  // 0: nothing sensible
};
// The likeliest mistakes first, for those who have little time.  Some plugins
// know more than nbdkit: a value that they give the only sensible meaning is
// not misread.
constexpr std::array notations{
    Notation{"2097152x", false, 0},
    Notation{"18446744073709551617", false, 0},
    Notation{"0002000000", true, 2000000},
    Notation{"4096s", true, 4096 * 512},
    Notation{"1.5M", false, 3 << 19},
    Notation{"2048k", true, 2 << 20},
    Notation{"2M2", false, 0},
    Notation{"9223372036854775808", false, 0},
    Notation{"2097152b", true, 2 << 20},
    Notation{"9999999999999M", false, 0},
    Notation{"+2097152", true, 2 << 20},
    Notation{"0x200000", false, 2 << 20},
    Notation{"2m", true, 2 << 20},
};
// Cut to the largest possible: no harm.
constexpr std::uint64_t enormous = std::uint64_t{1} << 62;

void examine(CheckRun& run, const GivenArgument& argument, LifeBudget& budget) {
  Sizes sizes(run, argument);
  if (!sizes.is_size_key()) return;
  for (const Notation& one : notations) {
    if (run.found_any() || !budget.take()) return;
    const auto understood = sizes.ask(one.text);
    if (!understood) continue;
    if (!understood->size) {
      if (one.known) sizes.refused(one.text, *understood->refusal);
      continue;
    }
    if (*understood->size == one.means || (!one.known && *understood->size >= enormous)) continue;
    sizes.misread(
        one.text, *understood->size,
        one.known ? "as nbdkit_parse_size reads it" : "an error, as nbdkit_parse_size gives");
  }
}

// The user's value is one that set the size: else the key means something else.
std::vector<GivenArgument> size_keys(const Subject& subject) {
  std::vector<GivenArgument> keys = given_arguments(subject.arguments, subject.plugin);
  std::erase_if(keys, [&](const GivenArgument& argument) {
    return plain_size(argument.value) != subject.info.size;
  });
  return keys;
}

std::string not_applicable(const Subject& subject) {
  if (!subject.has("config")) return "no .config";
  return subject.info.size == 0 || size_keys(subject).empty() ? "no argument is the size" : "";
}

const Registration registration{{
    .id = "config.sizes",
    .summary = "a parameter that sets the size is read as nbdkit reads sizes",
    .rules = {"config.size-misread", "config.size-syntax", "process.crash"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          LifeBudget budget(run);
          set_phase("trying notations of sizes");
          for (const GivenArgument& key : size_keys(run.subject()))
            if (!run.found_any()) examine(run, key, budget);
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::config_sizes
