#include "judge/history_file.hpp"

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

namespace nbdcheck {
namespace {

using Failure = tl::unexpected<std::string>;
namespace json = simdjson::dom;

// One line after the other; an error is kept, with its line.
class LineReader {
 public:
  // `text` has simdjson's padding behind its end.
  explicit LineReader(std::string_view text) : text_(text) {}

  bool read_all(RegisterHistory& history) {
    history.reserve(text_.size() / 64);
    std::size_t at = 0;
    while (at < text_.size()) {
      ++line_;
      std::size_t end = text_.find('\n', at);
      if (end == std::string_view::npos) end = text_.size();
      const std::string_view line = text_.substr(at, end - at);
      if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
        RegisterOp op;
        if (!read(line, op)) return false;
        history.push_back(op);
      }
      at = end + 1;
    }
    return true;
  }

  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  bool fail(const std::string& what) {
    error_ = fmt::format("line {}: {}", line_, what);
    return false;
  }

  // REQUIRES: behind `line` there are SIMDJSON_PADDING bytes one may look at.
  bool read(std::string_view line, RegisterOp& op) {
    op.line = line_;
    seen_ = 0;
    json::object object;
    const auto problem = parser_.parse(line.data(), line.size(), false).get(object);
    if (problem == simdjson::NUMBER_ERROR) return fail("a number is malformed or too large");
    if (problem != simdjson::SUCCESS) return fail("not a JSON object");
    for (const auto& [key, value] : object)
      if (!take(key, value, op)) return false;
    return complete(op);
  }

  enum Key : unsigned {
    op_key = 1,
    client_key = 2,
    sector_key = 4,
    value_key = 8,
    begin_key = 16,
    end_key = 32
  };

  bool take(std::string_view key, const json::element& value, RegisterOp& op) {
    const auto number = [&](Key which, auto& target) {
      if ((seen_ & which) != 0) return fail(fmt::format("second \"{}\"", key));
      seen_ |= which;
      return whole(value, target) || fail(fmt::format("\"{}\" is not an integer in range", key));
    };
    if (key == "client") return number(client_key, op.client);
    if (key == "sector") return number(sector_key, op.sector);
    if (key == "value") return number(value_key, op.value);
    if (key == "begin") return number(begin_key, op.begin);
    if (key == "end") return number(end_key, op.end);
    if (key != "op") return true;
    if ((seen_ & op_key) != 0) return fail("second \"op\"");
    seen_ |= op_key;
    std::string_view word;
    if (value.get_string().get(word) != simdjson::SUCCESS) return fail("\"op\" is not a string");
    if (word == "read")
      op.kind = RegisterOp::Kind::read;
    else if (word == "write")
      op.kind = RegisterOp::Kind::write;
    else if (word == "zero")
      op.kind = RegisterOp::Kind::zero;
    else
      return fail("\"op\" is none of read, write, zero");
    return true;
  }

  static bool whole(const json::element& value, std::int64_t& target) {
    return value.get_int64().get(target) == simdjson::SUCCESS;
  }
  // Values may be any 64 bits: a negative one stands for its two's complement.
  static bool whole(const json::element& value, std::uint64_t& target) {
    if (value.get_uint64().get(target) == simdjson::SUCCESS) return true;
    std::int64_t number = 0;
    if (value.get_int64().get(number) != simdjson::SUCCESS) return false;
    target = static_cast<std::uint64_t>(number);
    return true;
  }

  bool complete(RegisterOp& op) {
    if (op.kind == RegisterOp::Kind::zero) {
      seen_ |= value_key;
      op.value = 0;
    }
    static constexpr std::pair<Key, const char*> needed[] = {
        {op_key, "op"},       {client_key, "client"}, {sector_key, "sector"},
        {value_key, "value"}, {begin_key, "begin"},   {end_key, "end"}};
    for (const auto& [key, name] : needed)
      if ((seen_ & key) == 0) return fail(fmt::format("\"{}\" is missing", name));
    if (op.end < op.begin) return fail("it ends before it begins");
    return true;
  }

  std::string_view text_;
  json::parser parser_;
  std::uint64_t line_ = 0;
  unsigned seen_ = 0;
  std::string error_;
};

// A client waits for its answer before it asks again.
std::optional<std::string> find_overlap(const RegisterHistory& history) {
  absl::flat_hash_map<std::int64_t, const RegisterOp*> last;
  bool in_order = true;
  for (const RegisterOp& op : history) {
    const RegisterOp*& before = last[op.client];
    in_order = in_order && (before == nullptr || op.begin >= before->end);
    before = &op;
  }
  if (in_order) return std::nullopt;
  std::vector<const RegisterOp*> sorted;
  sorted.reserve(history.size());
  for (const RegisterOp& op : history) sorted.push_back(&op);
  std::sort(sorted.begin(), sorted.end(), [](const RegisterOp* a, const RegisterOp* b) {
    if (a->client != b->client) return a->client < b->client;
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const RegisterOp& a = *sorted[i - 1];
    const RegisterOp& b = *sorted[i];
    if (a.client == b.client && b.begin < a.end)
      return fmt::format("line {}: overlaps line {}, of the same client {}",
                         std::max(a.line, b.line), std::min(a.line, b.line), a.client);
  }
  return std::nullopt;
}

}  // namespace

tl::expected<RegisterHistory, std::string> history_from_text(std::string text) {
  const std::size_t size = text.size();
  text.resize(size + simdjson::SIMDJSON_PADDING);
  RegisterHistory history;
  LineReader reader(std::string_view(text).substr(0, size));
  try {
    if (!reader.read_all(history)) return Failure(reader.error());
  } catch (const simdjson::simdjson_error&) {
    return Failure("not JSON Lines");
  }
  if (auto overlap = find_overlap(history)) return Failure(*overlap);
  return history;
}

tl::expected<RegisterHistory, std::string> read_history(const std::string& path) {
  std::error_code problem;
  if (std::filesystem::is_directory(path, problem))
    return Failure(fmt::format("{}: is a directory", path));
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return Failure(fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text;
  const auto size = std::filesystem::file_size(path, problem);
  if (!problem) text.reserve(size + simdjson::SIMDJSON_PADDING);
  char part[1 << 16];
  while (file.read(part, sizeof(part)) || file.gcount() > 0)
    text.append(part, static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return Failure(fmt::format("{}: {}", path, std::strerror(errno)));
  auto history = history_from_text(std::move(text));
  if (!history) return Failure(fmt::format("{}: {}", path, history.error()));
  return history;
}

}  // namespace nbdcheck
