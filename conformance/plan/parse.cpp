// Reading the text form of a plan.  The file is not trusted: memory grows with
// the bytes that are there, never with a number they claim.
#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <set>

#include "plan/names.hpp"
#include "plan/plan.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t longest_schedule = 4096;
constexpr std::uint64_t largest_export = 0x7FFF'FFFF'FFFF'FFFF;  // get_size is an int64_t

struct Wrong {
  std::string message;
};

template <typename... Args>
tl::unexpected<Wrong> wrong(fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected(Wrong{fmt::format(format, std::forward<Args>(args)...)});
}

tl::expected<std::uint64_t, Wrong> number(std::string_view what, std::string_view text,
                                          std::uint64_t largest, int base = 10) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  const bool digits_only = !text.empty() && stop == end;
  if (digits_only && error == std::errc::result_out_of_range) {
    return wrong("{} is too large: {}", what, quote(text));
  }
  if (!digits_only || error != std::errc()) {
    return wrong("{} is not a number: {}", what, quote(text));
  }
  if (value > largest) return wrong("{} is {}, more than {}", what, value, largest);
  return value;
}

// Splits off what comes before the first `separator`.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view head = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return head;
}

template <typename Words>
std::optional<std::size_t> position(const Words& words, std::string_view word) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == word) return i;
  }
  return std::nullopt;
}

tl::expected<std::uint8_t, Wrong> parse_flags(std::string_view text) {
  std::uint32_t flags = 0;
  do {
    const std::string_view word = take(text, ',');
    std::uint32_t bits = 0;
    for (const plan_words::FlagName& flag : plan_words::flags) {
      if (flag.name == word) bits = flag.bit;
    }
    if (word.starts_with("0x")) {
      const auto value = number("flags", word.substr(2), 0xFF, 16);
      if (!value) return tl::unexpected(value.error());
      bits = static_cast<std::uint32_t>(*value);
    }
    if (bits == 0) return wrong("unknown flag {}", quote(word));
    if ((flags & bits) != 0) return wrong("flag {} is given twice", quote(word));
    flags |= bits;
  } while (!text.empty());
  return static_cast<std::uint8_t>(flags);
}

// One `key=value` word of an operation.
tl::expected<void, Wrong> parse_word(std::string_view word, Operation& op, bool threads) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return wrong("expected key=value, found {}", quote(word));
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = word.substr(equals + 1);
  if (has_range(op.kind) && key == "offset") {
    const auto offset = number("offset", value, largest_export);
    if (!offset) return tl::unexpected(offset.error());
    op.offset = *offset;
  } else if (has_range(op.kind) && key == "count") {
    const auto count = number("count", value, UINT32_MAX);
    if (!count) return tl::unexpected(count.error());
    op.count = static_cast<std::uint32_t>(*count);
  } else if (modifies(op.kind) && key == "tag") {
    const auto tag = number("tag", value, UINT32_MAX);
    if (!tag) return tl::unexpected(tag.error());
    op.tag = static_cast<std::uint32_t>(*tag);
  } else if (key == "flags") {
    const auto flags = parse_flags(value);
    if (!flags) return tl::unexpected(flags.error());
    op.flags = *flags;
  } else if (op.kind == OpKind::write && key == "payload") {
    const auto payload = position(plan_words::payloads, value);
    if (!payload) return wrong("unknown payload {}", quote(value));
    op.payload = static_cast<Payload>(*payload);
  } else if (threads && key == "thread") {
    const auto thread = number("thread", value, max_plan_threads - 1);
    if (!thread) return tl::unexpected(thread.error());
    op.thread = static_cast<std::uint8_t>(*thread);
  } else if (threads && key == "round") {
    const auto round = number("round", value, UINT16_MAX);
    if (!round) return tl::unexpected(round.error());
    op.round = static_cast<std::uint16_t>(*round);
  } else {
    return wrong("{} takes no {}", name(op.kind), quote(key));
  }
  return {};
}

tl::expected<Operation, Wrong> parse_operation(std::string_view line, bool threads) {
  Operation op;
  std::string_view word = take(line, ' ');
  if (!word.starts_with('#')) {
    return wrong("expected an operation such as '#0 read offset=0 count=512', found {}",
                 quote(word));
  }
  const auto connection = number("connection", word.substr(1), UINT8_MAX);
  if (!connection) return tl::unexpected(connection.error());
  op.connection = static_cast<std::uint8_t>(*connection);

  word = take(line, ' ');
  const auto kind = std::find_if(plan_words::kinds.begin(), plan_words::kinds.end(),
                                 [&](OpKind k) { return name(k) == word; });
  if (kind == plan_words::kinds.end()) return wrong("unknown operation {}", quote(word));
  op.kind = *kind;

  std::set<std::string_view> seen;
  while (!line.empty()) {
    word = take(line, ' ');
    if (auto parsed = parse_word(word, op, threads); !parsed) return tl::unexpected(parsed.error());
    if (const std::string_view key = word.substr(0, word.find('=')); !seen.insert(key).second) {
      return wrong("{} is given twice", quote(key));
    }
  }
  if (has_range(op.kind) && !(seen.contains("offset") && seen.contains("count"))) {
    return wrong("{} needs offset= and count=", name(op.kind));
  }
  const bool moves_data = op.kind == OpKind::read || op.kind == OpKind::write;
  if (moves_data && op.count > max_request_size) {
    return wrong("count is {}, more than a {} may have ({})", op.count, name(op.kind),
                 max_request_size);
  }
  if (op.count > largest_export - op.offset) {
    return wrong("offset {} and count {} end after the largest export", op.offset, op.count);
  }
  return op;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  tl::expected<Plan, std::string> parse() {
    auto done = first_line().and_then([this] { return headers(); });
    if (done) done = operations();
    if (done) done = last_line();
    if (!done) return tl::unexpected(fmt::format("line {}: {}", line_, done.error().message));
    return std::move(plan_);
  }

 private:
  // The next line that is neither empty nor a comment; no value at the end.
  std::optional<std::string_view> next() {
    while (!rest_.empty()) {
      ++line_;
      std::string_view line = take(rest_, '\n');
      if (line.ends_with('\r')) line.remove_suffix(1);
      while (line.ends_with(' ')) line.remove_suffix(1);
      if (!line.empty() && !line.starts_with(';')) return line;
    }
    ++line_;
    return std::nullopt;
  }

  tl::expected<void, Wrong> first_line() {
    auto line = next();
    if (!line) return wrong("the file is empty");
    if (take(*line, ' ') != plan_words::first_line) {
      return wrong("this is not a plan; plans begin with '{} {}'", plan_words::first_line,
                   Plan::version);
    }
    const auto version = number("the version", *line, UINT32_MAX);
    if (!version) return tl::unexpected(version.error());
    if (*version != Plan::version && *version != Plan::concurrent_version) {
      return wrong("version {} of the format is not known, only versions {} and {}", *version,
                   Plan::version, Plan::concurrent_version);
    }
    threads_ = *version == Plan::concurrent_version;
    return {};
  }

  tl::expected<void, Wrong> headers() {
    std::set<std::string, std::less<>> seen;
    while (auto line = next()) {
      const std::string_view key = take(*line, ' ');
      const auto value = unescape(*line);
      if (!value) return wrong("malformed escape in {}", quote(*line));
      if (key != "arg" && !seen.emplace(key).second) return wrong("second line {}", quote(key));
      if (auto done = header(key, *value); !done) return done;
      if (key == "operations") {
        for (const char* const needed : {"plugin", "check"}) {
          if (!seen.contains(needed)) return wrong("the line '{}' is missing", needed);
        }
        return {};
      }
    }
    return wrong("the file ends before the line 'operations'");
  }

  tl::expected<void, Wrong> header(std::string_view key, const std::string& value) {
    if (key == "plugin") {
      plan_.plugin = value;
    } else if (key == "arg") {
      plan_.arguments.push_back(value);
    } else if (key == "sha256") {
      const bool hex = value.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (!hex || value.size() != 64) return wrong("not a SHA-256 sum: {}", quote(value));
      plan_.sha256 = value;
    } else if (key == "check" || key == "rule") {
      constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
      if (value.empty() || value.size() > 200 ||
          value.find_first_not_of(letters) != std::string::npos) {
        return wrong("not a {} name: {}", key, quote(value));
      }
      (key == "check" ? plan_.check : plan_.rule) = value;
    } else if (key == "export") {
      plan_.export_name = value;
    } else if (key == "readonly") {
      if (value != "yes" && value != "no") return wrong("readonly is yes or no");
      plan_.readonly = value == "yes";
    } else if (key == "seed") {
      const auto seed = number("seed", value, UINT64_MAX);
      if (!seed) return tl::unexpected(seed.error());
      plan_.seed = *seed;
    } else if (key == "buffers") {
      const auto mode = position(plan_words::buffers, value);
      if (!mode) return wrong("unknown buffers {}", quote(value));
      plan_.buffers = static_cast<BufferMode>(*mode);
    } else if (threads_ && key == "schedule") {
      if (value.size() > longest_schedule) return wrong("the schedule is too long");
      plan_.schedule = value;
    } else if (key == "operations") {
      const auto count = number("the number of operations", value, max_plan_operations);
      if (!count) return tl::unexpected(count.error());
      promised_ = *count;
    } else {
      return wrong("unknown line {}", quote(key));
    }
    return {};
  }

  tl::expected<void, Wrong> operations() {
    absl::flat_hash_map<std::uint32_t, std::size_t> writers;  // tag -> line
    while (plan_.operations.size() < promised_) {
      const auto line = next();
      if (!line || *line == plan_words::last_line) {
        return wrong("the file ends after {} of {} operations", plan_.operations.size(), promised_);
      }
      const auto op = parse_operation(*line, threads_);
      if (!op) return tl::unexpected(op.error());
      if (op->kind == OpKind::write && op->tag != 0) {
        const auto [writer, fresh] = writers.emplace(op->tag, line_);
        if (!fresh)
          return wrong("tag {} was used by the write in line {}", op->tag, writer->second);
      }
      if (!plan_.operations.empty() && op->round < plan_.operations.back().round)
        return wrong("round {} comes after round {}", op->round, plan_.operations.back().round);
      plan_.operations.push_back(*op);
    }
    return {};
  }

  tl::expected<void, Wrong> last_line() {
    auto line = next();
    if (!line) return wrong("the file ends before the line '{}'", plan_words::last_line);
    if (*line != plan_words::last_line) {
      return wrong("expected '{}', found {}", plan_words::last_line, quote(*line));
    }
    line = next();
    if (line) return wrong("text after '{}': {}", plan_words::last_line, quote(*line));
    return {};
  }

  std::string_view rest_;
  std::size_t line_ = 0;
  std::uint64_t promised_ = 0;
  bool threads_ = false;  // the version that has them
  Plan plan_;
};

}  // namespace

tl::expected<Plan, std::string> plan_from_text(std::string_view text) {
  return Parser(text).parse();
}

}  // namespace nbdcheck
